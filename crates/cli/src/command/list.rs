//! `slipway list`: contexts, namespaces, workloads, services and ports to choose from.

mod text;

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde::Serialize;
use slipway_api_server::Target;
use slipway_api_server::kubeconfig::{Choice, Sources, choose, contexts};
use slipway_api_server::request::ApiError;
use slipway_cluster::list;
use slipway_control_api::SessionStatus;
use slipway_control_api::list::{ContextInfo, ListedPort, Namespace};
use slipway_profile::{ContextName, Profile, ProfileName, ServerUrl, Store};

use crate::arguments::{ClusterArguments, chosen, chosen_by};
use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// What to list
    what: What,
    /// Id or profile of the session in whose cluster and namespace to look, or the beginning of one; without one, the
    /// only session, or else the kubeconfig, decides
    #[arg(long, conflicts_with_all = ["context", "kubeconfig"])]
    session: Option<String>,
    /// Saved profile in whose cluster and namespace to look
    #[arg(long, value_name = "PROFILE", conflicts_with = "session")]
    profile: Option<ProfileName>,
    #[command(flatten)]
    place: ClusterArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Contexts of the kubeconfig; does not ask the cluster
    Contexts,
    /// Namespaces; if you may not list them, those that the kubeconfig and profiles name
    Namespaces,
    /// Deployments, StatefulSets and DaemonSets of the namespace
    Workloads,
    /// Services of the namespace
    Services,
    /// Ports of the namespace's services and workloads
    Ports,
}

/// Prints the list.
pub(crate) async fn run(arguments: List) -> Result<ExitCode, Failure> {
    let (sources, choice) = place(arguments.session.as_deref(), arguments.profile, arguments.place).await?;
    let print = Print(arguments.json);
    if arguments.what == What::Contexts {
        let listed = contexts(&sources)?;
        return print.out(&listed, |listed| text::contexts(listed));
    }
    let target = choose(&sources, &choice)?;
    let client = target.client().await?;
    let failed = |error| target.failed(error);
    match arguments.what {
        What::Contexts => Ok(ExitCode::SUCCESS),
        What::Namespaces => {
            let listed = match list::namespaces(&client).await {
                Err(error @ ApiError::Forbidden { .. }) => {
                    output::note(&format!(
                        "slipway: {error}; these are the namespaces that the kubeconfig and profiles name"
                    ));
                    let contexts = contexts(&sources)?;
                    named_namespaces(&target, &contexts, &profiles())
                }
                other => other.map_err(failed)?,
            };
            print.out(&listed, |listed| text::namespaces(listed))
        }
        What::Workloads => {
            let listed = list::workloads(&client, &target.namespace)
                .await
                .map_err(failed)?;
            print.out(&listed, text::workloads)
        }
        What::Services => {
            let listed = list::services(&client, &target.namespace).await.map_err(failed)?;
            print.out(&listed, |listed| text::services(listed))
        }
        What::Ports => {
            let (services, workloads) = tokio::join!(
                list::services(&client, &target.namespace),
                list::workloads(&client, &target.namespace)
            );
            // The ports of workloads are shown even if services may not be listed.
            let services = match services {
                Err(error @ ApiError::Forbidden { .. }) => {
                    output::note(&format!("slipway: {error}"));
                    Vec::new()
                }
                other => other.map_err(failed)?,
            };
            let workloads = workloads.map_err(failed)?;
            let listed: Vec<ListedPort> = text::ports_of(&services, &workloads.workloads);
            print.out(&listed, |listed| text::ports(listed))
        }
    }
}

/// Returns the cluster and namespace to list: those of the command line, of a profile, of a session, or of the kubeconfig.
async fn place(
    session: Option<&str>,
    profile: Option<ProfileName>,
    arguments: ClusterArguments,
) -> Result<(Sources, Choice), Failure> {
    if let Some(name) = profile {
        let mut profile = Store::of_user()?.load(&name)?;
        arguments.onto(&mut profile)?;
        return chosen(&profile, true);
    }
    if arguments.context.is_none() && arguments.kubeconfig.is_none() {
        let namespace = arguments.namespace.as_ref();
        if let Some(found) = session_meant(session)
            .await?
            .and_then(|found| chosen_by(&found, &profiles(), namespace))
        {
            return Ok(found);
        }
    }
    let mut profile = Profile::unsaved();
    arguments.onto(&mut profile)?;
    chosen(&profile, true)
}

/// Returns the named session, or the only one.
async fn session_meant(wanted: Option<&str>) -> Result<Option<SessionStatus>, Failure> {
    let running = match (sessions::all().await, wanted) {
        (Ok(running), _) => running,
        (Err(failure), Some(_)) => return Err(failure),
        // A list needs no session.
        (Err(_), None) => return Ok(None),
    };
    match (wanted, &running[..]) {
        (Some(_), _) => Ok(Some(sessions::pick(&running, wanted)?.clone())),
        (None, [only]) => Ok(Some(only.clone())),
        (None, []) => Ok(None),
        (None, [_, _, ..]) => {
            output::note(
                "slipway: several sessions run, so the kubeconfig decides; choose one with --session",
            );
            Ok(None)
        }
    }
}

/// Output of a list; `true` for JSON.
struct Print(bool);

impl Print {
    fn out<T: Serialize>(
        &self,
        listed: &T,
        in_words: impl FnOnce(&T) -> String,
    ) -> Result<ExitCode, Failure> {
        if self.0 {
            output::print_json(listed)?;
        } else {
            output::print(&in_words(listed))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn profiles() -> Vec<Profile> {
    let listed = Store::of_user()
        .and_then(|store| store.list())
        .unwrap_or_default();
    listed.into_iter().filter_map(|one| one.profile.ok()).collect()
}

/// Returns the namespaces that contexts and profiles of the same cluster name, and the target's own.
fn named_namespaces(target: &Target, contexts: &[ContextInfo], profiles: &[Profile]) -> Vec<Namespace> {
    let of_cluster: Vec<&ContextInfo> = contexts
        .iter()
        .filter(|context| context.cluster == target.cluster)
        .collect();
    let from_contexts = of_cluster.iter().filter_map(|context| context.namespace.clone());
    let from_profiles = profiles
        .iter()
        .filter(|profile| {
            let cluster = &profile.cluster;
            let context = cluster.context.as_ref().map(ContextName::as_str);
            let name = context.or(cluster.server.as_ref().map(ServerUrl::authority));
            name.is_some_and(|name| of_cluster.iter().any(|context| context.name == name))
        })
        .filter_map(|profile| profile.cluster.namespace.as_ref().map(ToString::to_string));
    let names: BTreeSet<String> = std::iter::once(target.namespace.clone())
        .chain(from_contexts)
        .chain(from_profiles)
        .collect();
    names
        .into_iter()
        .map(|name| Namespace {
            name,
            ending: false,
            assumed: true,
        })
        .collect()
}

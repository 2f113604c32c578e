//! `slipway change`: changes what a running session sends to the cluster, and undoes it.

mod text;

use std::process::ExitCode;

use clap::ArgGroup;
use slipway_control::{Client, RuntimeFolder};
use slipway_control_api::{Changed, Problem, SessionStatus};
use slipway_problem::Fault;
use slipway_profile::{AlsoProxy, Change as Wanted, DomainName, Extras, Namespace, ProfileName, Store};

use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway change`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args([
    "also_proxy", "no_also_proxy", "suffixes", "no_suffixes", "also_namespaces", "no_also_namespaces", "undo",
]))]
pub(crate) struct Change {
    /// Id or profile of the session, or the beginning of one; not needed if only one session runs
    session: Option<String>,
    /// Also reach this host, address or network through the cluster; may be given several times
    #[arg(long, value_name = "HOST|IP|CIDR")]
    also_proxy: Vec<AlsoProxy>,
    /// Do not reach it through the cluster any more
    #[arg(long, value_name = "HOST|IP|CIDR")]
    no_also_proxy: Vec<AlsoProxy>,
    /// Ask the cluster for this name and every name below it; may be given several times
    #[arg(long = "suffix", value_name = "DOMAIN")]
    suffixes: Vec<DomainName>,
    /// Do not ask the cluster for it any more
    #[arg(long = "no-suffix", value_name = "DOMAIN")]
    no_suffixes: Vec<DomainName>,
    /// Also look up names without dots in this namespace; may be given several times
    #[arg(long = "also-namespace", value_name = "NAMESPACE")]
    also_namespaces: Vec<Namespace>,
    /// Do not look up names without dots there any more
    #[arg(long = "no-also-namespace", value_name = "NAMESPACE")]
    no_also_namespaces: Vec<Namespace>,
    /// Also change the session's saved profile
    #[arg(long)]
    save: bool,
    /// Undo the change with this number, or else the last one, also in the profile if it was saved
    #[arg(
        long,
        value_name = "NUMBER",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with_all = [
            "also_proxy", "no_also_proxy", "suffixes", "no_suffixes", "also_namespaces", "no_also_namespaces", "save",
        ]
    )]
    #[expect(clippy::option_option, reason = "an option with an optional value")]
    undo: Option<Option<u32>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Makes or undoes a change, and shows what came about.
pub(crate) async fn run(arguments: Change) -> Result<ExitCode, Failure> {
    let running = sessions::all().await?;
    let session = sessions::pick(&running, arguments.session.as_deref())?;
    let mut client = Client::connect(&RuntimeFolder::of_user()?, &session.id).await?;
    let json = arguments.json;
    let (changed, profile) = match arguments.undo {
        Some(number) => undo(session, &mut client, number).await?,
        None => make(session, &mut client, arguments).await?,
    };
    if json {
        output::print_json(&changed)?;
    } else {
        output::print(&text::of(session, profile.as_ref(), &changed))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a change in the session, then in its profile. What cannot be saved is not made in the session either.
async fn make(
    session: &SessionStatus,
    client: &mut Client,
    arguments: Change,
) -> Result<(Changed, Option<ProfileName>), Failure> {
    let save = arguments.save;
    let wanted = arguments.into_wanted();
    if !save {
        return Ok((client.change(wanted).await?, None));
    }
    let store = Store::of_user()?;
    let profile = profile_of(session, &store)?;
    // Refuses a profile that cannot be read before anything is changed.
    store.load(&profile)?;
    let mut changed = client.change(wanted.clone()).await?;
    match store.change(&profile, &wanted) {
        Ok(saved) if saved.is_empty() => {}
        Ok(saved) => {
            changed.number = client.saved(changed.number, saved.clone()).await?.number;
            changed.profile = Some(saved);
        }
        Err(error) => {
            if let Some(number) = changed.number
                && let Err(other) = client.undo(Some(number)).await
            {
                output::note(&format!("Note: the session keeps the change, because {other}."));
            }
            return Err(error.into());
        }
    }
    Ok((changed, Some(profile)))
}

/// Undoes a change in the session, then in its profile if the change was saved.
async fn undo(
    session: &SessionStatus,
    client: &mut Client,
    number: Option<u32>,
) -> Result<(Changed, Option<ProfileName>), Failure> {
    let changed = client.undo(number).await?;
    let Some(back) = &changed.profile else {
        return Ok((changed, None));
    };
    let in_profile = || {
        let store = Store::of_user()?;
        let profile = profile_of(session, &store)?;
        store.change(&profile, back)?;
        Ok::<_, Failure>(profile)
    };
    match in_profile() {
        Ok(profile) => Ok((changed, Some(profile))),
        Err(failure) => {
            // Both or none: the session gets the change back, so that it can be undone when the profile can be written.
            let again = client.change(changed.change.clone().inverse()).await?;
            client.saved(again.number, back.clone().inverse()).await?;
            Err(failure)
        }
    }
}

impl Change {
    fn into_wanted(self) -> Wanted {
        Wanted {
            add: Extras {
                also_proxy: self.also_proxy,
                suffixes: self.suffixes,
                also_namespaces: self.also_namespaces,
            },
            remove: Extras {
                also_proxy: self.no_also_proxy,
                suffixes: self.no_suffixes,
                also_namespaces: self.no_also_namespaces,
            },
        }
    }
}

/// Returns the present name of the saved profile with which a session was started.
fn profile_of(session: &SessionStatus, store: &Store) -> Result<ProfileName, Failure> {
    let Some(name) = &session.profile else {
        return Err(Problem::new(
            "session-without-profile",
            format!("Session {} was not started with a saved profile.", session.id),
            "Leave out `--save`, or save a profile with `slipway profiles create` and connect with it.",
        )
        .into());
    };
    let is_it = |id| session.profile_id == Some(id);
    let profiles = store.list()?.into_iter().filter_map(|listed| listed.profile.ok());
    match profiles.into_iter().find(|profile| is_it(profile.identity())) {
        Some(profile) => Ok(profile.name),
        None => {
            let name: ProfileName = name
                .parse()
                .map_err(|error| slipway_profile::Error::Name(error).problem())?;
            match store.load(&name) {
                // Another profile that has the name by now.
                Ok(_) => Err(slipway_profile::Error::Missing(name).into()),
                Err(error) => Err(error.into()),
            }
        }
    }
}

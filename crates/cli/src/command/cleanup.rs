//! `slipway cleanup`: removal of what sessions left behind, in the cluster and on this laptop.
//!
//! In the cluster: agents of any user in one namespace that ended or never started. On the laptop: control sockets that
//! no session serves, and keys of agents that are gone. Nothing of a running session is touched.

use std::io::{self, BufRead, IsTerminal};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use slipway_api_server::Target;
use slipway_api_server::kubeconfig::choose;
use slipway_cluster::keys::{AgentIdentity, KeyStore};
use slipway_cluster::placement::{self, Leftover, LeftoverKind};
use slipway_control::RuntimeFolder;
use slipway_control_api::{SessionStatus, State};
use slipway_profile::{Profile, ProfileName, Store};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::arguments::{ClusterArguments, chosen};
use crate::failure::{Failure, Uncoded};
use crate::{output, sessions};

/// How long a connection to a socket may take.
const SOCKET_PATIENCE: Duration = Duration::from_secs(1);
/// Age at which an unfinished socket counts as abandoned.
const UNFINISHED: Duration = Duration::from_secs(60);

/// Arguments of `slipway cleanup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cleanup {
    /// Saved profile in whose cluster and namespace to look; without one, the kubeconfig decides
    #[arg(long, value_name = "PROFILE")]
    profile: Option<ProfileName>,
    #[command(flatten)]
    place: ClusterArguments,
    /// Remove without asking
    #[arg(short, long)]
    yes: bool,
}

/// Lists, asks, removes. The laptop is cleaned even if the cluster does not answer.
pub(crate) async fn run(arguments: Cleanup) -> Result<ExitCode, Failure> {
    // These are removed without a question: every command that looks for sessions removes them too.
    let sockets = stale_sockets(RuntimeFolder::of_user()?.path())
        .await
        .uncoded("Failed to look for sockets that no session serves")?;
    for socket in &sockets {
        remove(socket).uncoded(format!("Failed to remove {}", socket.display()))?;
        output::print(&format!(
            "Removed {}, which no session served.\n",
            socket.display()
        ))?;
    }
    let running = sessions::all().await?;
    let store = Store::of_user()?;
    let mut profile = match &arguments.profile {
        Some(name) => store.load(name)?,
        None => Profile::unsaved(),
    };
    arguments.place.onto(&mut profile)?;
    let cluster = look(&profile, &running).await?;
    let profiles: Vec<Profile> = store
        .list()?
        .into_iter()
        .filter_map(|listed| listed.profile.ok())
        .collect();
    let text = of_keys(&cluster.keys, &profiles)
        + &of_leftovers(
            &cluster.target.context,
            &cluster.target.namespace,
            &cluster.leftovers,
        );
    if text.is_empty() {
        if sockets.is_empty() {
            output::print("There is nothing to remove.\n")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&text)?;
    if !arguments.yes && !agreed().uncoded("Failed to read the answer")? {
        output::print(
            "Nothing in this list was removed. To remove all of it, run `slipway cleanup --yes`.\n",
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    cluster.remove().await?;
    output::print("Removed.\n")?;
    Ok(ExitCode::SUCCESS)
}

/// Leftovers of one cluster: agents, and keys of agents that are gone.
struct Cluster {
    target: Target,
    client: kube::Client,
    leftovers: Vec<Leftover>,
    store: KeyStore,
    keys: Vec<AgentIdentity>,
}

async fn look(profile: &Profile, running: &[SessionStatus]) -> Result<Cluster, Failure> {
    let (sources, choice) = chosen(profile, true)?;
    let target = choose(&sources, &choice)?;
    let client = target.client().await?;
    let leftovers = placement::leftovers(&client, &target.namespace)
        .await
        .map_err(|error| target.failed(error))?;
    let store = KeyStore::of_user()?;
    let mut keys = Vec::new();
    for (agent, session) in store.agents()? {
        if agent.server != target.server || is_used(&agent, running) {
            continue;
        }
        // If pods may not be listed, the agent may still exist, so its key stays.
        if let Ok(None) = placement::find(&client, &agent.namespace, session).await {
            keys.push(agent);
        }
    }
    Ok(Cluster {
        target,
        client,
        leftovers,
        store,
        keys,
    })
}

impl Cluster {
    async fn remove(self) -> Result<(), Failure> {
        if !self.leftovers.is_empty() {
            placement::cleanup(&self.client, &self.target.namespace)
                .await
                .map_err(|error| self.target.failed(error))?;
        }
        let running = sessions::all().await?;
        for agent in self.keys.iter().filter(|agent| !is_used(agent, &running)) {
            self.store.forget(agent)?;
        }
        Ok(())
    }
}

/// Whether a running session may use the key. A session without a known namespace may be in any.
fn is_used(agent: &AgentIdentity, running: &[SessionStatus]) -> bool {
    running
        .iter()
        .filter(|session| session.state != State::Ended)
        .any(|session| {
            let same_namespace = session
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == agent.namespace);
            session.profile_id == agent.profile && same_namespace
        })
}

/// Returns the control sockets that no process serves.
async fn stale_sockets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // The entry is gone already.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.file_type().is_socket() {
            continue;
        }
        // A socket that is being made does not listen yet.
        let unfinished = entry.file_name().to_string_lossy().starts_with('.');
        let age = metadata.modified().ok().and_then(|made| made.elapsed().ok());
        if unfinished && age.is_none_or(|age| age < UNFINISHED) {
            continue;
        }
        let path = entry.path();
        if let Ok(Err(error)) = timeout(SOCKET_PATIENCE, UnixStream::connect(&path)).await
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            stale.push(path);
        }
    }
    stale.sort();
    Ok(stale)
}

fn remove(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Asks the user. Without a terminal the answer is no.
fn agreed() -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    output::tell("Remove all of it? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn of_keys(keys: &[AgentIdentity], profiles: &[Profile]) -> String {
    keys.iter()
        .map(|agent| {
            let whose = |id| profiles.iter().find(|profile| profile.identity() == id);
            let of = match agent.profile.map(whose) {
                Some(Some(profile)) => format!("profile {}", profile.name),
                Some(None) => "a profile that is gone".to_owned(),
                None => "no profile".to_owned(),
            };
            format!(
                "On this laptop: key of an agent that is gone, in namespace {} of {} ({of})\n",
                agent.namespace, agent.server
            )
        })
        .collect()
}

fn of_leftovers(context: &str, namespace: &str, leftovers: &[Leftover]) -> String {
    leftovers
        .iter()
        .map(|leftover| {
            let kind = match leftover.kind {
                LeftoverKind::Job => "Job",
                LeftoverKind::Pod => "pod",
            };
            let how = if leftover.ended { "ended" } else { "never started" };
            let minutes = leftover.age_seconds / 60;
            format!(
                "In {context} / {namespace}: {kind} {}, which {how} ({minutes} min old)\n",
                leftover.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use slipway_cluster::keys::PodIdentity;
    use slipway_control::status_of_this_process;
    use slipway_profile::{Method, ProfileId};

    use super::*;

    fn id(profile: &str) -> ProfileId {
        ProfileId::of_name(&profile.parse().unwrap())
    }

    fn agent(profile: Option<&str>) -> AgentIdentity {
        AgentIdentity {
            server: "https://10.0.0.1:6443/".into(),
            namespace: "shop".into(),
            profile: profile.map(id),
            image: "busybox".into(),
            grace_seconds: 90,
            pod: PodIdentity::default(),
        }
    }

    fn session(profile: Option<&str>, namespace: Option<&str>) -> SessionStatus {
        let mut session =
            status_of_this_process("a-1".parse().unwrap(), profile.map(str::to_owned), Method::VpnTcp);
        session.profile_id = profile.map(id);
        session.namespace = namespace.map(str::to_owned);
        session
    }

    #[test]
    fn a_running_session_keeps_its_key() {
        let shop = agent(Some("shop"));
        assert!(is_used(&shop, &[session(Some("shop"), Some("shop"))]));
        assert!(is_used(&shop, &[session(Some("shop"), None)]));
        assert!(is_used(&agent(None), &[session(None, Some("shop"))]));
        assert!(!is_used(&shop, &[session(Some("blog"), Some("shop"))]));
        assert!(!is_used(&shop, &[session(Some("shop"), Some("blog"))]));
        assert!(!is_used(&shop, &[]));
    }

    #[test]
    fn leftovers_are_listed_with_their_place() {
        let leftover = Leftover {
            kind: LeftoverKind::Pod,
            name: "slipway-agent-x".into(),
            session: None,
            age_seconds: 7_260,
            ended: true,
        };
        let profiles = [Profile::new("shop".parse().unwrap())];
        insta::assert_snapshot!(
            of_keys(&[agent(Some("shop"))], &profiles) + &of_leftovers("staging", "shop", &[leftover])
        );
    }

    /// Makes a socket that no process serves. A process that another test starts may hold a copy of the descriptor for a
    /// moment, so closing alone is not enough.
    fn abandon(socket: &Path) {
        let listener = UnixListener::bind(socket).unwrap();
        let stream = UnixStream::from(OwnedFd::from(listener));
        stream.shutdown(Shutdown::Both).unwrap();
    }

    #[tokio::test]
    async fn only_a_socket_without_a_server_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _served = UnixListener::bind(at("served.sock")).unwrap();
        abandon(&at("dead.sock"));
        abandon(&at(".new"));
        std::fs::write(at("notes.sock"), "").unwrap();
        assert_eq!(stale_sockets(folder.path()).await.unwrap(), [at("dead.sock")]);
    }
}

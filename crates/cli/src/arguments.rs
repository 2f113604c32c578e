//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use slipway_api_server::kubeconfig::{Choice, Sources};
use slipway_control_api::SessionStatus;
use slipway_method as method;
use slipway_profile::{
    AlsoProxy, ContextName, DisconnectAfter, DomainName, FilePath, Method, Namespace, Profile, ProfileName,
    ServerUrl, Store,
};
use slipway_session::Options;

use crate::agent_arguments::AgentArguments;
use crate::failure::{Failure, Uncoded};
use crate::method::method_of;
use crate::repeated::add_missing;

/// Cluster and namespace; overrides the profile.
#[derive(Debug, Default, Args)]
pub(crate) struct ClusterArguments {
    /// Context of the kubeconfig
    #[arg(long)]
    pub(crate) context: Option<ContextName>,
    /// Namespace to connect to
    #[arg(short, long)]
    pub(crate) namespace: Option<Namespace>,
    /// Kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl ClusterArguments {
    /// Writes context, namespace and kubeconfig into a profile, over its own values. A context or kubeconfig also stands in
    /// place of a server that the profile names.
    pub(crate) fn onto(self, profile: &mut Profile) -> Result<(), Failure> {
        if self.context.is_some() || self.kubeconfig.is_some() {
            profile.cluster.leave_server();
        }
        if let Some(context) = self.context {
            profile.cluster.context = Some(context);
        }
        if let Some(namespace) = self.namespace {
            profile.cluster.namespace = Some(namespace);
        }
        if let Some(file) = self.kubeconfig {
            profile.cluster.kubeconfig = Some(file_path(&file)?);
        }
        Ok(())
    }
}

/// Arguments of a session; they override the profile.
#[derive(Debug, Args)]
pub(crate) struct Session {
    /// Saved profile; without one, the kubeconfig's current context
    #[arg(value_name = "PROFILE", conflicts_with = "profile_option")]
    profile: Option<ProfileName>,
    /// The same as PROFILE
    #[arg(long = "profile", value_name = "PROFILE")]
    profile_option: Option<ProfileName>,
    #[command(flatten)]
    place: ClusterArguments,
    /// Method by which programs on the laptop are captured
    #[arg(long)]
    method: Option<Method>,
    /// Also reach this host, address or network through the cluster; may be given several times
    #[arg(long, value_name = "HOST|IP|CIDR")]
    also_proxy: Vec<AlsoProxy>,
    /// Also look up names without dots in this namespace, after the first; may be given several times
    #[arg(long = "also-namespace", value_name = "NAMESPACE")]
    also_namespaces: Vec<Namespace>,
    /// Ask the cluster for this name and every name below it; may be given several times
    #[arg(long = "suffix", value_name = "DOMAIN")]
    suffixes: Vec<DomainName>,
    /// Domain of the cluster's own names, if Slipway doubts the one that the cluster declares
    #[arg(long, value_name = "DOMAIN")]
    cluster_domain: Option<DomainName>,
    /// End the session by itself this long after it connected, as in 30m, 8h or 2d
    #[arg(long, value_name = "TIME")]
    disconnect_after: Option<DisconnectAfter>,
    #[command(flatten)]
    agent: AgentArguments,
    #[command(flatten)]
    helper: Helper,
    /// Write the session's log to standard error (-vv: with details)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Socket of the privileged helper.
#[derive(Debug, Args)]
pub(crate) struct Helper {
    /// Socket of the privileged helper
    #[arg(
        long,
        env = "SLIPWAY_HELPER_SOCKET",
        value_name = "PATH",
        default_value = slipway_helper_api::DEFAULT_SOCKET
    )]
    pub(crate) helper_socket: PathBuf,
}

impl Session {
    /// Returns the socket of the privileged helper.
    pub(crate) fn helper_socket(&self) -> PathBuf {
        self.helper.helper_socket.clone()
    }

    /// Returns the profile with the values of the command line over its own, and its method.
    ///
    /// # Errors
    ///
    /// When the profile cannot be read, a path is not UTF-8, or the method is not available yet.
    pub(crate) fn options(self, terminal: bool) -> Result<(Options, Box<dyn method::Method>), Failure> {
        let named = self.profile.or(self.profile_option);
        let saved = named.is_some();
        let mut profile = match &named {
            Some(name) => Store::of_user()?.load(name)?,
            None => Profile::unsaved(),
        };
        self.place.onto(&mut profile)?;
        if let Some(method) = self.method {
            profile.method = method;
        }
        if let Some(domain) = self.cluster_domain {
            profile.dns.cluster_domain = Some(domain);
        }
        if let Some(time) = self.disconnect_after {
            profile.disconnect_after = Some(time);
        }
        self.agent.onto(&mut profile.agent);
        add_missing(&mut profile.also_proxy, self.also_proxy);
        add_missing(&mut profile.dns.suffixes, self.suffixes);
        add_missing(&mut profile.cluster.also_namespaces, self.also_namespaces);
        let options = Options {
            profile,
            saved,
            terminal,
            home: home()?,
        };
        let method = method_of(&options, self.helper.helper_socket)?;
        Ok((options, method))
    }
}

/// Returns the kubeconfig files or the server of a profile, and the context and namespace that it chooses.
pub(crate) fn chosen(profile: &Profile, terminal: bool) -> Result<(Sources, Choice), Failure> {
    Ok(slipway_session::chosen(profile, &home()?, terminal))
}

/// Returns the value of `KUBECONFIG` with which a program in any folder reads these files; `None` if a path does not fit
/// into one, or the profile names a server in place of a kubeconfig.
pub(crate) fn kubeconfig_variable(sources: &Sources) -> Option<String> {
    if sources.server.is_some() {
        return None;
    }
    let listed = sources.variable.as_ref().map(std::env::split_paths);
    let listed = listed
        .into_iter()
        .flatten()
        .filter(|path| !path.as_os_str().is_empty());
    let mut files: Vec<PathBuf> = match &sources.file {
        Some(file) => vec![file.clone()],
        None => listed.collect(),
    };
    if files.is_empty() {
        files.extend(sources.home.iter().map(|home| home.join(".kube").join("config")));
    }
    let absolute: Vec<PathBuf> = files
        .iter()
        .map(std::path::absolute)
        .collect::<Result<_, _>>()
        .ok()?;
    std::env::join_paths(absolute).ok()?.into_string().ok()
}

/// Returns the kubeconfig files or the server, the context and the namespace of a session, or another namespace of its
/// cluster. `None` until the session has chosen its cluster. `profiles` are the saved ones.
pub(crate) fn chosen_by(
    session: &SessionStatus,
    profiles: &[Profile],
    namespace: Option<&Namespace>,
) -> Option<(Sources, Choice)> {
    let choice = Choice {
        context: Some(session.context.clone()?),
        namespace: namespace.map(ToString::to_string).or(session.namespace.clone()),
        terminal: true,
    };
    let mut with_server = profiles.iter().filter(|profile| profile.cluster.server.is_some());
    if let Some(profile) = with_server.find(|profile| is_of(session, profile)) {
        let (sources, _) = chosen(profile, true).ok()?;
        return Some((sources, choice));
    }
    let mut sources = Sources::from_environment(None);
    if let Some(files) = &session.kubeconfig {
        sources.variable = Some(files.into());
    }
    Some((sources, choice))
}

/// Whether a session is of the profile, at the server that it names.
fn is_of(session: &SessionStatus, profile: &Profile) -> bool {
    let server = profile.cluster.server.as_ref().map(ServerUrl::authority);
    let is_there = session.kubeconfig.is_none() && session.context.as_deref() == server;
    is_there && session.profile_id == Some(profile.identity())
}

/// Returns a file's path as a profile keeps it: absolute, so that it does not depend on the current folder.
pub(crate) fn file_path(file: &Path) -> Result<FilePath, Failure> {
    let file = std::path::absolute(file).uncoded(format!("{} is not a path", file.display()))?;
    let text = file
        .to_str()
        .uncoded(format!("The path {} is not UTF-8", file.display()))?;
    text.parse().uncoded("The path is not valid")
}

fn home() -> Result<PathBuf, Failure> {
    std::env::home_dir().uncoded("Your home folder is not known: set HOME")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command_line::{Arguments, Command};

    fn session(arguments: &[&str]) -> Session {
        let parsed = Arguments::try_parse_from([&["slipway", "connect"], arguments].concat()).unwrap();
        let Command::Connect(connect) = parsed.command else {
            panic!("connect is connect");
        };
        connect.session
    }

    #[test]
    fn a_profile_is_named_with_and_without_its_option() {
        for arguments in [&["shop"][..], &["--profile", "shop"]] {
            let session = session(arguments);
            let named = session.profile.or(session.profile_option);
            assert_eq!(named.unwrap().as_str(), "shop");
        }
        assert!(Arguments::try_parse_from(["slipway", "connect", "a", "--profile", "b"]).is_err());
    }

    #[test]
    fn the_command_line_overrides_the_profile() {
        let (options, _) = session(&[
            "--namespace",
            "shop",
            "--also-proxy",
            "10.3.0.0/16",
            "--method",
            "vpn-tcp",
            "--disconnect-after",
            "30m",
        ])
        .options(false)
        .unwrap();
        assert_eq!(options.profile.cluster.namespace.unwrap().as_str(), "shop");
        assert_eq!(options.profile.also_proxy.len(), 1);
        assert_eq!(options.profile.disconnect_after.unwrap().to_string(), "30m");
        assert!(!options.saved);
    }

    #[test]
    fn a_session_says_which_kubeconfig_it_reads() {
        let sources = |file: Option<&str>, variable: Option<&str>| Sources {
            file: file.map(PathBuf::from),
            variable: variable.map(Into::into),
            home: Some("/home/dev".into()),
            server: None,
        };
        let value = |file, variable| kubeconfig_variable(&sources(file, variable));
        assert_eq!(value(Some("/a"), Some("/b:/c")).as_deref(), Some("/a"));
        assert_eq!(value(None, Some("/b::/c")).as_deref(), Some("/b:/c"));
        for variable in [None, Some("")] {
            assert_eq!(value(None, variable).as_deref(), Some("/home/dev/.kube/config"));
        }
        assert_eq!(value(Some("/a:b"), None), None, "a list cannot have it");
        assert!(
            value(None, Some("here")).unwrap().ends_with("/here"),
            "from any folder"
        );
    }

    #[test]
    fn lists_follow_the_session() {
        let id = "shop-a1".parse().unwrap();
        let mut session = slipway_control::status_of_this_process(id, None, Method::VpnTcp);
        assert!(chosen_by(&session, &[], None).is_none(), "it has no cluster yet");
        session.context = Some("staging".into());
        session.namespace = Some("shop".into());
        session.kubeconfig = Some("/a:/b".into());
        let (sources, choice) = chosen_by(&session, &[], None).unwrap();
        assert_eq!(sources.variable, Some("/a:/b".into()));
        assert_eq!(
            (choice.context.as_deref(), choice.namespace.as_deref()),
            (Some("staging"), Some("shop"))
        );
        let other = "dev".parse().unwrap();
        let (_, choice) = chosen_by(&session, &[], Some(&other)).unwrap();
        assert_eq!(choice.namespace.as_deref(), Some("dev"));
    }

    fn with_server() -> Profile {
        let text = "version = 1\n[cluster]\nserver = \"https://10.0.0.1:6443\"\ntoken = \"keyring\"\n";
        Profile::from_toml("shop".parse().unwrap(), text).unwrap()
    }

    #[test]
    fn lists_follow_a_session_without_a_kubeconfig() {
        let profile = with_server();
        assert_eq!(kubeconfig_variable(&chosen(&profile, false).unwrap().0), None);
        let id = "shop-a1".parse().unwrap();
        let mut session = slipway_control::status_of_this_process(id, Some("shop".into()), Method::VpnTcp);
        session.profile_id = Some(profile.identity());
        session.context = Some("10.0.0.1:6443".into());
        session.namespace = Some("blog".into());
        let of = |profiles: &[Profile]| chosen_by(&session, profiles, None).unwrap();
        let (sources, choice) = of(std::slice::from_ref(&profile));
        assert_eq!(sources.server.unwrap().url, "https://10.0.0.1:6443");
        assert_eq!(choice.namespace.as_deref(), Some("blog"));
        // A profile that was deleted meanwhile: the name is no context of any kubeconfig.
        assert!(of(&[]).0.server.is_none());
    }

    #[test]
    fn a_context_stands_in_place_of_the_profiles_server() {
        let arguments = ClusterArguments {
            context: Some("staging".parse().unwrap()),
            ..ClusterArguments::default()
        };
        let mut profile = with_server();
        arguments.onto(&mut profile).unwrap();
        assert_eq!((profile.cluster.server, profile.cluster.token), (None, None));
    }

    #[test]
    fn arguments_after_the_dashes_are_the_command() {
        let parsed =
            Arguments::try_parse_from(["slipway", "run", "shop", "--", "curl", "--profile", "x"]).unwrap();
        let Command::Run(run) = parsed.command else {
            panic!("run is run");
        };
        assert_eq!(run.command, ["curl", "--profile", "x"]);
        assert!(Arguments::try_parse_from(["slipway", "run", "shop"]).is_err());
    }
}

//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use slipway_cluster::kubeconfig::{Choice, Sources};
use slipway_method as method;
use slipway_profile::{
    AlsoProxy, ContextName, DomainName, Grace, Image, KubeconfigPath, Method, Namespace, Profile,
    ProfileName, Store,
};
use slipway_session::Options;

use crate::failure::{Failure, Uncoded};
use crate::method::method_of;

/// Which cluster and namespace; goes before what a profile says.
#[derive(Debug, Default, Args)]
pub(crate) struct ClusterArguments {
    /// Context of the kubeconfig
    #[arg(long)]
    pub(crate) context: Option<ContextName>,
    /// Namespace to be in
    #[arg(short, long)]
    pub(crate) namespace: Option<Namespace>,
    /// Kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl ClusterArguments {
    /// Writes the place into a profile, over what it says.
    pub(crate) fn onto(self, profile: &mut Profile) -> Result<(), Failure> {
        if let Some(context) = self.context {
            profile.cluster.context = Some(context);
        }
        if let Some(namespace) = self.namespace {
            profile.cluster.namespace = Some(namespace);
        }
        if let Some(file) = self.kubeconfig {
            profile.cluster.kubeconfig = Some(kubeconfig(&file)?);
        }
        Ok(())
    }
}

/// Which cluster, and how; the command line goes before the profile.
#[derive(Debug, Args)]
pub(crate) struct Session {
    /// A saved profile; without one, kubeconfig's current context
    #[arg(value_name = "PROFILE", conflicts_with = "profile_option")]
    profile: Option<ProfileName>,
    /// The same as PROFILE
    #[arg(long = "profile", value_name = "PROFILE")]
    profile_option: Option<ProfileName>,
    #[command(flatten)]
    place: ClusterArguments,
    /// How programs on the laptop are caught
    #[arg(long)]
    method: Option<Method>,
    /// Reach this through the cluster too; may be given several times
    #[arg(long, value_name = "HOST|IP|CIDR")]
    also_proxy: Vec<AlsoProxy>,
    /// Domain of the cluster's own names, where it is not cluster.local
    #[arg(long, value_name = "DOMAIN")]
    cluster_domain: Option<DomainName>,
    /// Image that the agent runs in
    #[arg(long, value_name = "IMAGE")]
    agent_image: Option<Image>,
    /// Seconds that the agent waits for a client that went away
    #[arg(long, value_name = "SECONDS", value_parser = grace)]
    agent_grace: Option<Grace>,
    #[command(flatten)]
    helper: Helper,
    /// Write the session's log to standard error (twice: in detail)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Where the privileged helper is.
#[derive(Debug, Args)]
pub(crate) struct Helper {
    /// The privileged helper's socket
    #[arg(
        long,
        env = "SLIPWAY_HELPER_SOCKET",
        value_name = "PATH",
        default_value = slipway_helper_api::DEFAULT_SOCKET
    )]
    pub(crate) helper_socket: PathBuf,
}

impl Session {
    /// The profile with what the command line says on top of it, and the method that it names.
    ///
    /// # Errors
    ///
    /// When the profile cannot be read, a path is not text, or the method cannot be connected yet.
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
        if let Some(image) = self.agent_image {
            profile.agent.image = Some(image);
        }
        if let Some(grace) = self.agent_grace {
            profile.agent.grace = Some(grace);
        }
        for extra in self.also_proxy {
            if !profile.also_proxy.contains(&extra) {
                profile.also_proxy.push(extra);
            }
        }
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

/// Where a profile's kubeconfig is, and which cluster it chooses from it.
pub(crate) fn chosen(profile: &Profile, terminal: bool) -> Result<(Sources, Choice), Failure> {
    let home = home()?;
    let file = profile
        .cluster
        .kubeconfig
        .as_ref()
        .map(|path| path.resolve(&home));
    let choice = Choice {
        context: profile.cluster.context.as_ref().map(ToString::to_string),
        namespace: profile.cluster.namespace.as_ref().map(ToString::to_string),
        terminal,
    };
    Ok((Sources::from_environment(file), choice))
}

/// A kubeconfig's path, as a profile keeps it: from any folder the same file.
pub(crate) fn kubeconfig(file: &Path) -> Result<KubeconfigPath, Failure> {
    let file = std::path::absolute(file).uncoded(format!("{} is not a path", file.display()))?;
    let text = file.to_str().uncoded(format!("{} is not text", file.display()))?;
    text.parse().uncoded("It cannot be a kubeconfig's path")
}

/// Reads a grace time in seconds.
pub(crate) fn grace(text: &str) -> Result<Grace, String> {
    let seconds: u32 = text
        .parse()
        .map_err(|error| format!("expected a number of seconds: {error}"))?;
    Grace::try_from(seconds).map_err(|error| error.to_string())
}

fn home() -> Result<PathBuf, Failure> {
    std::env::home_dir().uncoded("There is no home folder: set HOME")
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
    fn the_command_line_goes_before_the_profile() {
        let (options, _) = session(&[
            "--namespace",
            "shop",
            "--also-proxy",
            "10.3.0.0/16",
            "--method",
            "vpn-tcp",
        ])
        .options(false)
        .unwrap();
        assert_eq!(options.profile.cluster.namespace.unwrap().as_str(), "shop");
        assert_eq!(options.profile.also_proxy.len(), 1);
        assert!(!options.saved);
    }

    #[test]
    fn what_comes_after_the_dashes_is_the_command() {
        let parsed =
            Arguments::try_parse_from(["slipway", "run", "shop", "--", "curl", "--profile", "x"]).unwrap();
        let Command::Run(run) = parsed.command else {
            panic!("run is run");
        };
        assert_eq!(run.command, ["curl", "--profile", "x"]);
        assert!(Arguments::try_parse_from(["slipway", "run", "shop"]).is_err());
    }
}

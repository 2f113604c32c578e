//! Cluster that a profile chooses: a context of a kubeconfig, or the server that it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use slipway_api_server::TokenSource;
use slipway_api_server::kubeconfig::{Choice, NamedServer, Sources};
use slipway_problem::{Fault, Problem};
use slipway_profile::{Profile, SecretReference, ServerUrl};
use slipway_secrets::{Owner, Purpose};

/// Returns the kubeconfig files or the server of a profile, and the context and namespace that it chooses. `home` is the
/// folder for paths that begin with `~`, `terminal` whether a credential plugin may ask there.
pub fn chosen(profile: &Profile, home: &Path, terminal: bool) -> (Sources, Choice) {
    let cluster = &profile.cluster;
    let file = cluster.kubeconfig.as_ref().map(|path| path.resolve(home));
    let choice = Choice {
        context: cluster.context.as_ref().map(ToString::to_string),
        namespace: cluster.namespace.as_ref().map(ToString::to_string),
        terminal,
    };
    let server = cluster.server.as_ref().map(|url| named(url, profile, home));
    let sources = Sources {
        server,
        ..Sources::from_environment(file)
    };
    (sources, choice)
}

fn named(url: &ServerUrl, profile: &Profile, home: &Path) -> NamedServer {
    let cluster = &profile.cluster;
    let authority = cluster.certificate_authority.as_ref();
    let inline = cluster.certificate_authority_data.as_ref();
    let token = cluster.token.clone().map(|reference| {
        Arc::new(ProfileToken {
            reference,
            owner: Owner::of(profile),
            home: home.to_owned(),
        }) as Arc<dyn TokenSource>
    });
    NamedServer {
        name: url.authority().to_owned(),
        url: url.to_string(),
        certificate_authority: authority.map(|path| path.resolve(home)),
        certificate_authority_data: inline.map(ToString::to_string),
        tls_server_name: cluster.tls_server_name.as_ref().map(ToString::to_string),
        token,
    }
}

/// The token of a profile.
#[derive(Debug)]
struct ProfileToken {
    reference: SecretReference,
    owner: Owner,
    home: PathBuf,
}

impl TokenSource for ProfileToken {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, Problem>> {
        let read = slipway_secrets::read(&self.reference, &self.owner, Purpose::Token, &self.home);
        async { read.await.map_err(|error| error.problem()) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profiles_server_stands_in_place_of_a_kubeconfig() {
        let text = "version = 1\n[cluster]\nserver = \"https://10.0.0.1:6443\"\nnamespace = \"shop\"\n\
                    certificate-authority = \"~/ca.crt\"\ntls-server-name = \"kubernetes\"\ntoken = \"env:TOKEN\"\n";
        let profile = Profile::from_toml("shop".parse().unwrap(), text).unwrap();
        let (sources, choice) = chosen(&profile, Path::new("/home/dev"), false);
        assert_eq!(
            (choice.context, choice.namespace),
            (None, Some("shop".to_owned()))
        );
        let server = sources.server.unwrap();
        assert_eq!(
            (&*server.name, &*server.url),
            ("10.0.0.1:6443", "https://10.0.0.1:6443")
        );
        assert_eq!(server.certificate_authority, Some("/home/dev/ca.crt".into()));
        assert_eq!(server.tls_server_name.as_deref(), Some("kubernetes"));
        assert!(server.token.is_some());
    }
}

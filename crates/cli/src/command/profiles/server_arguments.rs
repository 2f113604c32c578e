//! Arguments for a cluster that is in no kubeconfig.

use std::path::PathBuf;

use clap::Args;
use slipway_profile::{Profile, SecretReference, ServerUrl, TlsServerName};

use crate::arguments::file_path;
use crate::failure::Failure;

/// API server of a profile, in place of a kubeconfig.
#[derive(Debug, Default, Args)]
pub(super) struct ServerArguments {
    /// API server of a cluster that is in no kubeconfig; its token is in the keyring
    #[arg(long, value_name = "URL", conflicts_with_all = ["context", "kubeconfig"])]
    server: Option<ServerUrl>,
    /// File with the authorities that sign the server's certificate
    #[arg(long, value_name = "FILE", requires = "server")]
    certificate_authority: Option<PathBuf>,
    /// Name in the server's certificate, if that is another one than the server's host
    #[arg(long, value_name = "NAME", requires = "server")]
    tls_server_name: Option<TlsServerName>,
}

impl ServerArguments {
    /// Writes the server into a profile. The token of the server is a reference to the keyring.
    pub(super) fn onto(self, profile: &mut Profile) -> Result<(), Failure> {
        let Self {
            server: Some(server),
            certificate_authority,
            tls_server_name,
        } = self
        else {
            return Ok(());
        };
        let cluster = &mut profile.cluster;
        cluster.server = Some(server);
        cluster.certificate_authority = certificate_authority.as_deref().map(file_path).transpose()?;
        cluster.tls_server_name = tls_server_name;
        cluster.token = Some(SecretReference::Keyring);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::command_line::Arguments;

    #[test]
    fn a_server_stands_in_place_of_a_context() {
        let create = ["slipway", "profiles", "create", "shop"];
        let parsed = |more: &[&str]| Arguments::try_parse_from([&create[..], more].concat());
        assert!(parsed(&["--server", "https://10.0.0.1"]).is_ok());
        assert!(parsed(&["--server", "https://10.0.0.1", "--context", "staging"]).is_err());
        assert!(parsed(&["--tls-server-name", "kubernetes"]).is_err());
    }

    #[test]
    fn the_token_of_a_server_is_in_the_keyring() {
        let arguments = ServerArguments {
            server: Some("https://10.0.0.1".parse().unwrap()),
            certificate_authority: Some("/tmp/ca.crt".into()),
            tls_server_name: None,
        };
        let mut profile = Profile::new("shop".parse().unwrap());
        arguments.onto(&mut profile).unwrap();
        let text = profile.to_toml().unwrap();
        assert_eq!(Profile::from_toml(profile.name.clone(), &text).unwrap(), profile);
        assert_eq!(profile.cluster.token, Some(SecretReference::Keyring));
    }
}

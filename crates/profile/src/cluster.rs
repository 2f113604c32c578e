//! Cluster of a profile: of a kubeconfig, or named by the profile itself.

use serde::{Deserialize, Serialize};

use crate::file_path::FilePath;
use crate::secret_reference::SecretReference;
use crate::server::{Certificates, ServerUrl, TlsServerName};
use crate::value::{ContextName, Namespace};

/// Which cluster and namespace a profile connects to: a context of a kubeconfig, or a server that the profile names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cluster {
    /// The kubeconfig file; if absent, the one that kubectl would read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<FilePath>,
    /// The context; if absent, the kubeconfig's current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextName>,
    /// The API server of a cluster that is in no kubeconfig. Excludes `kubeconfig` and `context`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerUrl>,
    /// The file with the authorities that sign the server's certificate; without any, those of the laptop count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<FilePath>,
    /// The authorities themselves, in PEM format. Excludes `certificate-authority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<Certificates>,
    /// The name in the server's certificate, if that is another one than the server's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<TlsServerName>,
    /// Where the token is with which the user logs in to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretReference>,
    /// The namespace; if absent, the context's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// More namespaces in which names without dots are looked up, in this order, after the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_namespaces: Vec<Namespace>,
}

/// Two fields of a cluster that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The field that should go.
    pub(crate) field: &'static str,
    /// The other one.
    pub(crate) with: &'static str,
    /// Whether `field` needs `with`; otherwise they exclude each other.
    pub(crate) needs: bool,
}

impl Cluster {
    /// Removes the server that the profile names, because a kubeconfig was chosen in its place.
    pub fn leave_server(&mut self) {
        let Self {
            kubeconfig: _,
            context: _,
            server,
            certificate_authority,
            certificate_authority_data,
            tls_server_name,
            token,
            namespace: _,
            also_namespaces: _,
        } = self;
        *server = None;
        *certificate_authority = None;
        *certificate_authority_data = None;
        *tls_server_name = None;
        *token = None;
    }

    /// Returns the fields that do not go together. `has` is whether a text sets a field.
    pub(crate) fn conflicts(has: impl Fn(&str) -> bool) -> Vec<Conflict> {
        let excludes = [
            ("kubeconfig", "server"),
            ("context", "server"),
            ("certificate-authority-data", "certificate-authority"),
        ];
        let needs = [
            "certificate-authority",
            "certificate-authority-data",
            "tls-server-name",
            "token",
        ];
        let excluded = excludes.map(|(field, with)| Conflict {
            field,
            with,
            needs: false,
        });
        let needing = needs.map(|field| Conflict {
            field,
            with: "server",
            needs: true,
        });
        let found = excluded.into_iter().chain(needing);
        found
            .filter(|conflict| has(conflict.field) && has(conflict.with) != conflict.needs)
            .collect()
    }
}

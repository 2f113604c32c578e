//! API server that the user names in place of a kubeconfig.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::file::{Cluster, Context, Kubeconfig, NamedCluster, NamedContext, NamedUser, User};
use crate::token_source::TokenSource;

/// An API server that the user names in place of a kubeconfig. It counts as a kubeconfig with one context.
#[derive(Debug, Clone)]
pub struct NamedServer {
    /// Name of that context, for users.
    pub name: String,
    /// Address of the API server.
    pub url: String,
    /// File with the authorities of its certificate. Without any, those of this computer count.
    pub certificate_authority: Option<PathBuf>,
    /// The authorities themselves, in PEM format.
    pub certificate_authority_data: Option<String>,
    /// Name in its certificate, if that is another one than in the address.
    pub tls_server_name: Option<String>,
    /// Source of the token that the user logs in with.
    pub token: Option<Arc<dyn TokenSource>>,
}

impl NamedServer {
    pub(super) fn kubeconfig(&self) -> Kubeconfig {
        let Self {
            name,
            url,
            certificate_authority,
            certificate_authority_data,
            tls_server_name,
            token,
        } = self.clone();
        Kubeconfig {
            current_context: Some(name.clone()),
            contexts: vec![NamedContext {
                name: name.clone(),
                context: Some(Context {
                    cluster: Some(name.clone()),
                    user: Some(name.clone()),
                    namespace: None,
                }),
            }],
            clusters: vec![NamedCluster {
                name: name.clone(),
                cluster: Some(Cluster {
                    server: Some(url),
                    certificate_authority: certificate_authority
                        .map(|path| path.to_string_lossy().into_owned()),
                    certificate_authority_data: certificate_authority_data.map(|pem| STANDARD.encode(pem)),
                    tls_server_name,
                    ..Cluster::default()
                }),
            }],
            users: vec![NamedUser {
                name,
                user: Some(User {
                    token_source: token,
                    ..User::default()
                }),
            }],
        }
    }
}

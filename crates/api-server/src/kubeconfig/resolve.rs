//! Server and login that a context names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::ServerName;
use serde_json::{Map, Value};

use super::KubeconfigError;
use super::load::Picked;
use crate::client::Server;
use crate::file::{Cluster, Exec, InteractiveMode, Kubeconfig, User, data};
use crate::login::UserLogin;
use crate::login::plugin::Plugin;
use crate::proxy::proxy_for;
use crate::trust::{Trust, anchors};

/// Name of the extension of a cluster that plugins receive.
const PLUGIN_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// Characters of a header name (RFC 9110, 5.6.2) that stay as they are in the key of an impersonated user's extra field.
const HEADER_KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

fn unusable(context: &str, detail: impl ToString) -> KubeconfigError {
    KubeconfigError::Unusable {
        context: context.to_owned(),
        detail: detail.to_string(),
    }
}

/// Returns the API server of a context, with the proxy and trust anchors for it.
pub(super) fn server(picked: &Picked<'_>, user: &User) -> Result<Server, KubeconfigError> {
    let unusable = |detail: String| unusable(&picked.name, detail);
    let cluster = picked.cluster;
    let authority =
        authority(cluster).map_err(|error| unusable(format!("certificate-authority: {error}")))?;
    let skips = cluster.insecure_skip_tls_verify == Some(true);
    let url = url(cluster, authority.is_some() || skips).map_err(unusable)?;
    let proxy = proxy_for(&url, cluster.proxy_url.as_deref(), |name| {
        std::env::var(name).ok()
    });
    let trust = match authority {
        _ if skips => Trust::Anything,
        Some(pem) => Trust::Anchors(
            anchors(&pem).map_err(|error| unusable(format!("certificate-authority: {error}")))?,
        ),
        None => Trust::System,
    };
    let name = cluster
        .tls_server_name
        .clone()
        .map(ServerName::try_from)
        .transpose();
    let mut config = kube::Config::new(url.clone());
    config.headers = impersonation(user).map_err(unusable)?;
    Ok(Server {
        url,
        proxy: proxy.map_err(|error| unusable(error.to_string()))?,
        trust,
        tls_server_name: name.map_err(|error| unusable(format!("tls-server-name: {error}")))?,
        config,
    })
}

/// Returns the URL of the server. As in client-go, one without a scheme is an `https` one if anything about TLS is said.
fn url(cluster: &Cluster, is_tls: bool) -> Result<Uri, String> {
    let Some(text) = &cluster.server else {
        return Err("its cluster has no server".to_owned());
    };
    let text = if text.contains("://") {
        text.clone()
    } else if is_tls {
        format!("https://{text}")
    } else {
        format!("http://{text}")
    };
    let url: Uri = text
        .parse()
        .map_err(|error| format!("server {text:?}: {error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(url),
        _ => Err(format!("server {text:?} is not an http or https address")),
    }
}

fn authority(cluster: &Cluster) -> Result<Option<Vec<u8>>, data::DataError> {
    data::read(
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_deref(),
    )
}

/// Returns the headers by which a user acts as another one
/// (`k8s.io/client-go/transport`, `NewImpersonatingRoundTripper`).
fn impersonation(user: &User) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut headers = Vec::new();
    let mut add = |name: &str, value: &str| {
        let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is not a header"))?;
        let value =
            HeaderValue::from_str(value).map_err(|_| format!("{value:?} is not a value of a header"))?;
        headers.push((name, value));
        Ok::<_, String>(())
    };
    if let Some(name) = &user.impersonate {
        add("impersonate-user", name)?;
    }
    if let Some(uid) = &user.impersonate_uid {
        add("impersonate-uid", uid)?;
    }
    for group in &user.impersonate_groups {
        add("impersonate-group", group)?;
    }
    for (key, values) in &user.impersonate_extra {
        let key = utf8_percent_encode(&key.to_lowercase(), HEADER_KEY).to_string();
        for value in values {
            add(&format!("impersonate-extra-{key}"), value)?;
        }
    }
    Ok(headers)
}

/// Returns the login of a context's user. `terminal` is whether a plugin may use the terminal.
pub(super) fn user_login(
    user: &User,
    picked: &Picked<'_>,
    terminal: bool,
) -> Result<UserLogin, KubeconfigError> {
    let exec = user.exec.as_ref();
    match exec.map(|exec| (exec, exec.interactive_mode.as_ref())) {
        Some((exec, Some(InteractiveMode::Always))) if !terminal => {
            return Err(KubeconfigError::PluginNeedsTerminal {
                context: picked.name.clone(),
                plugin: exec.command.clone().unwrap_or_default(),
            });
        }
        Some((_, Some(InteractiveMode::Unknown(mode)))) => {
            return Err(unusable(
                &picked.name,
                format!("the user's interactiveMode is {mode:?}, not Never, IfAvailable or Always"),
            ));
        }
        Some(_) | None => {}
    }
    let plugin = |exec: &Exec| Plugin::new(exec, cluster_info(picked.cluster), terminal);
    UserLogin::of(user, || exec.map(plugin)).map_err(|error| unusable(&picked.name, error))
}

/// Returns the user of a context.
pub(super) fn user(kubeconfig: &Kubeconfig, picked: &Picked<'_>) -> User {
    kubeconfig.user(picked.context.user.as_deref())
}

/// Returns what a plugin may know about the cluster (`client.authentication.k8s.io/v1`, `Cluster`).
fn cluster_info(cluster: &Cluster) -> Value {
    let mut info = Map::new();
    let texts = [
        ("server", &cluster.server),
        ("tls-server-name", &cluster.tls_server_name),
        ("proxy-url", &cluster.proxy_url),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            info.insert(key.to_owned(), text.clone().into());
        }
    }
    if let Some(skips) = cluster.insecure_skip_tls_verify {
        info.insert("insecure-skip-tls-verify".to_owned(), skips.into());
    }
    if let Ok(Some(pem)) = authority(cluster) {
        let pem = STANDARD.encode(pem);
        info.insert("certificate-authority-data".to_owned(), pem.into());
    }
    let mut extensions = cluster.extensions.iter();
    if let Some(found) = extensions.find(|named| named.name == PLUGIN_EXTENSION) {
        info.insert("config".to_owned(), found.extension.clone());
    }
    Value::Object(info)
}

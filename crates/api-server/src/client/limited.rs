//! Connector with a limit, which tells who did not answer in time.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream, ResolveServerName,
};
use hyper_util::client::legacy::connect::Connection;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Service, ServiceExt as _};

use super::CONNECT_TIMEOUT;
use super::read_ahead::ReadAhead;

/// Who did not answer within [`CONNECT_TIMEOUT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
pub enum Silent {
    /// The proxy: it cannot be reached, or it does not say that it has connected to the API server.
    Proxy,
    /// The API server.
    Server,
}

/// TLS as a client.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    names: Arc<dyn ResolveServerName + Send + Sync>,
}

impl Tls {
    /// Makes TLS to a server whose certificate is for this name; for `None`, for the name in the URL.
    pub(super) fn new(config: ClientConfig, name: Option<ServerName<'static>>) -> Self {
        let names: Arc<dyn ResolveServerName + Send + Sync> = match name {
            Some(name) => Arc::new(FixedServerNameResolver::new(name)),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        Self {
            config: Arc::new(config),
            names,
        }
    }

    /// Returns a connector that uses TLS for an `https` URL.
    pub(super) fn over<C>(&self, connector: C) -> HttpsConnector<C> {
        HttpsConnector::new(connector, self.config.clone(), false, self.names.clone())
    }
}

/// Connector to the API server.
#[derive(Clone)]
pub(super) struct Limited<C> {
    /// Connects to the API server, or through a proxy, without the API server's TLS.
    pub(super) connector: C,
    /// Who is asked first.
    pub(super) nearest: Silent,
    pub(super) tls: Tls,
}

impl<C> Service<Uri> for Limited<C>
where
    C: Service<Uri> + Clone + Send + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError> + Send + 'static,
{
    type Response = MaybeHttpsStream<ReadAhead<C::Response>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (connector, nearest, tls) = (self.connector.clone(), self.nearest, self.tls.clone());
        Box::pin(async move {
            let by = Instant::now() + CONNECT_TIMEOUT;
            let reached = timeout_at(by, connector.oneshot(url.clone()))
                .await
                .map_err(|_| nearest)?
                .map_err(Into::into)?;
            let mut reached = Some(ReadAhead::new(reached));
            let given = tower::service_fn(move |_| {
                std::future::ready(
                    reached
                        .take()
                        .ok_or(io::ErrorKind::NotConnected)
                        .map_err(io::Error::from),
                )
            });
            timeout_at(by, tls.over(given).call(url))
                .await
                .map_err(|_| Silent::Server)?
        })
    }
}

#[cfg(test)]
mod tests {
    use slipway_problem::Fault;
    use slipway_scripted_api::silent_after;

    use crate::Target;
    use crate::kubeconfig::{Choice, ConnectError, Sources, choose};
    use crate::proxy::{Proxy, Setting};

    use super::*;

    fn target(cluster: &str) -> Target {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let text = format!(
            "current-context: test
clusters: [{{name: test, cluster: {{insecure-skip-tls-verify: true, {cluster}}}}}]
contexts: [{{name: test, context: {{cluster: test}}}}]
"
        );
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        choose(&sources, &Choice::default()).unwrap()
    }

    /// Returns the error of a request that is given up after [`CONNECT_TIMEOUT`].
    async fn given_up(target: &Target) -> ConnectError {
        let client = target.client().await.unwrap();
        let begun = Instant::now();
        let error = target.probe(&client).await.unwrap_err();
        let waited = begun.elapsed();
        assert!(
            waited >= CONNECT_TIMEOUT && waited < CONNECT_TIMEOUT * 11 / 10,
            "{waited:?}: {error}"
        );
        error
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_proxy_is_named() {
        let (peer, _proxy) = silent_after("").await;
        for scheme in ["http", "https", "socks5"] {
            let proxy = format!("{scheme}://{peer}");
            for (setting, shown) in [
                (Setting::ProxyUrl, "proxy-url in the kubeconfig"),
                (Setting::Variable("HTTPS_PROXY"), "the variable HTTPS_PROXY"),
            ] {
                let mut target = target("server: 'https://api.test:6443'");
                let url = proxy.parse().unwrap();
                Arc::get_mut(&mut target.api).unwrap().proxy = Some(Proxy { url, setting });
                let error = given_up(&target).await;
                assert_eq!(error.code(), "api-proxy");
                assert!(error.cause.is_passing());
                let said = format!("{proxy} (from {shown}): no answer within 10 s");
                assert!(error.to_string().ends_with(&said), "{error}");
                assert!(error.remedy().contains("HTTPS_PROXY"), "{}", error.remedy());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_with_a_name_is_unreachable() {
        let (peer, _server) = silent_after("").await;
        for host in ["localhost", "127.0.0.1"] {
            let error = given_up(&target(&format!("server: 'https://{host}:{}'", peer.port()))).await;
            assert_eq!(error.code(), "api-unreachable");
            assert!(
                error
                    .to_string()
                    .ends_with("the API server cannot be reached: no answer within 10 s"),
                "{error}"
            );
            assert!(error.remedy().contains("VPN"), "{}", error.remedy());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_behind_a_proxy_is_unreachable() {
        let (peer, _proxy) = silent_after("HTTP/1.1 200 OK\r\n\r\n").await;
        let proxy = format!("http://{peer}");
        let error = given_up(&target(&format!(
            "server: 'https://api.test:6443', proxy-url: '{proxy}'"
        )))
        .await;
        assert_eq!(error.code(), "api-unreachable");
        let said =
            format!("no answer within 10 s, through the proxy {proxy} (from proxy-url in the kubeconfig)");
        assert!(error.to_string().ends_with(&said), "{error}");
    }
}

//! Client of the Kubernetes API whose connections suit carriers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use percent_encoding::percent_decode_str;
use tower::retry::RetryLayer;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _};

use crate::read_ahead::ReadAhead;

/// Limit for TCP and TLS to the API server and its proxy. A shorter limit in the configuration takes precedence.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that sent bytes may remain unacknowledged before the kernel closes the connection (TCP_USER_TIMEOUT). Without
/// it, a laptop that changed networks waits a quarter of an hour.
pub const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which the kernel probes whether the peer is alive, and the interval of further probes.
pub const KEEPALIVE: Duration = Duration::from_secs(15);

/// Time for which an unused connection is kept for the next request. A connection from before a change of networks is
/// dead, and a request on it would have to time out. Requests of one operation follow each other sooner.
pub const IDLE: Duration = Duration::from_secs(1);

/// Creates a client for `config` like kube's default one (credentials, TLS, proxy, retries). Its connections have the
/// socket options that a carrier needs and a limit for connecting.
///
/// Unlike kube, it sets no `valid_until` and ignores the configuration's read and write timeouts: they would end an idle
/// carrier, and [`USER_TIMEOUT`] limits writes.
///
/// Like kube, it runs the configuration's credential plugin, and blocks meanwhile.
///
/// # Errors
/// Returns kube's error when certificates, keys, headers, the credential plugin or the proxy of `config` are unusable.
pub fn client(config: Config) -> kube::Result<kube::Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_tcp_user_timeout(Some(USER_TIMEOUT));
    // If one of several addresses is dead, there must be time for the next.
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));

    let Some(proxy) = config.proxy_url.clone() else {
        return over(tcp, &config);
    };
    match proxy.scheme_str() {
        Some("socks5") => over(SocksV5::new(proxy, tcp), &config),
        Some("http") => over(tunnel(&proxy, tcp)?, &config),
        Some("https") => {
            let tls = config.rustls_https_connector_with_connector(tcp)?;
            over(tunnel(&proxy, tls)?, &config)
        }
        Some(_) | None => Err(kube::Error::ProxyProtocolUnsupported {
            proxy_url: Box::new(proxy),
        }),
    }
}

/// Builds the layers of kube's default client around `connector`.
fn over<C>(connector: C, config: &Config) -> kube::Result<kube::Client>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError> + Send + 'static,
{
    let connector = connector.map_response(ReadAhead::new);
    let tls = config.rustls_https_connector_with_connector(connector)?;
    let limit = config
        .connect_timeout
        .unwrap_or(CONNECT_TIMEOUT)
        .min(CONNECT_TIMEOUT);
    // Boxed, because hyper needs a future that is `Unpin`.
    let connector = BoxCloneSyncService::new(Timeout::new(tls, limit));
    let http = legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(
            config
                .default_retry
                .then(|| RetryLayer::new(RetryPolicy::server_retry())),
        )
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

/// Returns a connector through an HTTP CONNECT proxy, with the user and password of the proxy's URL, if any.
fn tunnel<C>(proxy: &Uri, connector: C) -> kube::Result<Tunnel<C>> {
    let tunnel = Tunnel::new(proxy.clone(), connector);
    let Some((user, _host)) = proxy
        .authority()
        .and_then(|authority| authority.as_str().rsplit_once('@'))
    else {
        return Ok(tunnel);
    };
    let user: Vec<u8> = percent_decode_str(user).collect();
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(user)))
        .map_err(|error| kube::Error::HttpError(error.into()))?;
    value.set_sensitive(true);
    Ok(tunnel.with_auth(value))
}

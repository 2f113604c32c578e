//! A `kube::Client` whose connections are fit to be carriers.

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

/// Longest time for TCP and TLS, and the proxy's, to the API server. A shorter one in the
/// configuration holds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long sent bytes may stay without an acknowledgement before the kernel gives a connection up
/// (TCP_USER_TIMEOUT). Without it, a laptop that changed networks waits a quarter of an hour.
pub const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which the kernel asks whether the other end still lives, and between two such
/// questions.
pub const KEEPALIVE: Duration = Duration::from_secs(15);

/// How long a connection that nobody uses is kept for the next request. After a change of networks it is dead, and
/// whoever used it would find out by waiting; requests that follow one another are sooner.
pub const IDLE: Duration = Duration::from_secs(1);

/// A client for `config` like kube's own (credentials, TLS, proxy, retries), except that its
/// connections have the socket options that a carrier needs and a bounded time to connect.
///
/// Unlike kube's, it sets no `valid_until`, and leaves the configuration's read and write timeouts
/// alone: they would end a carrier that is idle, and the kernel's [`USER_TIMEOUT`] bounds writes.
///
/// Like kube's, it runs the configuration's credential plugin, which blocks.
///
/// # Errors
/// kube's own, when certificates, keys, headers, the credential plugin or the proxy of `config` are unusable.
pub fn client(config: Config) -> kube::Result<kube::Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_tcp_user_timeout(Some(USER_TIMEOUT));
    // So that one dead address of several leaves time for the next.
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

/// The layers of kube's default client around `connector`.
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
    // Boxed, because hyper wants a future that can be moved.
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

/// An HTTP CONNECT tunnel, with the proxy's user and password if its address has them.
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

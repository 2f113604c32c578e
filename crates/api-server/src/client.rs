//! Clients of the API server, whose connections suit carriers.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _};

use crate::login::{Login, Numbered};
use crate::proxy::Proxy;
use crate::trust::{self, Trust};
use limited::{Limited, Tls};

pub use limited::Silent;

mod limited;
mod read_ahead;

/// Limit for TCP and TLS to the API server and its proxy, and the lookup of their names.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that sent bytes may remain unacknowledged before the kernel closes the connection (TCP_USER_TIMEOUT). Without
/// it, a laptop that changed networks waits a quarter of an hour.
pub const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which the kernel probes whether the peer is alive, and the interval of further probes.
pub const KEEPALIVE: Duration = Duration::from_secs(15);

/// Time for which an unused connection is kept for the next request. A connection from before a change of networks is
/// dead, and a request on it would have to time out. Requests of one operation follow each other sooner.
pub const IDLE: Duration = Duration::from_secs(1);

/// An API server as the kubeconfig describes it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: Uri,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) trust: Trust,
    /// Name in its certificate, if that is another one than in the URL.
    pub(crate) tls_server_name: Option<ServerName<'static>>,
    /// Base URL, and headers of a user who acts as another one.
    pub(crate) config: kube::Config,
}

/// Requests over connections with one client certificate.
type Http = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

/// Creates a client. Its connections have the socket options that a carrier needs and a limit for connecting.
///
/// Unlike kube's client, it has no limits for reading and writing: they would end an idle carrier, and [`USER_TIMEOUT`]
/// limits writes.
pub(crate) fn build(server: Arc<Server>, login: Arc<Login>, namespace: &str) -> kube::Result<kube::Client> {
    let config = server.config.clone();
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .layer(config.extra_headers_layer()?)
        .service(LoggedIn {
            login,
            connections: Arc::new(Connections {
                server,
                current: Mutex::new(None),
            }),
        });
    Ok(ClientBuilder::new(service, namespace).build())
}

/// Adds credentials to requests, and renews those that the API server refuses.
#[derive(Clone)]
struct LoggedIn {
    login: Arc<Login>,
    connections: Arc<Connections>,
}

impl Service<Request<Body>> for LoggedIn {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Incoming>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { login, connections } = self.clone();
        Box::pin(async move {
            let again = copy(&request);
            let first = login.credentials().await?;
            let response = connections.send(request, &first).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                login.accepted(&first);
                return Ok(response);
            }
            let refused = login.refused(&first);
            let Some(again) = again else {
                return Err(refused.into());
            };
            let second = login.credentials().await?;
            if second.number == first.number {
                return Err(refused.into());
            }
            let response = connections.send(again, &second).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                return Err(login.refused(&second).into());
            }
            login.accepted(&second);
            Ok(response)
        })
    }
}

/// Copies a request, unless its body can be sent only once.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// Connections to one API server. A connection belongs to the client certificate that it was opened with.
struct Connections {
    server: Arc<Server>,
    current: Mutex<Option<(Option<Arc<CertifiedKey>>, Http)>>,
}

impl Connections {
    async fn send(&self, mut request: Request<Body>, by: &Numbered) -> Result<Response<Incoming>, BoxError> {
        if let Some(value) = &by.credentials.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        self.of(by.credentials.identity.as_ref())?.oneshot(request).await
    }

    fn of(&self, identity: Option<&Arc<CertifiedKey>>) -> Result<Http, BoxError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((by, http)) = &*current
            && by.as_ref().map(Arc::as_ptr) == identity.map(Arc::as_ptr)
        {
            return Ok(http.clone());
        }
        let http = self.server.connect(identity.cloned())?;
        *current = Some((identity.cloned(), http.clone()));
        Ok(http)
    }
}

impl Server {
    fn connect(&self, identity: Option<Arc<CertifiedKey>>) -> Result<Http, BoxError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_tcp_user_timeout(Some(USER_TIMEOUT));
        // If one of several addresses is dead, there must be time for the next.
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));

        let tls = Tls::new(trust::tls(&self.trust, identity)?, self.tls_server_name.clone());
        let Some(proxy) = &self.proxy else {
            return Ok(self.over(tcp, tls));
        };
        match proxy.url.scheme_str() {
            Some("socks5" | "socks5h") => Ok(self.over(socks(proxy, tcp), tls)),
            Some("https") => {
                let to_proxy = Tls::new(trust::tls(&self.trust, None)?, None);
                Ok(self.over(tunnel(proxy, to_proxy.over(tcp))?, tls))
            }
            Some(_) | None => Ok(self.over(tunnel(proxy, tcp)?, tls)),
        }
    }

    fn over<C>(&self, connector: C, tls: Tls) -> Http
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Connection + Read + Write + Send + Unpin + 'static,
        C::Future: Send + 'static,
        C::Error: Into<BoxError> + Send + 'static,
    {
        let nearest = match self.proxy {
            Some(_) => Silent::Proxy,
            None => Silent::Server,
        };
        let connector = Limited {
            connector,
            nearest,
            tls,
        };
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .build::<_, Body>(connector);
        BoxCloneSyncService::new(http.map_err(BoxError::from))
    }
}

/// Returns a connector through a SOCKS 5 proxy, which also resolves the server's name.
fn socks<C>(proxy: &Proxy, connector: C) -> SocksV5<C> {
    let socks = SocksV5::new(proxy.url.clone(), connector);
    match proxy.login() {
        Some((user, password)) => socks.with_auth(decoded(user), decoded(password)),
        None => socks,
    }
}

/// Returns a connector through an HTTP CONNECT proxy.
fn tunnel<C>(proxy: &Proxy, connector: C) -> Result<Tunnel<C>, BoxError> {
    let tunnel = Tunnel::new(proxy.url.clone(), connector);
    let Some((user, password)) = proxy.login() else {
        return Ok(tunnel);
    };
    let login = BASE64.encode(format!("{}:{}", decoded(user), decoded(password)));
    let mut value = HeaderValue::from_str(&format!("Basic {login}"))?;
    value.set_sensitive(true);
    Ok(tunnel.with_auth(value))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

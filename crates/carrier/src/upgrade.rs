//! HTTP request that upgrades a connection to the API server to a carrier.

use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::client::legacy;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::core::Status;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::Endpoint;
use crate::error::{CarrierError, Wait};

/// Limit from the request to the API server's 101, including connecting and login. It is longer than
/// [`CONNECT_TIMEOUT`](crate::CONNECT_TIMEOUT), so that an API server that cannot be reached is distinguished from one
/// that does not answer.
pub const UPGRADE_TIMEOUT: Duration = Duration::from_secs(15);

/// Limit for the rest of an answer that refuses the upgrade.
pub(crate) const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest part of a refusal that is read, in bytes; proxies send whole pages.
const MAX_REFUSAL: usize = 64 * 1024;

/// Largest part of a refusal without a Status that is shown, in characters.
const MAX_SHOWN: usize = 300;

const PORT_FORWARD_V1: &str = "portforward.k8s.io";
const SPDY: &str = "SPDY/3.1";
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";

/// Upgraded connection: bytes to and from the node.
pub(crate) type Upgrade = TokioIo<Upgraded>;

/// Upgrades to plain SPDY/3.1, as kubectl did before 1.31.
pub(crate) async fn spdy(client: &kube::Client, endpoint: &Endpoint) -> Result<Upgrade, CarrierError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path(endpoint))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, SPDY)
        .header(STREAM_PROTOCOL, PORT_FORWARD_V1);
    upgrade(client, request, |headers| {
        if !has(headers, header::UPGRADE.as_str(), SPDY) {
            return Err("the API server switched to a protocol other than SPDY/3.1");
        }
        if !has(headers, STREAM_PROTOCOL, PORT_FORWARD_V1) {
            return Err("the node speaks another port-forward protocol");
        }
        Ok(())
    })
    .await
}

/// Upgrades to SPDY/3.1 inside a WebSocket, which passes proxies that do not know SPDY (KEP-4006; on by default since
/// Kubernetes 1.31).
pub(crate) async fn websocket(client: &kube::Client, endpoint: &Endpoint) -> Result<Upgrade, CarrierError> {
    let key = generate_key();
    let request = Request::builder()
        .method(Method::GET)
        .uri(path(endpoint))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, TUNNELLED);
    let accept = derive_accept_key(key.as_bytes());
    upgrade(client, request, |headers| {
        if !has(headers, header::UPGRADE.as_str(), "websocket") {
            return Err("the API server switched to a protocol other than WebSocket");
        }
        if headers
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_none_or(|value| value != &accept)
        {
            return Err("the WebSocket handshake was answered with a wrong key");
        }
        if !has(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str(), TUNNELLED) {
            return Err("the API server does not tunnel port-forwards through a WebSocket");
        }
        Ok(())
    })
    .await
}

async fn upgrade(
    client: &kube::Client,
    request: http::request::Builder,
    check: impl FnOnce(&HeaderMap) -> Result<(), &'static str>,
) -> Result<Upgrade, CarrierError> {
    let request = request.body(Body::empty()).map_err(|_| CarrierError::Protocol {
        what: "an impossible request",
    })?;
    let switch = async {
        let response = client.send(request).await.map_err(|error| from_send(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            return Err(refusal(status, response.into_body()).await);
        }
        check(response.headers()).map_err(|what| CarrierError::Protocol { what })?;
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|error| CarrierError::Lost {
                cause: with_causes(&error),
            })?;
        Ok(TokioIo::new(upgraded))
    };
    timeout(UPGRADE_TIMEOUT, switch)
        .await
        .unwrap_or(Err(CarrierError::TimedOut { wait: Wait::Upgrade }))
}

fn path(endpoint: &Endpoint) -> String {
    let Endpoint {
        namespace, pod, port, ..
    } = endpoint;
    format!("/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}")
}

fn has(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers
        .get(name)
        .is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

async fn refusal(status: StatusCode, body: Body) -> CarrierError {
    let body = match timeout(REFUSAL_TIMEOUT, Limited::new(body, MAX_REFUSAL).collect()).await {
        Err(_) => return CarrierError::TimedOut { wait: Wait::Refusal },
        // The body is too long or incomplete: report the status alone.
        Ok(Err(_)) => Vec::new(),
        Ok(Ok(body)) => body.to_bytes().to_vec(),
    };
    from_answer(status, &body, "pods/portforward")
}

/// Returns the error for an answer that refuses the upgrade.
fn from_answer(status: StatusCode, body: &[u8], resource: &'static str) -> CarrierError {
    match serde_json::from_slice::<Status>(body) {
        Ok(answer) if !answer.message.is_empty() => from_status(status, answer.message, resource, true),
        Ok(_) | Err(_) => {
            let text = String::from_utf8_lossy(body);
            let shown: String = text.trim().chars().take(MAX_SHOWN).collect();
            from_status(status, shown, resource, false)
        }
    }
}

/// Returns the error for a status. `by_api_server` is whether the message was in a Status: a proxy's 404 does not mean
/// that the pod is missing.
pub(crate) fn from_status(
    status: StatusCode,
    message: String,
    resource: &'static str,
    by_api_server: bool,
) -> CarrierError {
    match status {
        StatusCode::UNAUTHORIZED => CarrierError::Unauthorized { message },
        StatusCode::FORBIDDEN if by_api_server => CarrierError::Forbidden { message, resource },
        StatusCode::NOT_FOUND if by_api_server => CarrierError::PodNotFound { message },
        status => CarrierError::UpgradeRefused { status, message },
    }
}

/// Returns the error for a request without an answer.
pub(crate) fn from_send(error: &kube::Error) -> CarrierError {
    let cause = with_causes(error);
    if let kube::Error::Auth(_) = error {
        return CarrierError::Credentials { cause };
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.is::<tower::timeout::error::Elapsed>() {
            return CarrierError::TimedOut { wait: Wait::Connect };
        }
        if error.is::<kube::client::AuthError>() {
            return CarrierError::Credentials { cause };
        }
        if let Some(error) = error.downcast_ref::<legacy::Error>()
            && !error.is_connect()
        {
            // The connection was cut after it was established: some proxies do that with an upgrade that they do not know.
            return CarrierError::Lost { cause };
        }
        source = error.source();
    }
    CarrierError::Unreachable { cause }
}

/// Formats an error and its causes as one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors include their cause in their text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Node, WebSocketPeer, within};
    use crate::{CarrierKind, Pipe, open};
    use kube::Config;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    /// Starts an API server that reads one request and sends `answer`. Its task returns the request's head and the
    /// connection.
    async fn api_server(
        answer: impl FnOnce(&str) -> Vec<u8> + Send + 'static,
    ) -> (kube::Client, JoinHandle<(String, TcpStream)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let head = read_head(&mut connection).await;
            connection.write_all(&answer(&head)).await.unwrap();
            (head, connection)
        });
        (crate::client(Config::new(url.parse().unwrap())).unwrap(), server)
    }

    async fn read_head(connection: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    fn endpoint() -> Endpoint {
        Endpoint::new("shop", "web-0", 7000).unwrap()
    }

    fn status(code: u16, message: &str) -> String {
        let body = format!(r#"{{"kind":"Status","status":"Failure","message":"{message}","code":{code}}}"#);
        format!(
            "HTTP/1.1 {code} No\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    const SPDY_SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n";

    fn websocket_switch(head: &str, protocol: &str) -> String {
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .expect("a WebSocket handshake");
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n",
            derive_accept_key(key.as_bytes()),
        )
    }

    async fn refused_with(answer: String) -> CarrierError {
        let (client, _server) = api_server(|_| answer.into_bytes()).await;
        within(open(&client, &endpoint(), CarrierKind::Spdy))
            .await
            .expect_err("a refusal")
    }

    async fn exchange(mut pipe: Pipe, node: &mut Node<TcpStream>) {
        pipe.write_all(b"ping").await.unwrap();
        pipe.flush().await.unwrap();
        within(node.accept(7000)).await;
        assert_eq!(within(node.receive(4)).await, b"ping");
        node.data(3, false, b"pong").await;
        let mut read = [0; 4];
        within(pipe.read_exact(&mut read)).await.unwrap();
        assert_eq!(&read, b"pong");
    }

    #[tokio::test]
    async fn spdy_asks_for_the_pods_port_and_carries_bytes() {
        let (client, server) = api_server(|_| SPDY_SWITCH.into()).await;
        let pipe = within(open(&client, &endpoint(), CarrierKind::Spdy))
            .await
            .unwrap();
        let (head, connection) = server.await.unwrap();
        assert!(
            head.starts_with("POST /api/v1/namespaces/shop/pods/web-0/portforward?ports=7000 HTTP/1.1\r\n"),
            "{head}"
        );
        exchange(pipe, &mut Node::new(connection)).await;
    }

    #[tokio::test]
    async fn bytes_in_the_packet_of_the_switch_are_not_lost() {
        let early = [&[0, 0, 0, 3, 0, 0, 0, 5][..], b"early"].concat();
        let (client, _server) = api_server(|_| [SPDY_SWITCH.into(), early].concat()).await;
        let mut pipe = within(open(&client, &endpoint(), CarrierKind::Spdy))
            .await
            .unwrap();
        let mut read = [0; 5];
        within(pipe.read_exact(&mut read)).await.unwrap();
        assert_eq!(&read, b"early");
    }

    #[tokio::test]
    async fn a_websocket_carries_the_same_frames() {
        let (client, server) = api_server(|head| websocket_switch(head, TUNNELLED).into_bytes()).await;
        let mut pipe = within(open(&client, &endpoint(), CarrierKind::WebSocket))
            .await
            .unwrap();
        let (head, mut connection) = server.await.unwrap();
        assert!(head.starts_with("GET "), "{head}");
        pipe.write_all(b"ping").await.unwrap();
        pipe.flush().await.unwrap();
        // One binary message that holds the opening and the first data.
        let (near, mut far) = tokio::io::duplex(4096);
        let mut message = vec![0; 4096];
        let length = within(connection.read(&mut message)).await.unwrap();
        far.write_all(&message[..length]).await.unwrap();
        let (opcode, spdy) = within(WebSocketPeer::new(near).next()).await;
        assert_eq!((opcode, &spdy[spdy.len() - 4..]), (2, &b"ping"[..]));
    }

    #[tokio::test]
    async fn an_api_server_without_tunneling_is_recognized() {
        let (client, _server) =
            api_server(|head| websocket_switch(head, "v4.channel.k8s.io").into_bytes()).await;
        let error = within(open(&client, &endpoint(), CarrierKind::WebSocket))
            .await
            .unwrap_err();
        assert!(matches!(error, CarrierError::Protocol { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_missing_permission_has_the_api_servers_message() {
        let message = "pods is forbidden: User dev cannot create resource pods/portforward";
        let error = refused_with(status(403, message)).await;
        let expected = CarrierError::Forbidden {
            message: message.to_owned(),
            resource: "pods/portforward",
        };
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn a_missing_pod_differs_from_a_missing_path() {
        let error = refused_with(status(404, "pods web-0 not found")).await;
        assert_eq!(
            error,
            CarrierError::PodNotFound {
                message: "pods web-0 not found".to_owned()
            }
        );
        let page = "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnginx 404".to_owned();
        let error = refused_with(page).await;
        let expected = CarrierError::UpgradeRefused {
            status: StatusCode::NOT_FOUND,
            message: "nginx 404".to_owned(),
        };
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn a_proxys_endless_page_is_not_read_to_its_end() {
        let page = format!("HTTP/1.1 502 Bad Gateway\r\n\r\n{}", "x".repeat(MAX_REFUSAL * 2));
        let error = refused_with(page).await;
        let expected = CarrierError::UpgradeRefused {
            status: StatusCode::BAD_GATEWAY,
            message: String::new(),
        };
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn credentials_that_are_not_accepted_are_their_own_error() {
        let error = refused_with(status(401, "Unauthorized")).await;
        assert_eq!(
            error,
            CarrierError::Unauthorized {
                message: "Unauthorized".to_owned()
            }
        );
    }

    #[tokio::test]
    async fn a_closed_address_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = crate::client(Config::new(url.parse().unwrap())).unwrap();
        let error = within(open(&client, &endpoint(), CarrierKind::Spdy))
            .await
            .unwrap_err();
        assert!(matches!(error, CarrierError::Unreachable { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_connection_cut_instead_of_an_answer_is_lost() {
        let (client, server) = api_server(|_| Vec::new()).await;
        let endpoint = endpoint();
        let cut = async { drop(server.await) };
        let (opened, ()) =
            within(async { tokio::join!(open(&client, &endpoint, CarrierKind::Spdy), cut) }).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, CarrierError::Lost { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn the_connections_have_the_socket_options_of_a_carrier() {
        // Seen from /proc: the timer of the keepalive, which no default connection has.
        let (client, server) = api_server(|_| SPDY_SWITCH.into()).await;
        let _pipe = within(open(&client, &endpoint(), CarrierKind::Spdy))
            .await
            .unwrap();
        let (_, connection) = server.await.unwrap();
        let local = connection.peer_addr().unwrap();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let ours = format!("0100007F:{:04X}", local.port());
        let line = table
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(ours.as_str()))
            .expect("our socket");
        let timer = line.split_whitespace().nth(5).unwrap();
        assert!(timer.starts_with("02:"), "no keepalive timer: {line}");
    }

    #[tokio::test]
    async fn an_http_proxy_is_asked_with_its_password() {
        let (listener, url) = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            (listener, format!("http://me:p%40ss@{address}"))
        };
        let proxy = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let connect = read_head(&mut connection).await;
            connection
                .write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
                .await
                .unwrap();
            let request = read_head(&mut connection).await;
            connection.write_all(SPDY_SWITCH.as_bytes()).await.unwrap();
            (connect, request, connection)
        });
        let mut config = Config::new("http://api.example:6443".parse().unwrap());
        config.proxy_url = Some(url.parse().unwrap());
        let client = crate::client(config).unwrap();
        within(open(&client, &endpoint(), CarrierKind::Spdy))
            .await
            .unwrap();
        let (connect, request, _connection) = proxy.await.unwrap();
        assert!(
            connect.starts_with("CONNECT api.example:6443 HTTP/1.1\r\n"),
            "{connect}"
        );
        // base64("me:p@ss")
        assert!(connect.contains("Basic bWU6cEBzcw=="), "{connect}");
        assert!(request.starts_with("POST /api/v1/"), "{request}");
    }
}

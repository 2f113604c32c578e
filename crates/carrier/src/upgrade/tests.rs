//! Tests of upgrade.

use super::*;
use crate::scripted::{Node, WebSocketPeer, within};
use crate::test_client::{client_by, client_of};
use crate::{CarrierKind, Pipe, open};
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
    (client_of(&url).await, server)
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
    let (client, _server) = api_server(|head| websocket_switch(head, "v4.channel.k8s.io").into_bytes()).await;
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
        CarrierError::Login(LoginError::Refused {
            plugin: None,
            expired: None,
        })
    );
}

#[tokio::test]
async fn a_closed_address_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = client_of(&url).await;
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
    let (opened, ()) = within(async { tokio::join!(open(&client, &endpoint, CarrierKind::Spdy), cut) }).await;
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
    let cluster = format!("server: 'http://api.example:6443', proxy-url: '{url}'");
    let client = client_by(&cluster).await;
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

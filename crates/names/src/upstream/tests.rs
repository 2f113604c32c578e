//! Tests against scripted name servers on the loopback address.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::message::{Rcode, address, empty, query};
use crate::question::RecordType;

struct Plain;

impl Dial for Plain {
    fn dial(&self, server: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send {
        TcpStream::connect(server)
    }
}

/// The datagrams that a name server sends back for a query.
type Behavior = fn(&Query<'_>) -> Vec<Vec<u8>>;

/// Starts a name server, which ends with the runtime of its test.
async fn server(behavior: Behavior) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            for answer in behavior(&Query::parse(&buffer[..length]).unwrap()) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    address
}

async fn upstream(addresses: &[SocketAddr]) -> Upstream<Plain> {
    let mut servers = Vec::new();
    for &address in addresses {
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            socket.connect(address).await.unwrap();
            sockets.push(socket);
        }
        servers.push(Server { address, sockets });
    }
    Upstream::new(servers, PATIENCE, Plain)
}

fn asked() -> Bytes {
    let mut bytes = query(&"www.example.org".parse().unwrap(), RecordType::A);
    bytes[..2].copy_from_slice(b"ID");
    bytes.into()
}

fn last_octet(answer: &[u8]) -> u8 {
    assert_eq!(answer[..2], *b"ID");
    answer[answer.len() - 1]
}

const FIRST: Behavior = |query| vec![address(query, Ipv4Addr::new(192, 0, 2, 1))];
const SECOND: Behavior = |query| vec![address(query, Ipv4Addr::new(192, 0, 2, 2))];
const SILENT: Behavior = |_| Vec::new();

/// Limit of a server that the program asked.
const PATIENCE: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn servers_are_asked_in_their_order() {
    let servers = [server(FIRST).await, server(SECOND).await];
    for _ in 0..4 {
        assert_eq!(
            last_octet(
                &upstream(&servers)
                    .await
                    .ask(asked(), Addressee::InOrder)
                    .await
                    .unwrap()
            ),
            1
        );
    }
}

#[tokio::test]
async fn a_server_that_was_silent_is_asked_first_again() {
    // It is silent about one name, as if it had been away for a moment.
    let servers = [
        server(|query| {
            let is_known = query.name.starts_with(b"\x03www");
            is_known
                .then(|| address(query, Ipv4Addr::new(192, 0, 2, 1)))
                .into_iter()
                .collect()
        })
        .await,
        server(SECOND).await,
    ];
    let upstream = upstream(&servers).await;
    let other = query(&"other.example.org".parse().unwrap(), RecordType::A);
    let start = Instant::now();
    let answer = upstream.ask(other.into(), Addressee::InOrder).await.unwrap();
    assert_eq!(
        (answer[answer.len() - 1], start.elapsed() >= ROUNDS[0]),
        (2, true)
    );
    assert_eq!(
        last_octet(&upstream.ask(asked(), Addressee::InOrder).await.unwrap()),
        1
    );
}

#[tokio::test]
async fn the_server_that_the_program_asked_is_the_only_one_asked() {
    let servers = [server(SILENT).await, server(SECOND).await];
    let upstream = upstream(&servers).await;
    let ask = |place| upstream.ask(asked(), Addressee::Only(place));
    assert_eq!(last_octet(&ask(1).await.unwrap()), 2);
    let start = Instant::now();
    assert_eq!(ask(0).await, Err(AskError::TimedOut));
    assert!(start.elapsed() >= PATIENCE, "took {:?}", start.elapsed());
    assert_eq!(
        last_octet(&ask(2).await.unwrap()),
        2,
        "a list that became shorter is asked in order"
    );
    let refuses = [
        server(|query| vec![empty(query, Rcode::Refused)]).await,
        servers[1],
    ];
    let upstream = self::upstream(&refuses).await;
    let answer = upstream.ask(asked(), Addressee::Only(0)).await.unwrap();
    assert_eq!(message::rcode(&answer), Some(5), "the program gets the refusal");
}

#[tokio::test]
async fn a_server_that_refuses_or_is_not_there_costs_no_waiting() {
    let absent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let refuses = server(|query| vec![empty(query, Rcode::Refused)]).await;
    let start = Instant::now();
    let answer = upstream(&[absent, refuses, server(SECOND).await])
        .await
        .ask(asked(), Addressee::InOrder)
        .await;
    assert_eq!(last_octet(&answer.unwrap()), 2);
    assert!(start.elapsed() < ROUNDS[0], "took {:?}", start.elapsed());
    // When all servers refuse, the program gets the refusal.
    let answer = upstream(&[refuses])
        .await
        .ask(asked(), Addressee::InOrder)
        .await
        .unwrap();
    assert_eq!(message::rcode(&answer), Some(5));
}

#[tokio::test]
async fn forged_answers_are_not_taken_for_the_true_one() {
    let servers = [server(|asked| {
        let mut wrong_id = address(asked, Ipv4Addr::new(203, 0, 113, 66));
        wrong_id[0] ^= 1;
        let other = query(&"www.example.net".parse().unwrap(), RecordType::A);
        let mut wrong_name = address(&Query::parse(&other).unwrap(), Ipv4Addr::new(203, 0, 113, 66));
        wrong_name[..2].copy_from_slice(&asked.id);
        vec![
            wrong_id,
            wrong_name,
            b"x".to_vec(),
            address(asked, Ipv4Addr::new(192, 0, 2, 1)),
        ]
    })
    .await];
    assert_eq!(
        last_octet(
            &upstream(&servers)
                .await
                .ask(asked(), Addressee::InOrder)
                .await
                .unwrap()
        ),
        1
    );
}

#[tokio::test]
async fn many_questions_share_a_few_sockets() {
    let upstream = upstream(&[server(FIRST).await]).await;
    let all = (0..100).map(|_| upstream.ask(asked(), Addressee::InOrder));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(last_octet(&answer.unwrap()), 1);
    }
    for socket in &upstream.servers[0].sockets {
        assert!(
            lock(&socket.waiting).is_empty(),
            "a question is still listed after its wait"
        );
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_again_over_tcp() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Query::parse(&buffer[..length]).unwrap();
        socket
            .send_to(&message::cut(&query, &empty(&query, Rcode::NoError)), from)
            .await
            .unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        stream.read_exact(&mut buffer[..length.into()]).await.unwrap();
        let query = Query::parse(&buffer[..length.into()]).unwrap();
        let answer = message::address(&query, Ipv4Addr::new(192, 0, 2, 1));
        stream
            .write_u16(u16::try_from(answer.len()).unwrap())
            .await
            .unwrap();
        stream.write_all(&answer).await.unwrap();
    });
    assert_eq!(
        last_octet(
            &upstream(&[address])
                .await
                .ask(asked(), Addressee::InOrder)
                .await
                .unwrap()
        ),
        1
    );
}

#[tokio::test]
async fn without_servers_a_question_fails_at_once() {
    assert_eq!(
        upstream(&[]).await.ask(asked(), Addressee::InOrder).await,
        Err(AskError::NoServer)
    );
}

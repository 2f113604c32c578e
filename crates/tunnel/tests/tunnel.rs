//! Tests of the tunnel with real sockets at both ends, and carriers that break.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use slipway_tunnel::{AskError, CarrierEnd, Full, Limits, Request, StreamRefusal, Tunnel, splice};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// A client, and an agent that opens real connections; no carrier yet.
struct Pair {
    client: Tunnel,
    agent: Tunnel,
    serving: JoinHandle<()>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn pair() -> Pair {
    pair_within(Limits::default(), Limits::default())
}

fn pair_within(client: Limits, agent: Limits) -> Pair {
    let (client, _events) = Tunnel::client(client);
    let (agent, mut requests) = Tunnel::agent(agent);
    let serving = tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Open(request) => {
                    tokio::spawn(async move {
                        match TcpStream::connect(request.to).await {
                            Ok(socket) => splice(request.accept(), &socket).await,
                            Err(_) => request.refuse(StreamRefusal::Refused),
                        }
                    });
                }
                Request::Ask(asked) => {
                    let answer = Bytes::from([b"re: ", &asked.message[..]].concat());
                    asked.answer(Ok(answer));
                }
                Request::Datagram { .. } | Request::Echo(_) | Request::Goodbye(_) => {}
            }
        }
    });
    Pair {
        client,
        agent,
        serving,
    }
}

impl Pair {
    /// Attaches a carrier. Aborting either task breaks it.
    fn attach(&self) -> [JoinHandle<CarrierEnd>; 2] {
        let (near, far) = duplex(256 * 1024);
        [run(&self.client, near), run(&self.agent, far)]
    }
}

fn run(tunnel: &Tunnel, pipe: DuplexStream) -> JoinHandle<CarrierEnd> {
    let tunnel = tunnel.clone();
    tokio::spawn(async move {
        let (reader, writer) = split(pipe);
        tunnel.carry(reader, writer).await
    })
}

/// Returns a program's socket whose connection leads through the tunnel to `to`.
async fn dial(pair: &Pair, to: SocketAddr) -> TcpStream {
    let stream = pair.client.open(to).await.expect("the far end accepts");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (program, ours) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    tokio::spawn(async move { splice(stream, &ours.unwrap().0).await });
    program.unwrap()
}

async fn server<F: Future<Output = ()> + Send>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    address
}

#[tokio::test]
async fn a_connection_that_is_refused_there_is_refused_here() {
    let pair = pair();
    let _carrier = pair.attach();
    assert_eq!(
        pair.client.open(NOWHERE).await.err(),
        Some(StreamRefusal::Refused)
    );
}

#[tokio::test]
async fn an_end_without_room_refuses_at_once_and_is_known() {
    let two = || Limits {
        streams: 2,
        ..Limits::default()
    };
    for (client, agent, full) in [
        (two(), Limits::default(), Full::Here { most: 2 }),
        (Limits::default(), two(), Full::Agent),
    ] {
        let pair = pair_within(client, agent);
        let _carrier = pair.attach();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let first = pair.client.open(to).await.unwrap();
        let _second = pair.client.open(to).await.unwrap();
        assert_eq!(pair.client.stats().full, None);
        let refused = pair.client.open(to).await.err();
        assert_eq!(refused, Some(StreamRefusal::Exhausted));
        assert_eq!(pair.client.stats().full, Some(full));
        drop(first);
        assert_eq!(pair.client.stats().full, None);
    }
}

#[tokio::test]
async fn the_answer_to_a_half_closed_question_arrives_whole() {
    let pair = pair();
    let _carrier = pair.attach();
    let to = server(|mut socket| async move {
        let mut question = Vec::new();
        socket.read_to_end(&mut question).await.unwrap();
        socket.write_all(&question.repeat(1000)).await.unwrap();
    })
    .await;
    let mut program = dial(&pair, to).await;
    program.write_all(b"0123456789").await.unwrap();
    program.shutdown().await.unwrap();
    let mut answer = Vec::new();
    program.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"0123456789".repeat(1000));
}

#[tokio::test]
async fn a_reset_there_is_a_reset_here() {
    let pair = pair();
    let _carrier = pair.attach();
    let to = server(|mut socket| async move {
        socket.read_u8().await.unwrap();
        socket.set_zero_linger().unwrap();
    })
    .await;
    let mut program = dial(&pair, to).await;
    program.write_all(b"x").await.unwrap();
    let error = program.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn bytes_go_on_without_a_gap_when_the_carrier_is_lost() {
    let pair = pair();
    let carrier = pair.attach();
    const LENGTH: usize = 32 << 20;
    let to = server(|mut socket| async move {
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at / 7) as u8).collect();
        socket.write_all(&bytes).await.unwrap();
    })
    .await;
    let mut program = dial(&pair, to).await;
    let mut got = vec![0; LENGTH];
    program.read_exact(&mut got[..LENGTH / 4]).await.unwrap();
    carrier.iter().for_each(JoinHandle::abort);
    let mut carriers = pair.client.carriers();
    carriers.wait_for(|count| *count == 0).await.unwrap();
    let _second = pair.attach();
    program.read_exact(&mut got[LENGTH / 4..]).await.unwrap();
    assert!(got.iter().enumerate().all(|(at, byte)| *byte == (at / 7) as u8));
    assert_eq!(program.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_question_asked_without_a_carrier_is_answered_later() {
    let pair = pair();
    let asking = tokio::spawn({
        let client = pair.client.clone();
        async move { client.ask(Bytes::from_static(b"who?")).await }
    });
    let _carrier = pair.attach();
    assert_eq!(asking.await.unwrap(), Ok(Bytes::from_static(b"re: who?")));
}

#[tokio::test]
async fn a_stalled_reader_does_not_delay_other_streams() {
    let pair = pair();
    let _carrier = pair.attach();
    let flood = |mut socket: TcpStream| async move {
        let block = vec![0; 1 << 20];
        while socket.write_all(&block).await.is_ok() {}
    };
    let _stalled = dial(&pair, server(flood).await).await;
    let mut free = dial(&pair, server(flood).await).await;
    let mut block = vec![0; 64 << 20];
    tokio::time::timeout(Duration::from_secs(20), free.read_exact(&mut block))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_falls_silent_is_given_up() {
    let pair = pair();
    let (near, _far) = duplex(1024);
    let end = run(&pair.client, near).await.unwrap();
    assert!(matches!(end, CarrierEnd::Silent), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn opens_and_questions_to_a_silent_agent_time_out() {
    let limits = Limits::default();
    let (client, _events) = Tunnel::client(limits.clone());
    let (agent, requests) = Tunnel::agent(limits.clone());
    let (near, far) = duplex(4096);
    let _carrier = [run(&client, near), run(&agent, far)];
    let began = Instant::now();
    assert_eq!(client.open(NOWHERE).await.err(), Some(StreamRefusal::TimedOut));
    assert_eq!(began.elapsed().as_secs(), limits.open.as_secs());
    let began = Instant::now();
    let answer = client.ask(Bytes::from_static(b"who")).await;
    assert_eq!(answer.err(), Some(AskError::TimedOut));
    assert_eq!(began.elapsed().as_secs(), limits.ask.as_secs());
    // Keep the requests until here: they are received, and never answered.
    drop(requests);
}

#[tokio::test]
async fn an_abandoned_open_is_given_up_at_the_agent() {
    let (client, _events) = Tunnel::client(Limits::default());
    let (agent, mut requests) = Tunnel::agent(Limits::default());
    let (near, far) = duplex(4096);
    let _carrier = [run(&client, near), run(&agent, far)];
    let opening = tokio::spawn({
        let client = client.clone();
        async move { client.open(NOWHERE).await.map(|_| ()) }
    });
    let Some(Request::Open(request)) = requests.recv().await else {
        panic!("no request came")
    };
    opening.abort();
    tokio::time::timeout(Duration::from_secs(5), request.given_up())
        .await
        .unwrap();
}

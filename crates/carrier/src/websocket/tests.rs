//! Tests of websocket.

use super::*;
use crate::scripted::{WebSocketPeer, within};
use proptest::prelude::*;
use std::future::pending;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, sink, split};

async fn pair(capacity: usize) -> (WebSocket<DuplexStream>, WebSocketPeer) {
    let (near, far) = duplex(capacity);
    (WebSocket::new(near).await, WebSocketPeer::new(far))
}

/// Returns what a client reads from `wire`, or the rule that `wire` violates.
async fn read(wire: &[u8], capacity: usize) -> Result<Vec<u8>, CarrierError> {
    let (near, far) = duplex(capacity);
    let mut near = WebSocket::new(near).await;
    let (mut answers, mut far) = split(far);
    let server = async {
        let sent = async {
            far.write_all(wire).await.unwrap();
            far.shutdown().await.unwrap();
        };
        let mut ignored = sink();
        let _ = tokio::join!(sent, tokio::io::copy(&mut answers, &mut ignored));
        pending::<()>().await;
    };
    let mut read = Vec::new();
    let ended = within(async {
        tokio::select! {
            ended = near.read_to_end(&mut read) => ended,
            () = server => unreachable!("the server stays"),
        }
    });
    match ended.await {
        Ok(_) => Ok(read),
        Err(error) => Err(CarrierError::of(&error).expect("an error of the carrier").clone()),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

#[tokio::test]
async fn bytes_arrive_in_masked_binary_messages() {
    let (mut near, mut far) = pair(100).await;
    let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let (write, received) = within(async {
        tokio::join!(
            async {
                near.write_all(&sent).await?;
                near.flush().await
            },
            async {
                let mut received = Vec::new();
                while received.len() < sent.len() {
                    let (opcode, payload) = far.next().await;
                    assert_eq!(opcode, 2);
                    received.extend_from_slice(&payload);
                }
                received
            }
        )
    })
    .await;
    write.unwrap();
    assert_eq!(received, sent);
}

#[tokio::test]
async fn messages_fragments_and_pings_are_read_as_their_bytes() {
    let (mut near, mut far) = pair(1 << 20).await;
    far.send(0x02, b"be").await; // the first of two fragments
    far.send(0x89, b"are you there").await;
    far.send(0x80, b"gin ").await;
    far.send(0x82, b"").await;
    far.send(0x82, &[b'x'; 70_000]).await;
    let mut read = vec![0; 6 + 70_000];
    within(near.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read[..7], b"begin x");
    assert_eq!(within(far.next()).await, (0x0a, b"are you there".to_vec()));
}

#[tokio::test]
async fn a_close_is_answered_and_ends_the_bytes() {
    let (mut near, mut far) = pair(1 << 10).await;
    far.send(0x82, b"last").await;
    far.send(0x88, &[0x03, 0xe9, b'!']).await;
    let mut read = Vec::new();
    within(near.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, b"last");
    assert_eq!(within(far.next()).await, (8, vec![0x03, 0xe9, b'!']));
    assert!(near.write(b"more").await.is_err());
}

#[tokio::test]
async fn a_shutdown_is_a_close_with_status_1000() {
    let (mut near, mut far) = pair(1 << 10).await;
    near.write_all(b"last").await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(within(far.next()).await, (2, b"last".to_vec()));
    assert_eq!(within(far.next()).await, (8, 1000_u16.to_be_bytes().to_vec()));
    assert!(near.write(b"more").await.is_err());
}

#[tokio::test]
async fn a_flood_of_pings_takes_bounded_memory() {
    let capacity = 1 << 10;
    let (mut near, mut far) = pair(capacity).await;
    let pings = 10_000_u32;
    let flood = async {
        for ping in 1..=pings {
            far.send(0x89, &ping.to_be_bytes().repeat(25)).await;
        }
        far.send(0x82, b"!").await;
    };
    let (read, ()) = within(async { tokio::join!(near.read_u8(), flood) }).await;
    assert_eq!(read.unwrap(), b'!');

    let end = async {
        near.write_all(b"end").await.unwrap();
        near.flush().await.unwrap();
    };
    let answers = async {
        let (mut bytes, mut last, mut ended) = (0, Vec::new(), false);
        while !(ended && last == pings.to_be_bytes().repeat(25)) {
            match far.next().await {
                (0x0a, payload) => {
                    bytes += payload.len();
                    last = payload;
                }
                message => {
                    assert_eq!(message, (2, b"end".to_vec()));
                    ended = true;
                }
            }
        }
        bytes
    };
    let ((), bytes) = within(async { tokio::join!(end, answers) }).await;
    assert!(bytes < MAX_QUEUED + capacity + 200, "{bytes}");
}

#[tokio::test]
async fn invalid_frames_of_a_server_are_refused() {
    let long_ping = [&[0x89, 126, 0, 200][..], &[0; 200]].concat();
    let endless = [&[0x82, 127][..], &(1_u64 << 40).to_be_bytes()].concat();
    for (frame, why) in [
        (&[0x81, 5, b'h', b'e', b'l', b'l', b'o'][..], "text"),
        (&[0xc2, 0], "reserved bit"),
        (&[0x82, 0x80, 0, 0, 0, 0], "masked"),
        (&[0x80, 0], "continuation of nothing"),
        (&[0x09, 1, 0], "fragmented ping"),
        (&long_ping, "long ping"),
        (&[0x83, 1, 0], "unknown opcode"),
        (&[0x02, 0, 0x82, 0], "message in a message"),
        (&[0x88, 1, 3], "half a status code"),
        (&endless, "a message of a terabyte"),
    ] {
        let read = read(frame, 1 << 10).await;
        assert!(
            matches!(read, Err(CarrierError::Protocol { .. })),
            "{why}: {read:?}"
        );
    }
}

#[tokio::test]
async fn fragments_add_up_to_a_message_of_limited_size() {
    let fragment = [&[0x00, 126, 0xff, 0xff][..], &[0; 0xffff]].concat();
    let wire = [&[0x02, 0][..], &fragment.repeat(MAX_RECEIVED / 0xffff + 1)].concat();
    let read = read(&wire, 1 << 16).await;
    assert!(matches!(read, Err(CarrierError::Protocol { .. })), "{read:?}");
}

#[tokio::test]
async fn a_connection_that_just_ends_ends_the_bytes() {
    assert_eq!(read(&[0x82, 2, b'h', b'i'], 64).await, Ok(b"hi".to_vec()));
    assert_eq!(
        read(&[0x82, 2, b'h', b'i', 0x82, 5, b'c'], 64).await,
        Ok(b"hi".to_vec())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_gives_the_same_bytes(
        messages in prop::collection::vec((any::<bool>(), 0usize..70_000), 1..6),
        capacity in 1usize..9_000,
    ) {
        let mut wire = Vec::new();
        for (ping, length) in &messages {
            if *ping {
                wire.extend_from_slice(&[0x89, 2, b'h', b'i']);
            }
            wire.extend_from_slice(&[0x82, 127]);
            wire.extend_from_slice(&u64::try_from(*length).unwrap().to_be_bytes());
            wire.extend(std::iter::repeat_n(b'x', *length));
        }
        let read = block_on(read(&wire, capacity)).unwrap();
        prop_assert_eq!(read.len(), messages.iter().map(|(_, length)| length).sum::<usize>());
        prop_assert!(read.iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..500), capacity in 1usize..50) {
        let _ = block_on(read(&garbage, capacity));
    }
}

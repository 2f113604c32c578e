//! Tests of port forward.

use super::*;
use crate::scripted::{Frame as Seen, Node, within};
use std::future::poll_fn;
use tokio::io::{AsyncWriteExt, DuplexStream};

const PORT: u16 = 7000;

fn pair(capacity: usize) -> (PortForward<DuplexStream>, Node<DuplexStream>) {
    let (near, far) = tokio::io::duplex(capacity);
    (PortForward::new(near, PORT), Node::new(far))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn carrier_error(error: &io::Error) -> &CarrierError {
    CarrierError::of(error).expect("an error of the carrier")
}

#[tokio::test]
async fn the_first_bytes_follow_the_opening_without_a_round_trip() {
    let (mut near, mut node) = pair(4096);
    // The node has sent nothing when these return.
    near.write_all(b"first").await.unwrap();
    near.flush().await.unwrap();
    within(node.accept(PORT)).await;
    assert_eq!(within(node.receive(5)).await, b"first");
}

#[tokio::test]
async fn a_reader_alone_opens_the_forward() {
    let (mut near, mut node) = pair(4096);
    let node = tokio::spawn(async move {
        node.accept(PORT).await;
        node.data(3, false, b"hello").await;
        node
    });
    let mut read = [0; 5];
    within(near.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"hello");
    node.await.unwrap();
}

/// The capacities cut frames at every kind of place: in the opening, in a header, in a payload.
#[tokio::test]
async fn bytes_arrive_whole_over_a_narrow_wire() {
    for capacity in [1, 7, 8, 9, 64, 100, 4096, 300_000] {
        let (near, mut node) = pair(capacity);
        let length = if capacity < 64 { 5_000 } else { 700_000 };
        let sent = pattern(length);
        let (mut reader, mut writer) = tokio::io::split(near);
        let node = async {
            node.accept(PORT).await;
            let received = node.receive(length).await;
            for chunk in received.chunks(33_000) {
                node.data(3, false, chunk).await;
            }
            node.end().await;
            received
        };
        let write = async {
            writer.write_all(&sent).await?;
            writer.flush().await
        };
        let mut back = Vec::new();
        let (received, write, read) =
            within(async { tokio::join!(node, write, reader.read_to_end(&mut back)) }).await;
        write.unwrap();
        read.unwrap();
        assert!(received == sent && back == sent, "capacity {capacity}");
    }
}

#[tokio::test]
async fn many_slices_go_as_one_frame() {
    let (mut near, mut node) = pair(1 << 20);
    let bytes = pattern(70_000);
    let slices: Vec<IoSlice<'_>> = bytes.chunks(1_100).map(IoSlice::new).collect();
    assert_eq!(slices.len(), MAX_SLICES);
    let written = poll_fn(|cx| Pin::new(&mut near).poll_write_vectored(cx, &slices))
        .await
        .unwrap();
    assert_eq!(written, bytes.len());
    within(node.accept(PORT)).await;
    let frame = within(node.next()).await;
    assert_eq!(
        frame,
        Some(Seen::Data {
            stream: 3,
            fin: false,
            payload: bytes
        })
    );
}

#[tokio::test]
async fn no_frame_is_longer_than_the_limit() {
    let (mut near, mut node) = pair(2 << 20);
    let written = near.write(&vec![0; MAX_FRAME + 1]).await.unwrap();
    assert_eq!(written, MAX_FRAME);
    within(node.accept(PORT)).await;
    let Some(Seen::Data { payload, .. }) = within(node.next()).await else {
        panic!("no data")
    };
    assert_eq!(payload.len(), MAX_FRAME);
}

/// The header has announced the whole frame: a caller that stops writing must not leave the node with a frame that
/// never ends.
#[tokio::test]
async fn a_frame_once_begun_is_finished_by_a_flush() {
    let (mut near, mut node) = pair(300);
    let bytes = pattern(50_000);
    let written = near.write(&bytes).await.unwrap();
    assert_eq!(written, bytes.len());
    let node = async {
        node.accept(PORT).await;
        node.receive(bytes.len()).await
    };
    let (received, flushed) = within(async { tokio::join!(node, near.flush()) }).await;
    flushed.unwrap();
    assert!(received == bytes);
}

#[tokio::test]
async fn a_reader_answers_a_ping_without_a_writer() {
    let (mut near, mut node) = pair(4096);
    let reader = tokio::spawn(async move { near.read_u8().await });
    within(node.accept(PORT)).await;
    within(node.control(6, &[0, 0, 0, 42])).await;
    assert_eq!(within(node.next()).await, Some(Seen::Ping(42)));
    within(node.data(3, false, b"x")).await;
    assert_eq!(within(reader).await.unwrap().unwrap(), b'x');
}

#[tokio::test]
async fn a_ping_in_the_middle_of_an_upload_does_not_cut_a_frame() {
    let (near, mut node) = pair(500);
    let (mut reader, mut writer) = tokio::io::split(near);
    let sent = pattern(200_000);
    let node = async {
        node.accept(PORT).await;
        let (mut received, mut pongs) = (Vec::new(), 0);
        for id in 0..20 {
            node.control(6, &[0, 0, 0, id]).await;
        }
        while received.len() < 200_000 || pongs < 20 {
            match node.next().await {
                Some(Seen::Data {
                    stream: 3, payload, ..
                }) => received.extend_from_slice(&payload),
                Some(Seen::Ping(_)) => pongs += 1,
                other => panic!("{other:?}"),
            }
        }
        node.end().await;
        received
    };
    let write = async {
        writer.write_all(&sent).await?;
        writer.flush().await
    };
    let mut nothing = Vec::new();
    let (received, write, read) =
        within(async { tokio::join!(node, write, reader.read_to_end(&mut nothing)) }).await;
    write.unwrap();
    read.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_refused_port_fails_reads_and_writes() {
    let (mut near, mut node) = pair(4096);
    near.write_all(b"hello").await.unwrap();
    within(node.accept(PORT)).await;
    within(node.data(1, false, b"dial tcp4 127.0.0.1:7000: connect: connection refused")).await;
    within(node.end()).await;
    let error = within(near.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(matches!(carrier_error(&error), CarrierError::PortRefused { .. }));
    let error = near.write(b"more").await.unwrap_err();
    assert!(matches!(carrier_error(&error), CarrierError::PortRefused { .. }));
}

#[tokio::test]
async fn bytes_before_an_error_are_read_before_it() {
    let (mut near, mut node) = pair(4096);
    near.write_all(b"hello").await.unwrap();
    within(node.accept(PORT)).await;
    within(node.data(3, false, b"last words")).await;
    within(node.control(3, &[0, 0, 0, 3, 0, 0, 0, 5])).await;
    let mut read = Vec::new();
    let error = within(near.read_to_end(&mut read)).await.unwrap_err();
    assert_eq!(read, b"last words");
    assert_eq!(carrier_error(&error), &CarrierError::Reset { status: 5 });
}

#[tokio::test]
async fn a_node_that_goes_away_still_ends_its_stream() {
    let (mut near, mut node) = pair(4096);
    near.write_all(b"hello").await.unwrap();
    within(node.accept(PORT)).await;
    within(node.control(7, &[0, 0, 0, 3, 0, 0, 0, 0])).await;
    within(node.data(3, false, b"end")).await;
    within(node.end()).await;
    let mut read = Vec::new();
    within(near.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, b"end");
    assert_eq!(
        near.write(b"more").await.unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn a_wire_that_ends_early_is_lost_not_finished() {
    let (mut near, mut node) = pair(4096);
    near.write_all(b"hello").await.unwrap();
    within(node.accept(PORT)).await;
    drop(node);
    let error = within(near.read_u8()).await.unwrap_err();
    assert!(
        matches!(carrier_error(&error), CarrierError::Lost { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn garbage_from_the_node_is_a_violation() {
    let (mut near, mut node) = pair(4096);
    near.write_all(b"hello").await.unwrap();
    within(node.accept(PORT)).await;
    within(node.control(6, b"")).await;
    let error = within(near.read_u8()).await.unwrap_err();
    assert!(
        matches!(carrier_error(&error), CarrierError::Protocol { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn shutdown_ends_the_stream_and_then_the_wire() {
    let (mut near, mut node) = pair(4096);
    near.write_all(b"bye").await.unwrap();
    near.shutdown().await.unwrap();
    within(node.accept(PORT)).await;
    assert_eq!(within(node.receive(3)).await, b"bye");
    assert_eq!(
        within(node.next()).await,
        Some(Seen::Data {
            stream: 3,
            fin: true,
            payload: Vec::new()
        })
    );
    assert_eq!(within(node.next()).await, None);
    assert_eq!(
        near.write(b"more").await.unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

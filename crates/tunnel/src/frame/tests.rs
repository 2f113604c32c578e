use proptest::prelude::*;

use super::*;

/// Encodes a whole frame.
pub(crate) fn wire(frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    frame.encode_head(&mut out);
    out.extend_from_slice(frame.payload().map_or(&[][..], |payload| payload));
    out
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<u32>(), any::<u16>()).prop_map(|(ip, port)| (Ipv4Addr::from_bits(ip), port).into()),
        (any::<u128>(), any::<u16>()).prop_map(|(ip, port)| (Ipv6Addr::from_bits(ip), port).into()),
    ]
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn frame() -> impl Strategy<Value = Frame> {
    let stream = any::<u32>().prop_map(StreamId);
    prop_oneof![
        (stream.clone(), address(), any::<u32>()).prop_map(|(stream, to, credit)| Frame::Open {
            stream,
            to,
            credit
        }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, credit)| Frame::Opened { stream, credit }),
        (stream.clone(), 1..8u8).prop_map(|(stream, code)| Frame::Refused {
            stream,
            refusal: refusal(code).unwrap()
        }),
        (
            stream.clone(),
            0..u64::MAX / 2,
            prop::collection::vec(any::<u8>(), 1..300)
        )
            .prop_map(|(stream, offset, bytes)| Frame::Data {
                stream,
                offset,
                payload: Bytes::from(bytes)
            }),
        (stream.clone(), any::<u64>()).prop_map(|(stream, limit)| Frame::Credit { stream, limit }),
        (stream.clone(), any::<u64>()).prop_map(|(stream, offset)| Frame::Fin { stream, offset }),
        (stream, 1..4u8).prop_map(|(stream, code)| Frame::Reset {
            stream,
            cause: reset_cause(code).unwrap()
        }),
        (any::<u32>(), payload()).prop_map(|(id, message)| Frame::Ask { id, message }),
        (any::<u32>(), payload()).prop_map(|(id, message)| Frame::Answer {
            id,
            outcome: Ok(message)
        }),
        (any::<u32>(), 1..4u8).prop_map(|(id, code)| Frame::Answer {
            id,
            outcome: Err(ask_error(code).unwrap())
        }),
        (any::<u32>(), address(), payload()).prop_map(|(flow, to, payload)| Frame::Datagram {
            flow,
            to,
            payload
        }),
        (any::<u32>(), payload()).prop_map(|(flow, payload)| Frame::Delivery { flow, payload }),
        (any::<u32>(), 1..8u8).prop_map(|(flow, code)| Frame::Undeliverable {
            flow,
            refusal: refusal(code).unwrap()
        }),
        (any::<u32>(), address(), payload()).prop_map(|(id, to, payload)| Frame::Echo {
            id,
            to: to.ip(),
            payload
        }),
        (any::<u32>(), payload()).prop_map(|(id, payload)| Frame::Echoed { id, payload }),
        any::<u64>().prop_map(|token| Frame::Ping { token }),
        any::<u64>().prop_map(|token| Frame::Pong { token }),
        any::<u64>().prop_map(|received| Frame::Ack { received }),
        (1..4u8).prop_map(|code| Frame::Goodbye {
            farewell: farewell(code).unwrap()
        }),
    ]
}

proptest! {
    #[test]
    fn every_frame_comes_back_from_the_wire_as_it_was(frame in frame(), rest in payload()) {
        let mut buffer = wire(&frame);
        prop_assert_eq!(buffer.len(), frame.wire_length());
        buffer.extend_from_slice(&rest);
        let mut buffer = buffer.freeze();
        prop_assert!(Frame::is_decided(&buffer));
        prop_assert_eq!(Frame::decode(&mut buffer), Ok(Some(frame)));
        prop_assert_eq!(&buffer[..], &rest[..]);
    }

    #[test]
    fn a_frame_that_is_not_whole_is_waited_for(frame in frame(), cut in any::<prop::sample::Index>()) {
        let whole = wire(&frame);
        let mut part = whole.freeze();
        part.truncate(cut.index(part.len()));
        let before = part.clone();
        prop_assert!(!Frame::is_decided(&part));
        prop_assert_eq!(Frame::decode(&mut part), Ok(None));
        prop_assert_eq!(part, before);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut buffer = Bytes::from(bytes);
        while let Ok(Some(_)) = Frame::decode(&mut buffer) {}
    }
}

#[test]
fn the_head_is_kind_length_subject() {
    let frame = Frame::Data {
        stream: StreamId(0x0102_0304),
        offset: 5,
        payload: Bytes::from_static(b"hi"),
    };
    assert_eq!(
        &wire(&frame)[..],
        b"\x04\x00\x00\x0a\x01\x02\x03\x04\0\0\0\0\0\0\0\x05hi"
    );
}

#[test]
fn a_length_over_the_limit_is_refused_at_once() {
    let mut buffer = Bytes::from_static(&b"\x04\xff\xff\xff\0\0\0\x01"[..]);
    assert!(Frame::is_decided(&buffer));
    assert_eq!(Frame::decode(&mut buffer), Err(FrameError::TooLong(0xff_ffff)));
}

#[test]
fn bytes_left_over_in_a_body_are_refused() {
    let mut buffer = Bytes::from_static(&b"\x0f\x00\x00\x09\0\0\0\0\0\0\0\0\0\0\0\x01\x01"[..]);
    assert_eq!(Frame::decode(&mut buffer), Err(FrameError::Malformed(15)));
}

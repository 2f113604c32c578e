//! Frames of the tunnel and their encoding, without I/O.
//!
//! Every frame begins with eight bytes, `kind: u8 | length: u24 | subject: u32`, all big-endian. `length` counts the
//! bytes after this head. `subject` is the number of the stream, question, flow or echo request that the frame is about,
//! or zero if it is about the carrier. The specification is `docs/tunnel-protocol.md`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Length of a frame's head in bytes.
pub const HEAD: usize = 8;

/// Largest number of stream bytes in a `Data` frame.
pub const MAX_DATA: usize = 64 * 1024;

/// Largest number of bytes after the head of any frame; a longer one violates the protocol.
///
/// A datagram and a DNS message are at most 65,535 bytes, and fields before them take at most 32.
pub const MAX_BODY: usize = 64 * 1024 + 32;

/// Number of a stream, unique within a tunnel. The client counts up from 1 and never reuses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// Reason for which the far end could not connect, as `connect(2)` would report it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamRefusal {
    /// No program listens at the address (`ECONNREFUSED`).
    #[error("connection refused")]
    Refused,
    /// The host does not answer (`EHOSTUNREACH`).
    #[error("host unreachable")]
    HostUnreachable,
    /// There is no route to the network (`ENETUNREACH`).
    #[error("network unreachable")]
    NetworkUnreachable,
    /// Connecting was not answered in time (`ETIMEDOUT`).
    #[error("connection timed out")]
    TimedOut,
    /// A policy forbids the connection (`EACCES`, `EPERM`).
    #[error("prohibited")]
    Prohibited,
    /// The far end has no room for another stream.
    #[error("the agent has no room for another connection")]
    Exhausted,
    /// The tunnel ended before the connection was answered.
    #[error("the tunnel ended")]
    TunnelEnded,
}

/// Reason for which a stream ended before all its bytes arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetCause {
    /// The program or the service reset the connection.
    #[error("connection reset by peer")]
    Reset,
    /// One end gave up the stream.
    #[error("connection given up")]
    Cancelled,
    /// The agent that held the far end of the connection is gone.
    #[error("the agent was lost")]
    AgentLost,
}

/// Reason for which a DNS question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The cluster's name servers did not answer in time.
    #[error("the cluster's DNS did not answer in time")]
    TimedOut,
    /// The cluster's name servers could not be reached.
    #[error("the cluster's DNS cannot be reached")]
    Unreachable,
    /// The tunnel has no carrier, or has ended.
    #[error("there is no connection to the cluster")]
    NoTunnel,
}

/// Reason for which an end leaves the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The session ends, and its agent must end as well.
    SessionEnds,
    /// The session ends; its agent waits for the next one until its grace is over.
    SessionLeaves,
    /// The agent ends.
    AgentEnds,
}

/// One frame. Integers are big-endian on the wire; `stream`, `id` and `flow` are the subject in the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Request of the client for a TCP connection.
    Open {
        /// The new stream.
        stream: StreamId,
        /// Destination of the connection.
        to: SocketAddr,
        /// Number of bytes that the client can receive at first.
        credit: u32,
    },
    /// Answer to `Open`: the connection is established.
    Opened {
        /// The stream.
        stream: StreamId,
        /// Number of bytes that the agent can receive at first.
        credit: u32,
    },
    /// Answer to `Open`: the connection failed.
    Refused {
        /// The stream, which ends with this frame.
        stream: StreamId,
        /// Reason of the failure.
        refusal: StreamRefusal,
    },
    /// Bytes of a stream.
    Data {
        /// The stream.
        stream: StreamId,
        /// Offset of the first byte from the start of the stream.
        offset: u64,
        /// The bytes.
        payload: Bytes,
    },
    /// Permission for the peer to send bytes before `limit`.
    Credit {
        /// The stream.
        stream: StreamId,
        /// Offset from the start of the stream of the first byte that may not be sent.
        limit: u64,
    },
    /// End of the stream in this direction.
    Fin {
        /// The stream.
        stream: StreamId,
        /// Length of the stream in this direction, in bytes.
        offset: u64,
    },
    /// End of the stream in both directions.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Reason of the reset.
        cause: ResetCause,
    },
    /// A DNS question: a whole message as in RFC 1035 section 4.
    Ask {
        /// Number of the question until it is answered.
        id: u32,
        /// The message.
        message: Bytes,
    },
    /// Answer of the cluster's DNS to a question.
    Answer {
        /// The question.
        id: u32,
        /// The message, or the reason why there is none.
        outcome: Result<Bytes, AskError>,
    },
    /// A UDP payload from the client. The agent sends all datagrams of one flow from one socket.
    Datagram {
        /// Number of the flow, chosen by the client.
        flow: u32,
        /// Destination of the datagram.
        to: SocketAddr,
        /// The payload.
        payload: Bytes,
    },
    /// A UDP payload that the agent received for a flow.
    Delivery {
        /// The flow.
        flow: u32,
        /// The payload.
        payload: Bytes,
    },
    /// Report that a datagram of a flow could not be delivered.
    Undeliverable {
        /// The flow.
        flow: u32,
        /// Reason of the failure.
        refusal: StreamRefusal,
    },
    /// An ICMP echo request.
    Echo {
        /// Number of the request until it is answered.
        id: u32,
        /// Address of the host to ping.
        to: IpAddr,
        /// The payload.
        payload: Bytes,
    },
    /// The host's answer to an echo request.
    Echoed {
        /// The request.
        id: u32,
        /// The payload.
        payload: Bytes,
    },
    /// Check that the carrier is alive. The peer answers at once with `Pong`.
    Ping {
        /// Value that the answer repeats.
        token: u64,
    },
    /// Answer to `Ping`.
    Pong {
        /// The token of the ping.
        token: u64,
    },
    /// Number of bytes of whole frames that arrived over this carrier since its proof.
    Ack {
        /// The number of bytes.
        received: u64,
    },
    /// Notice that the sender leaves the tunnel.
    Goodbye {
        /// Reason for leaving.
        farewell: Farewell,
    },
}

/// Reason for which bytes are not a frame. The carrier cannot be used after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length exceeds [`MAX_BODY`].
    #[error("a frame of {0} bytes is longer than the protocol allows")]
    TooLong(usize),
    /// This version does not know the kind.
    #[error("frame kind {0} is unknown")]
    UnknownKind(u8),
    /// The fields do not fit the kind.
    #[error("frame kind {0} has a malformed body")]
    Malformed(u8),
}

mod kind {
    pub(super) const OPEN: u8 = 1;
    pub(super) const OPENED: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const DATA: u8 = 4;
    pub(super) const CREDIT: u8 = 5;
    pub(super) const FIN: u8 = 6;
    pub(super) const RESET: u8 = 7;
    pub(super) const ASK: u8 = 8;
    pub(super) const ANSWER: u8 = 9;
    pub(super) const DATAGRAM: u8 = 10;
    pub(super) const DELIVERY: u8 = 11;
    pub(super) const UNDELIVERABLE: u8 = 12;
    pub(super) const ECHO: u8 = 13;
    pub(super) const ECHOED: u8 = 14;
    pub(super) const PING: u8 = 15;
    pub(super) const PONG: u8 = 16;
    pub(super) const ACK: u8 = 17;
    pub(super) const GOODBYE: u8 = 18;
}

impl Frame {
    /// Appends the head and all fields except the payload, which follows them unchanged on the wire.
    pub fn encode_head(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_bytes(0, HEAD);
        let (kind, subject) = match self {
            Frame::Open { stream, to, credit } => {
                out.put_u32(*credit);
                put_socket_addr(out, *to);
                (kind::OPEN, stream.0)
            }
            Frame::Opened { stream, credit } => {
                out.put_u32(*credit);
                (kind::OPENED, stream.0)
            }
            Frame::Refused { stream, refusal } => {
                out.put_u8(refusal_code(*refusal));
                (kind::REFUSED, stream.0)
            }
            Frame::Data { stream, offset, .. } => {
                out.put_u64(*offset);
                (kind::DATA, stream.0)
            }
            Frame::Credit { stream, limit } => {
                out.put_u64(*limit);
                (kind::CREDIT, stream.0)
            }
            Frame::Fin { stream, offset } => {
                out.put_u64(*offset);
                (kind::FIN, stream.0)
            }
            Frame::Reset { stream, cause } => {
                out.put_u8(reset_code(*cause));
                (kind::RESET, stream.0)
            }
            Frame::Ask { id, .. } => (kind::ASK, *id),
            Frame::Answer { id, outcome } => {
                out.put_u8(match outcome {
                    Ok(_) => 0,
                    Err(error) => ask_error_code(*error),
                });
                (kind::ANSWER, *id)
            }
            Frame::Datagram { flow, to, .. } => {
                put_socket_addr(out, *to);
                (kind::DATAGRAM, *flow)
            }
            Frame::Delivery { flow, .. } => (kind::DELIVERY, *flow),
            Frame::Undeliverable { flow, refusal } => {
                out.put_u8(refusal_code(*refusal));
                (kind::UNDELIVERABLE, *flow)
            }
            Frame::Echo { id, to, .. } => {
                put_ip_addr(out, *to);
                (kind::ECHO, *id)
            }
            Frame::Echoed { id, .. } => (kind::ECHOED, *id),
            Frame::Ping { token } => {
                out.put_u64(*token);
                (kind::PING, 0)
            }
            Frame::Pong { token } => {
                out.put_u64(*token);
                (kind::PONG, 0)
            }
            Frame::Ack { received } => {
                out.put_u64(*received);
                (kind::ACK, 0)
            }
            Frame::Goodbye { farewell } => {
                out.put_u8(farewell_code(*farewell));
                (kind::GOODBYE, 0)
            }
        };
        let body = out.len() - start - HEAD + self.payload().map_or(0, Bytes::len);
        debug_assert!(body <= MAX_BODY, "a frame of {body} bytes was made");
        let length = u32::try_from(body).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&(u32::from(kind) << 24 | length & 0x00ff_ffff).to_be_bytes());
        out[start + 4..start + 8].copy_from_slice(&subject.to_be_bytes());
    }

    /// Returns the length of the whole frame on the wire, in bytes.
    pub fn wire_length(&self) -> usize {
        const SOCKET_ADDR_V4: usize = 2 + 1 + 4;
        const SOCKET_ADDR_V6: usize = 2 + 1 + 16;
        let socket_addr = |to: &SocketAddr| {
            if to.is_ipv4() {
                SOCKET_ADDR_V4
            } else {
                SOCKET_ADDR_V6
            }
        };
        let fields = match self {
            Frame::Open { to, .. } => 4 + socket_addr(to),
            Frame::Opened { .. } => 4,
            Frame::Refused { .. } | Frame::Reset { .. } | Frame::Undeliverable { .. } => 1,
            Frame::Answer { .. } | Frame::Goodbye { .. } => 1,
            Frame::Data { .. } | Frame::Credit { .. } | Frame::Fin { .. } => 8,
            Frame::Ping { .. } | Frame::Pong { .. } | Frame::Ack { .. } => 8,
            Frame::Datagram { to, .. } => socket_addr(to),
            Frame::Echo {
                to: IpAddr::V4(_), ..
            } => 1 + 4,
            Frame::Echo {
                to: IpAddr::V6(_), ..
            } => 1 + 16,
            Frame::Ask { .. } | Frame::Delivery { .. } | Frame::Echoed { .. } => 0,
        };
        HEAD + fields + self.payload().map_or(0, Bytes::len)
    }

    /// Returns the bytes that follow the fields on the wire, and are sent without a copy.
    pub fn payload(&self) -> Option<&Bytes> {
        match self {
            Frame::Data { payload, .. }
            | Frame::Datagram { payload, .. }
            | Frame::Delivery { payload, .. }
            | Frame::Echo { payload, .. }
            | Frame::Echoed { payload, .. }
            | Frame::Ask { message: payload, .. }
            | Frame::Answer {
                outcome: Ok(payload), ..
            } => Some(payload),
            Frame::Open { .. }
            | Frame::Opened { .. }
            | Frame::Refused { .. }
            | Frame::Credit { .. }
            | Frame::Fin { .. }
            | Frame::Reset { .. }
            | Frame::Answer { outcome: Err(_), .. }
            | Frame::Undeliverable { .. }
            | Frame::Ping { .. }
            | Frame::Pong { .. }
            | Frame::Ack { .. }
            | Frame::Goodbye { .. } => None,
        }
    }

    /// Returns whether [`Frame::decode`] can decide about the first bytes: they are a whole frame, or can never be one.
    pub fn is_decided(bytes: &[u8]) -> bool {
        let Some(head) = bytes.first_chunk::<HEAD>() else {
            return false;
        };
        let length = body_length(head);
        length > MAX_BODY || bytes.len() >= HEAD + length
    }

    /// Takes one frame from the front of `buffer`, sharing its bytes. Returns `None` while the frame is incomplete.
    ///
    /// # Errors
    ///
    /// Returns [`FrameError`] if the bytes are not a frame of this version.
    pub fn decode(buffer: &mut Bytes) -> Result<Option<Frame>, FrameError> {
        let Some(head) = buffer.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let kind = head[0];
        let length = body_length(head);
        let subject = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        if length > MAX_BODY {
            return Err(FrameError::TooLong(length));
        }
        if buffer.len() < HEAD + length {
            return Ok(None);
        }
        buffer.advance(HEAD);
        let body = buffer.split_to(length);
        if !(kind::OPEN..=kind::GOODBYE).contains(&kind) {
            return Err(FrameError::UnknownKind(kind));
        }
        parse(kind, subject, body)
            .ok_or(FrameError::Malformed(kind))
            .map(Some)
    }
}

fn body_length(head: &[u8; HEAD]) -> usize {
    usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3])
}

fn parse(kind: u8, subject: u32, mut body: Bytes) -> Option<Frame> {
    let stream = StreamId(subject);
    let frame = match kind {
        kind::OPEN => {
            let credit = body.try_get_u32().ok()?;
            Frame::Open {
                stream,
                to: get_socket_addr(&mut body)?,
                credit,
            }
        }
        kind::OPENED => Frame::Opened {
            stream,
            credit: body.try_get_u32().ok()?,
        },
        kind::REFUSED => Frame::Refused {
            stream,
            refusal: refusal(body.try_get_u8().ok()?)?,
        },
        kind::DATA => {
            let offset = body.try_get_u64().ok()?;
            if body.is_empty() || body.len() > MAX_DATA {
                return None;
            }
            offset.checked_add(MAX_DATA as u64)?;
            Frame::Data {
                stream,
                offset,
                payload: std::mem::take(&mut body),
            }
        }
        kind::CREDIT => Frame::Credit {
            stream,
            limit: body.try_get_u64().ok()?,
        },
        kind::FIN => Frame::Fin {
            stream,
            offset: body.try_get_u64().ok()?,
        },
        kind::RESET => Frame::Reset {
            stream,
            cause: reset_cause(body.try_get_u8().ok()?)?,
        },
        kind::ASK => Frame::Ask {
            id: subject,
            message: std::mem::take(&mut body),
        },
        kind::ANSWER => {
            let outcome = match body.try_get_u8().ok()? {
                0 => Ok(std::mem::take(&mut body)),
                code => Err(ask_error(code)?),
            };
            Frame::Answer { id: subject, outcome }
        }
        kind::DATAGRAM => {
            let to = get_socket_addr(&mut body)?;
            Frame::Datagram {
                flow: subject,
                to,
                payload: std::mem::take(&mut body),
            }
        }
        kind::DELIVERY => Frame::Delivery {
            flow: subject,
            payload: std::mem::take(&mut body),
        },
        kind::UNDELIVERABLE => Frame::Undeliverable {
            flow: subject,
            refusal: refusal(body.try_get_u8().ok()?)?,
        },
        kind::ECHO => {
            let to = get_ip_addr(&mut body)?;
            Frame::Echo {
                id: subject,
                to,
                payload: std::mem::take(&mut body),
            }
        }
        kind::ECHOED => Frame::Echoed {
            id: subject,
            payload: std::mem::take(&mut body),
        },
        kind::PING => Frame::Ping {
            token: body.try_get_u64().ok()?,
        },
        kind::PONG => Frame::Pong {
            token: body.try_get_u64().ok()?,
        },
        kind::ACK => Frame::Ack {
            received: body.try_get_u64().ok()?,
        },
        kind::GOODBYE => Frame::Goodbye {
            farewell: farewell(body.try_get_u8().ok()?)?,
        },
        _ => return None,
    };
    body.is_empty().then_some(frame)
}

fn put_ip_addr(out: &mut BytesMut, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            out.put_u8(4);
            out.put_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.put_u8(6);
            out.put_slice(&v6.octets());
        }
    }
}

fn put_socket_addr(out: &mut BytesMut, address: SocketAddr) {
    out.put_u16(address.port());
    put_ip_addr(out, address.ip());
}

fn get_ip_addr(body: &mut Bytes) -> Option<IpAddr> {
    match body.try_get_u8().ok()? {
        4 => Some(Ipv4Addr::from_bits(body.try_get_u32().ok()?).into()),
        6 => Some(Ipv6Addr::from_bits(body.try_get_u128().ok()?).into()),
        _ => None,
    }
}

fn get_socket_addr(body: &mut Bytes) -> Option<SocketAddr> {
    let port = body.try_get_u16().ok()?;
    Some(SocketAddr::new(get_ip_addr(body)?, port))
}

fn refusal_code(refusal: StreamRefusal) -> u8 {
    match refusal {
        StreamRefusal::Refused => 1,
        StreamRefusal::HostUnreachable => 2,
        StreamRefusal::NetworkUnreachable => 3,
        StreamRefusal::TimedOut => 4,
        StreamRefusal::Prohibited => 5,
        StreamRefusal::Exhausted => 6,
        StreamRefusal::TunnelEnded => 7,
    }
}

fn refusal(code: u8) -> Option<StreamRefusal> {
    Some(match code {
        1 => StreamRefusal::Refused,
        2 => StreamRefusal::HostUnreachable,
        3 => StreamRefusal::NetworkUnreachable,
        4 => StreamRefusal::TimedOut,
        5 => StreamRefusal::Prohibited,
        6 => StreamRefusal::Exhausted,
        7 => StreamRefusal::TunnelEnded,
        _ => return None,
    })
}

fn reset_code(cause: ResetCause) -> u8 {
    match cause {
        ResetCause::Reset => 1,
        ResetCause::Cancelled => 2,
        ResetCause::AgentLost => 3,
    }
}

fn reset_cause(code: u8) -> Option<ResetCause> {
    Some(match code {
        1 => ResetCause::Reset,
        2 => ResetCause::Cancelled,
        3 => ResetCause::AgentLost,
        _ => return None,
    })
}

fn ask_error_code(error: AskError) -> u8 {
    match error {
        AskError::TimedOut => 1,
        AskError::Unreachable => 2,
        AskError::NoTunnel => 3,
    }
}

fn ask_error(code: u8) -> Option<AskError> {
    Some(match code {
        1 => AskError::TimedOut,
        2 => AskError::Unreachable,
        3 => AskError::NoTunnel,
        _ => return None,
    })
}

fn farewell_code(farewell: Farewell) -> u8 {
    match farewell {
        Farewell::SessionEnds => 1,
        Farewell::SessionLeaves => 2,
        Farewell::AgentEnds => 3,
    }
}

fn farewell(code: u8) -> Option<Farewell> {
    Some(match code {
        1 => Farewell::SessionEnds,
        2 => Farewell::SessionLeaves,
        3 => Farewell::AgentEnds,
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod tests;

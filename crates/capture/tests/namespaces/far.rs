//! A scripted far end: what it does depends on the port alone.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use slipway_capture::{Answer, BackEnd, ConnectRefusal, DnsService, Echo, FarEnd, Flow, Replies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Refuses as its name says.
pub(crate) const REFUSED: u16 = 1;
pub(crate) const HOST_UNREACHABLE: u16 = 2;
pub(crate) const NETWORK_UNREACHABLE: u16 = 3;
pub(crate) const PROHIBITED: u16 = 4;
/// Does not answer, ever.
pub(crate) const SILENT: u16 = 5;
/// Tells the program both names of its socket.
pub(crate) const NAMES: u16 = 10;
/// Answers with all that it got once it got the end.
pub(crate) const AFTER_END: u16 = 11;
/// Sends [`GREETING`] and ends its half at once, then records what arrives.
pub(crate) const GREETS: u16 = 12;
pub(crate) const GREETING: &[u8] = b"that is all from here";
/// Datagrams to this port are refused; other ports echo them.
pub(crate) const NO_DATAGRAMS: u16 = 20;

/// Only these answer pings.
pub(crate) const ALIVE: [&str; 2] = ["10.96.0.10", "fd00:96::10"];

/// The far end. A port without a name of its own is an echo.
#[derive(Clone)]
pub(crate) struct Far {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    replies: OnceLock<Replies>,
    seen: Mutex<Vec<Seen>>,
}

/// What the far end saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Open(SocketAddr),
    Took(Vec<u8>),
    Echo(IpAddr),
    DatagramsEnded(Flow),
}

impl Far {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::default(),
        }
    }

    pub(crate) fn answer_by(&self, replies: Replies) {
        assert!(self.inner.replies.set(replies).is_ok());
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    fn see(&self, seen: Seen) {
        self.inner.seen.lock().unwrap().push(seen);
    }
}

impl FarEnd for Far {
    type Opened = u16;

    async fn open(&self, to: SocketAddr) -> Result<u16, ConnectRefusal> {
        self.see(Seen::Open(to));
        match to.port() {
            REFUSED => Err(ConnectRefusal::Refused),
            HOST_UNREACHABLE => Err(ConnectRefusal::HostUnreachable),
            NETWORK_UNREACHABLE => Err(ConnectRefusal::NetworkUnreachable),
            PROHIBITED => Err(ConnectRefusal::Prohibited),
            SILENT => std::future::pending().await,
            open => Ok(open),
        }
    }

    async fn carry(&self, port: u16, flow: Flow, mut program: TcpStream) {
        match port {
            NAMES => {
                let names = match crate::back_end() {
                    // The socket's own names, which are the flow's.
                    BackEnd::PrivateNamespace => {
                        let (to, from) = (program.local_addr().unwrap(), program.peer_addr().unwrap());
                        assert_eq!(flow.to.ip(), to.ip().to_canonical());
                        assert_eq!(flow.from.port(), from.port());
                        format!("{to} {from}")
                    }
                    BackEnd::Rewriting => format!("{} {}", flow.to, flow.from),
                };
                program.write_all(names.as_bytes()).await.unwrap();
            }
            AFTER_END => {
                let mut all = Vec::new();
                program.read_to_end(&mut all).await.unwrap();
                program.write_all(&all).await.unwrap();
            }
            GREETS => {
                program.write_all(GREETING).await.unwrap();
                program.shutdown().await.unwrap();
                let mut all = Vec::new();
                program.read_to_end(&mut all).await.unwrap();
                self.see(Seen::Took(all));
            }
            _ => {
                let (mut read, mut write) = program.split();
                // A program that goes away without a word ends it, too.
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        }
    }

    fn datagram(&self, flow: Flow, payload: &[u8]) {
        let Some(replies) = self.inner.replies.get() else {
            return;
        };
        match flow.to.port() {
            NO_DATAGRAMS => replies.unreachable(flow),
            _ => replies.datagram(flow, payload),
        }
    }

    fn datagrams_ended(&self, flow: Flow) {
        self.see(Seen::DatagramsEnded(flow));
    }

    fn echo(&self, request: Echo) {
        self.see(Seen::Echo(request.to));
        if let Some(replies) = self.inner.replies.get()
            && ALIVE.contains(&request.to.to_string().as_str())
        {
            replies.echo(&request);
        }
    }
}

/// A resolver that answers a question with its octets in reverse: at once if it begins with `n`, later if with
/// `l`, never otherwise.
#[derive(Clone)]
pub(crate) struct Reverser;

fn reversed(query: &[u8]) -> Vec<u8> {
    query.iter().rev().copied().collect()
}

impl DnsService for Reverser {
    fn try_answer(&self, query: &[u8], answer: &mut Vec<u8>) -> Answer {
        match query.first() {
            Some(b'n') => {
                assert!(answer.is_empty());
                answer.extend(reversed(query));
                Answer::Ready
            }
            Some(b'l') => Answer::Later,
            Some(_) | None => Answer::None,
        }
    }

    async fn answer(&self, query: Bytes, _: SocketAddr) -> Option<Bytes> {
        tokio::task::yield_now().await;
        Some(reversed(&query).into())
    }

    async fn serve_tcp(&self, mut program: TcpStream) {
        let mut query = Vec::new();
        program.read_to_end(&mut query).await.unwrap();
        program.write_all(&reversed(&query)).await.unwrap();
    }
}

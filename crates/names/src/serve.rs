//! DNS over TCP: streams of queries, each after its length (RFC 1035, 4.2.2).

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::asks::Asks;
use crate::limits::LAPTOP_WITHIN;
use crate::resolver::{Resolver, Transport};

/// Idle time after which a stream is closed: longer than any answer takes, so that a slow answer closes no stream.
const TCP_IDLE: Duration = Duration::from_secs(LAPTOP_WITHIN.as_secs() + 4);

/// Bound of queries of one stream that are answered at the same time (RFC 7766, 6.2.1.1). Further ones wait unread.
const TCP_PIPELINE: usize = 16;

impl<A: Asks> Resolver<A> {
    /// Answers the queries of one stream until the client closes it, is idle for twelve seconds, or sends something
    /// that is not a query.
    ///
    /// # Errors
    /// The stream's error when it breaks.
    pub async fn serve_tcp<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let codec = LengthDelimitedCodec::builder().length_field_length(2).new_codec();
        let (mut replies, queries) = Framed::new(stream, codec).split();
        let mut answers = queries
            .map(async |query| match query {
                Ok(query) => Ok(self.answer(query.freeze(), Transport::Tcp).await),
                Err(error) => Err(error),
            })
            .buffer_unordered(TCP_PIPELINE);
        loop {
            let Ok(Some(answer)) = timeout(TCP_IDLE, answers.next()).await else {
                return Ok(());
            };
            let answer = answer?;
            if answer.is_empty() {
                return Ok(());
            }
            // A client that does not read its answers is treated as gone.
            let Ok(sent) = timeout(TCP_IDLE, replies.send(answer)).await else {
                return Ok(());
            };
            sent?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::asks::{Addressee, AskError};
    use crate::event::channel;
    use crate::message::{self, query};
    use crate::question::{Query, RecordType};
    use crate::scope::Scope;

    /// Cluster where every name exists, and `slow` takes a second.
    struct Cluster;

    impl Asks for Cluster {
        async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
            let query = Query::parse(&query).map_err(|_| AskError::Garbled)?;
            if query.name.starts_with(b"\x04slow") {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(message::address(&query, Ipv4Addr::LOCALHOST).into())
        }
        async fn laptop(&self, _query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
            Err(AskError::NoServer)
        }
        async fn admit(&self, addresses: &[IpAddr], _named_by: crate::NamedBy) -> Vec<crate::Admission> {
            vec![crate::Admission::HandOut; addresses.len()]
        }
    }

    fn resolver() -> Resolver<Cluster> {
        let scope = Scope::new("cluster.local".parse().unwrap(), "shop".parse().unwrap());
        Resolver::new(scope, Cluster, channel(8).0)
    }

    fn framed(id: u8, name: &str) -> Vec<u8> {
        let mut bytes = query(&name.parse().unwrap(), RecordType::A);
        bytes[1] = id;
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
    }

    async fn id_of_next(client: &mut (impl AsyncRead + Unpin)) -> u8 {
        let length = client.read_u16().await.unwrap();
        let mut answer = vec![0; length.into()];
        client.read_exact(&mut answer).await.unwrap();
        answer[1]
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_query_of_a_stream_holds_up_no_other() {
        let (mut client, server) = duplex(4096);
        let resolver = resolver();
        let asks = async {
            let both = [framed(1, "slow"), framed(2, "web")].concat();
            // In pieces that do not end where a query ends.
            for piece in both.chunks(5) {
                client.write_all(piece).await.unwrap();
            }
            assert_eq!(id_of_next(&mut client).await, 2);
            assert_eq!(id_of_next(&mut client).await, 1);
            client.write_all(&framed(3, "web")).await.unwrap();
            assert_eq!(id_of_next(&mut client).await, 3);
            drop(client);
        };
        let (served, ()) = tokio::join!(resolver.serve_tcp(server), asks);
        served.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_or_garbled_stream_is_closed() {
        let (idle, server) = duplex(64);
        let start = tokio::time::Instant::now();
        resolver().serve_tcp(server).await.unwrap();
        assert_eq!(start.elapsed(), TCP_IDLE);
        drop(idle);

        let (mut client, server) = duplex(64);
        client.write_all(b"\0\x05hello").await.unwrap();
        resolver().serve_tcp(server).await.unwrap();
    }
}

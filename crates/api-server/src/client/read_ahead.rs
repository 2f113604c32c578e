//! Connection that is read in large pieces, however little its reader asks for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// Number of bytes in one read of the connection: four of the largest TLS records, as many as arrive per wake-up on a
/// fast path.
const SIZE: usize = 64 * 1024;

/// Buffer between TCP and TLS. Rustls reads 4 KiB at a time, so without it a record of 16 KiB would cost five system
/// calls.
#[derive(Debug)]
pub(crate) struct ReadAhead<T> {
    inner: T,
    buffer: Box<[u8]>,
    /// Start of the unread bytes `buffer[taken..filled]`.
    taken: usize,
    filled: usize,
}

impl<T> ReadAhead<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            buffer: vec![0; SIZE].into_boxed_slice(),
            taken: 0,
            filled: 0,
        }
    }
}

impl<T: Read + Unpin> Read for ReadAhead<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.taken == this.filled {
            if cursor.remaining() >= SIZE {
                return Pin::new(&mut this.inner).poll_read(cx, cursor);
            }
            let mut buffer = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer.unfilled()))?;
            this.filled = buffer.filled().len();
            this.taken = 0;
        }
        let ahead = this.buffer.get(this.taken..this.filled).unwrap_or_default();
        let given = ahead.len().min(cursor.remaining());
        cursor.put_slice(ahead.get(..given).unwrap_or_default());
        this.taken += given;
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for ReadAhead<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: Connection> Connection for ReadAhead<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn within<T>(event: impl Future<Output = T>) -> T {
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, event)
            .await
            .expect("the event did not come")
    }

    #[tokio::test]
    async fn bytes_arrive_once_and_in_order_for_any_read_size() {
        let (near, mut far) = tokio::io::duplex(3 * SIZE);
        let sent: Vec<u8> = (0..=250).cycle().take(5 * SIZE + 77).collect();
        let expected = sent.clone();
        let sender = tokio::spawn(async move { far.write_all(&sent).await });
        let mut ahead = TokioIo::new(ReadAhead::new(TokioIo::new(near)));
        let mut got = Vec::new();
        for asked in [1, 4096, SIZE - 1, SIZE, 2 * SIZE, 5].into_iter().cycle() {
            let mut piece = vec![0; asked];
            match ahead.read(&mut piece).await.unwrap() {
                0 => break,
                read => got.extend_from_slice(&piece[..read]),
            }
        }
        sender.await.unwrap().unwrap();
        assert!(got == expected);
    }

    #[tokio::test]
    async fn small_reads_cost_one_read_of_the_connection() {
        let (near, mut far) = tokio::io::duplex(SIZE);
        let mut ahead = TokioIo::new(ReadAhead::new(TokioIo::new(near)));
        far.write_all(&[7; 1000]).await.unwrap();
        ahead.read_exact(&mut [0; 10]).await.unwrap();
        // All bytes left the pipe with the first ten, so there is room for as many again.
        within(far.write_all(&[7; SIZE])).await.unwrap();
        ahead.read_exact(&mut [0; 990]).await.unwrap();
    }
}

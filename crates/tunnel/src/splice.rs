//! Connection of a stream with a TCP socket.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::frame::{MAX_DATA, ResetCause};
use crate::stream::{Stream, StreamError};

/// Moves bytes between a stream and a socket until both directions have ended.
///
/// The end of one direction is passed on while the other continues; a reset of either side resets the other. The caller
/// drops the socket afterwards, which sends the reset.
pub async fn splice(stream: Stream, socket: &TcpStream) {
    // Batching by the kernel would only add to the delay of the tunnel's batches.
    let _ = socket.set_nodelay(true);
    match tokio::try_join!(outward(&stream, socket), inward(&stream, socket)) {
        Ok(((), ())) => {}
        Err(End::Socket(error)) => {
            tracing::debug!(%error, "socket failed");
            stream.reset(ResetCause::Reset);
        }
        Err(End::Stream(error)) => {
            tracing::debug!(%error, "stream was reset");
            // Closing with a linger time of zero sends RST, so that the program sees the reset.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

enum End {
    Socket(io::Error),
    Stream(StreamError),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> End {
        End::Stream(error)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Socket(error)
    }
}

async fn outward(stream: &Stream, socket: &TcpStream) -> Result<(), End> {
    loop {
        // Reading at most as much as there is room bounds a stream's memory. It holds no block while it waits.
        let room = stream.room().await?.min(MAX_DATA);
        socket.ready(Interest::READABLE).await?;
        let mut block = stream.blocks().take();
        match socket.try_read(block.room().get_mut(..room).unwrap_or_default()) {
            Ok(0) => {
                stream.finish();
                return Ok(());
            }
            Ok(read) => {
                block.fill(read);
                stream.write(block.into_bytes())?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn inward(stream: &Stream, socket: &TcpStream) -> Result<(), End> {
    while let Some(mut chunk) = stream.read().await? {
        while !chunk.is_empty() {
            match socket.try_write(&chunk) {
                Ok(written) => bytes::Buf::advance(&mut chunk, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The other direction notices a peer that resets while nothing can be written.
                    socket.ready(Interest::WRITABLE).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    SockRef::from(socket).shutdown(std::net::Shutdown::Write)?;
    Ok(())
}

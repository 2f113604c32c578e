//! Background writer: an output whose reader cannot block the session.
//!
//! A session may run for days, and the program that started it may have stopped reading. A write to a full pipe would
//! then block the session's thread, so another thread writes.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

/// Number of lines that may wait for the reader; further ones are refused.
const QUEUE: usize = 64;

/// How long the program waits at its end for the reader of the last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// A writer with its own thread. Refuses with [`io::ErrorKind::WouldBlock`] while its queue is full, and with
/// [`io::ErrorKind::BrokenPipe`] once the output has failed.
pub(crate) struct BackgroundWriter {
    /// Taken when the writer is dropped, so that the thread ends.
    lines: Option<SyncSender<Vec<u8>>>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

impl BackgroundWriter {
    /// Starts the thread.
    pub(crate) fn new(mut out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = mpsc::sync_channel::<Vec<u8>>(QUEUE);
        let (end, ended) = mpsc::channel::<()>();
        thread::spawn(move || {
            let _end = end;
            while let Ok(line) = waiting.recv() {
                if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        });
        Self {
            lines: Some(lines),
            ended,
        }
    }
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let lines = self.lines.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        match lines.try_send(bytes.to_vec()) {
            Ok(()) => Ok(bytes.len()),
            Err(TrySendError::Full(_)) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TrySendError::Disconnected(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // The thread flushes after each line.
        Ok(())
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(FLUSH_LIMIT) {
            tracing::debug!("the last lines of progress were not read");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Instant;

    use super::*;

    #[test]
    fn written_lines_arrive_before_the_drop_ends() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut out = BackgroundWriter::new(writer);
        for line in ["one\n", "two\n"] {
            out.write_all(line.as_bytes()).unwrap();
        }
        drop(out);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "one\ntwo\n");
    }

    #[test]
    fn a_reader_that_does_not_read_blocks_no_writer() {
        let (_reader, writer) = io::pipe().unwrap();
        let mut out = BackgroundWriter::new(writer);
        let line = vec![b'x'; 64 * 1024];
        let refused = (0..QUEUE + 3).find_map(|_| out.write_all(&line).err());
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
        let began = Instant::now();
        drop(out);
        let waited = began.elapsed();
        assert!(waited >= FLUSH_LIMIT && waited < FLUSH_LIMIT * 10, "{waited:?}");
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut out = BackgroundWriter::new(writer);
        let error = loop {
            match out.write_all(b"line\n") {
                Ok(()) => thread::yield_now(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

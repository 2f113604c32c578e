//! Ring of a session's last log lines.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

/// Number of lines that are kept.
const MAX_LINES: usize = 2_000;
/// Longest line that is kept, in bytes; the rest is cut.
const MAX_LINE: usize = 8 * 1024;
/// Number of new lines that a follower may be behind before it misses some.
const FOLLOW_QUEUE: usize = 256;

/// The last lines of a session's log. Clones are the same ring.
#[derive(Clone, Debug)]
pub struct LogRing {
    shared: Arc<Mutex<Ring>>,
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<String>,
    followers: broadcast::Sender<String>,
}

impl Default for LogRing {
    fn default() -> Self {
        Self::new()
    }
}

impl LogRing {
    /// An empty ring.
    pub fn new() -> Self {
        let (followers, _) = broadcast::channel(FOLLOW_QUEUE);
        Self {
            shared: Arc::new(Mutex::new(Ring {
                lines: VecDeque::new(),
                followers,
            })),
        }
    }

    /// Adds a line; removes the oldest when there are too many.
    pub fn push(&self, line: impl Into<String>) {
        let mut line = line.into();
        if line.len() > MAX_LINE {
            let end = (0..=MAX_LINE)
                .rev()
                .find(|&at| line.is_char_boundary(at))
                .unwrap_or(0);
            line.truncate(end);
        }
        let mut ring = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.lines.len() == MAX_LINES {
            ring.lines.pop_front();
        }
        ring.lines.push_back(line.clone());
        // The send fails only without followers.
        let _ = ring.followers.send(line);
    }

    /// Returns a writer, for instance for a `tracing_subscriber` (`with_writer(move || ring.writer())`).
    pub fn writer(&self) -> LogWriter {
        LogWriter {
            ring: self.clone(),
            pending: Vec::new(),
        }
    }

    /// Returns the lines so far.
    pub fn lines(&self) -> Vec<String> {
        let ring = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        ring.lines.iter().cloned().collect()
    }

    /// Returns the lines so far and a receiver of all later ones, without gap or overlap.
    pub(crate) fn follow(&self) -> (Vec<String>, broadcast::Receiver<String>) {
        let ring = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        (ring.lines.iter().cloned().collect(), ring.followers.subscribe())
    }
}

/// A writer that splits bytes into lines of a [`LogRing`].
#[derive(Debug)]
pub struct LogWriter {
    ring: LogRing,
    pending: Vec<u8>,
}

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte == b'\n' {
                self.flush()?;
            } else if self.pending.len() < MAX_LINE {
                self.pending.push(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.ring.push(String::from_utf8_lossy(&self.pending));
            self.pending.clear();
        }
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        let _ = io::Write::flush(self);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_lines_and_no_more() {
        let ring = LogRing::new();
        for n in 0..MAX_LINES + 5 {
            ring.push(n.to_string());
        }
        let (lines, _) = ring.follow();
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(lines.first().unwrap(), "5");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let ring = LogRing::new();
        ring.push(format!("a{}", "ä".repeat(MAX_LINE)));
        let (lines, _) = ring.follow();
        assert_eq!(lines.first().unwrap().len(), MAX_LINE - 1);
    }

    #[test]
    fn written_bytes_become_lines() {
        let ring = LogRing::new();
        let mut writer = ring.writer();
        writer.write_all(b"one\ntwo\nth").unwrap();
        writer.write_all(b"ree").unwrap();
        drop(writer);
        assert_eq!(ring.follow().0, ["one", "two", "three"]);
    }
}

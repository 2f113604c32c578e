//! Standard error of a credential plugin: what it says to a person.

use nix::unistd::read;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::sync::watch;

use super::LoginReport;

/// Number of last lines that are kept, and the largest length of one in bytes. A longer line continues as the next one.
const LINES: usize = 8;
const MAX_LINE: usize = 500;

/// Number of bytes in one read.
const SIZE: usize = 4096;

/// Number of reads after the plugin's end: as much as a pipe holds (pipe(7)), because a program that the plugin started may
/// go on writing.
const LAST_READS: usize = 64 * 1024 / SIZE;

/// Standard error of a plugin, and its last lines.
pub(super) struct Words {
    pipe: ChildStderr,
    lines: Lines,
}

impl Words {
    pub(super) fn new(pipe: ChildStderr) -> Self {
        Self {
            pipe,
            lines: Lines::default(),
        }
    }

    /// Shows the last lines in the report while they come, until no program has standard error open.
    pub(super) async fn follow(&mut self, report: &watch::Sender<LoginReport>) {
        let mut bytes = [0; SIZE];
        while let Ok(length @ 1..) = self.pipe.read(&mut bytes).await {
            if self.lines.add(bytes.get(..length).unwrap_or_default()) {
                report.send_modify(|report| report.words.clone_from(&self.lines.complete));
            }
        }
    }

    /// Returns the last lines, with what is in the pipe now. Waits for nothing.
    pub(super) fn rest(&mut self) -> Vec<String> {
        let mut bytes = [0; SIZE];
        for _ in 0..LAST_READS {
            // Tokio has made the pipe non-blocking. It may not know yet that the pipe can be read, so the kernel is asked.
            match read(&self.pipe, &mut bytes) {
                Ok(length @ 1..) => self.lines.add(bytes.get(..length).unwrap_or_default()),
                Ok(0) | Err(_) => break,
            };
        }
        self.lines.end();
        self.lines.complete.clone()
    }

    /// Reads what a program that the plugin started still writes, until it has ended: if nobody read, its next line would
    /// end it with SIGPIPE.
    pub(super) async fn ignore(mut self) {
        let mut bytes = [0; SIZE];
        while let Ok(1..) = self.pipe.read(&mut bytes).await {}
    }
}

/// Last lines of a text that comes in pieces.
#[derive(Default)]
struct Lines {
    complete: Vec<String>,
    begun: Vec<u8>,
}

impl Lines {
    /// Adds a piece of the text. Returns whether it completed a line.
    fn add(&mut self, piece: &[u8]) -> bool {
        let mut completed = false;
        for byte in piece {
            if *byte != b'\n' {
                self.begun.push(*byte);
            }
            if *byte == b'\n' || self.begun.len() == MAX_LINE {
                completed |= self.end();
            }
        }
        completed
    }

    /// Ends the line that has begun. Returns whether it has a word.
    fn end(&mut self) -> bool {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.begun))
            .trim()
            .to_owned();
        if line.is_empty() {
            return false;
        }
        self.complete.push(line);
        if self.complete.len() > LINES {
            self.complete.remove(0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_come_in_pieces() {
        let mut lines = Lines::default();
        assert!(!lines.add(b"Open https://login"));
        assert!(lines.add(b".example\r\n\n  \nand enter "));
        assert!(!lines.add(b"A"));
        assert_eq!(lines.complete, ["Open https://login.example"]);
        assert!(lines.end());
        assert!(!lines.end());
        assert_eq!(lines.complete, ["Open https://login.example", "and enter A"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut lines = Lines::default();
        let text: String = (0..20).map(|number| format!("{number}\n")).collect();
        lines.add(text.as_bytes());
        assert_eq!(lines.complete.len(), LINES);
        assert_eq!(lines.complete[LINES - 1], "19");
        lines.add(&[b'x'; MAX_LINE * 10]);
        assert!(lines.complete.iter().all(|line| line.len() == MAX_LINE));
        assert_eq!(lines.complete.len(), LINES);
    }
}

//! Progress of a session as lines of JSON, for the program that started it.

mod background_writer;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use slipway_control_api::{Problem, Progress, SessionStatus};

pub(crate) use self::background_writer::BackgroundWriter;
use crate::failure::{Failure, OURS, Uncoded};

/// A writer of [`Progress`], one line for each event.
pub(crate) struct ProgressWriter<W> {
    out: W,
    last: Option<SessionStatus>,
}

impl ProgressWriter<io::Stdout> {
    /// A writer on standard output that waits for its reader; for a reader that is known to read.
    pub(crate) fn to_starter() -> Self {
        Self::new(io::stdout())
    }
}

impl ProgressWriter<BackgroundWriter> {
    /// A writer on standard output.
    pub(crate) fn on_stdout() -> Self {
        Self::new(BackgroundWriter::new(io::stdout()))
    }

    /// A writer on a file, which is created or emptied; `/dev/fd/N` is the caller's open descriptor N.
    ///
    /// # Errors
    ///
    /// When the system refuses to open the file.
    pub(crate) fn on_file(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path);
        let file = file.uncoded(format!("Failed to open {}", path.display()))?;
        Ok(Self::new(BackgroundWriter::new(file)))
    }
}

impl<W: Write> ProgressWriter<W> {
    fn new(out: W) -> Self {
        Self { out, last: None }
    }

    /// Writes the session's status, unless only its `health` changed, which does so every second.
    ///
    /// # Errors
    ///
    /// The system's error; a reader that is gone is an error too.
    pub(crate) fn status(&mut self, status: &SessionStatus) -> io::Result<()> {
        let status = SessionStatus {
            health: None,
            ..status.clone()
        };
        if self.last.as_ref() == Some(&status) {
            return Ok(());
        }
        self.write(&Progress::Status(Box::new(status.clone())))?;
        self.last = Some(status);
        Ok(())
    }

    /// Writes why the session failed to connect, or ended. This is the last line.
    ///
    /// # Errors
    ///
    /// As [`ProgressWriter::status`].
    pub(crate) fn failed(&mut self, problem: Problem) -> io::Result<()> {
        self.write(&Progress::Failed(problem))
    }

    /// Ends a command: writes its failure as the last line, and returns its exit code.
    pub(crate) fn conclude(&mut self, outcome: Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
        match outcome {
            Ok(code) => Ok(code),
            Err(failure @ Failure::ReaderGone) => Err(failure),
            Err(failure @ (Failure::Problem(_) | Failure::Uncoded(_))) => {
                // A caller that does not read the lines has the exit code.
                let _ = self.failed(failure.into_problem());
                Ok(ExitCode::from(OURS))
            }
        }
    }

    fn write(&mut self, event: &Progress) -> io::Result<()> {
        let line = serde_json::to_string(event)? + "\n";
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_control_api::{Health, State};
    use slipway_profile::Method;

    use super::*;

    fn events(written: &[u8]) -> Vec<Progress> {
        let lines = std::str::from_utf8(written).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn figures_alone_are_no_event() {
        let mut status = status_of_this_process("shop-a1".parse().unwrap(), None, Method::VpnTcp);
        let mut progress = ProgressWriter::new(Vec::new());
        progress.status(&status).unwrap();
        status.health = Some(Health::default());
        progress.status(&status).unwrap();
        assert_eq!(events(&progress.out).len(), 1);
        status.state = State::Connected;
        progress.status(&status).unwrap();
        assert_eq!(events(&progress.out).len(), 2);
    }

    #[test]
    fn a_failure_is_the_last_line() {
        let mut progress = ProgressWriter::new(Vec::new());
        let failure = Problem::new("x", "It broke.", "Mend it.");
        let code = progress.conclude(Err(failure.clone().into())).unwrap();
        assert_eq!(code, ExitCode::from(OURS));
        assert_eq!(events(&progress.out), [Progress::Failed(failure)]);
    }
}

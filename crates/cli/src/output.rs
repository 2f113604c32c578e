//! Standard output: text and JSON, and a reader that stopped reading.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// The reader of our standard output is gone. No failure of the command.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct ReaderGone;

/// Writes text to standard output, at once.
///
/// # Errors
///
/// [`ReaderGone`], or what the system said.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => Ok(other?),
    }
}

/// Writes a value as JSON to standard output, indented.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json_line(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string(value)? + "\n"))
}

/// Writes the next of a row of pictures: over the last one on a terminal, after it elsewhere.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_picture(text: &str) -> anyhow::Result<()> {
    /// Cursor home, then clear the screen (ECMA-48: CUP, ED).
    const CLEAR: &str = "\x1b[H\x1b[2J";
    if io::stdout().is_terminal() {
        print(&format!("{CLEAR}{text}"))
    } else {
        print(&format!("{text}\n"))
    }
}

/// Writes something that is no result to standard error.
pub(crate) fn note(text: &str) {
    let _nobody_reads = writeln!(io::stderr(), "{text}");
}

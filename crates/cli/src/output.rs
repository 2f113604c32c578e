//! Standard output: text and JSON, and a reader that stopped reading.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Failure, Uncoded};

/// Writes text to standard output, at once.
///
/// # Errors
///
/// [`Failure::ReaderGone`], or what the system said.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        other => other.uncoded("Failed to write to standard output"),
    }
}

/// Writes a value as JSON to standard output, indented.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).uncoded("Failed to write JSON")?;
    print(&(text + "\n"))
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).uncoded("Failed to write JSON")?;
    print(&(text + "\n"))
}

/// Writes the next of a row of pictures: over the last one on a terminal, after it elsewhere.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_picture(text: &str) -> Result<(), Failure> {
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
    // Where nobody reads it, nobody can be told.
    let _ = writeln!(io::stderr(), "{text}");
}

//! Standard output and standard error: text and JSON.
//!
//! All text is written here, with control characters escaped, so that names from elsewhere cannot control a terminal
//! ([`plain_text`], [`plain_json`]).

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;
use slipway_control::{plain_json, plain_text};

use crate::failure::{self, Failure, Uncoded};

/// Writes text to standard output, at once.
///
/// # Errors
///
/// [`Failure::ReaderGone`], or the system's error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(&plain_text(text))
}

/// Writes a file's text to standard output. It is escaped only on a terminal, so that a redirect gives the same file.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_file(text: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        print(text)
    } else {
        write(text)
    }
}

/// Writes a value as JSON to standard output, indented.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).uncoded("Failed to write JSON")?;
    write(&(plain_json(&text) + "\n"))
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).uncoded("Failed to write JSON")?;
    write(&(plain_json(&text) + "\n"))
}

/// Writes the next state of a display: on a terminal in place of the last one, elsewhere after it.
///
/// # Errors
///
/// As [`print()`].
pub(crate) fn print_picture(text: &str) -> Result<(), Failure> {
    write(&picture(text, io::stdout().is_terminal()))
}

fn picture(text: &str, on_terminal: bool) -> String {
    /// Cursor home, then clear the screen (ECMA-48: CUP, ED).
    const CLEAR: &str = "\x1b[H\x1b[2J";
    let text = plain_text(text);
    if on_terminal {
        format!("{CLEAR}{text}")
    } else {
        format!("{text}\n")
    }
}

/// Writes a note to standard error, with a line end.
pub(crate) fn note(text: &str) {
    tell(&format!("{text}\n"));
}

/// Writes text to standard error, without a line end.
pub(crate) fn tell(text: &str) {
    // If standard error is closed, there is no place to report that.
    let _ = io::stderr().write_all(plain_text(text).as_bytes());
}

/// Writes a failure to standard error and returns its exit code.
pub(crate) fn report_failure(failure: &Failure) -> ExitCode {
    let text = match failure {
        Failure::ReaderGone => return ExitCode::SUCCESS,
        Failure::Problem(problem) => failure::in_words(problem),
        Failure::Uncoded(text) => format!("slipway: {text}\n"),
    };
    tell(&text);
    ExitCode::from(failure::OURS)
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        other => other.uncoded("Failed to write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_sequence_clears_the_screen() {
        assert_eq!(
            picture("evil\u{1b}[2J\n", true),
            "\u{1b}[H\u{1b}[2Jevil\\u{1b}[2J\n"
        );
        assert_eq!(picture("evil\u{1b}[2J\n", false), "evil\\u{1b}[2J\n\n");
    }
}

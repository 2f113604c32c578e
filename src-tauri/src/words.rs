//! Texts of states and problems in the menu.

use slipway_control::plain_text;
use slipway_control_api::{SessionStatus, State, Word};

/// Longest line of a text in a menu, in characters. Menus do not wrap.
const LINE: usize = 64;
/// Largest number of lines of a text in a menu.
const LINES: usize = 4;

/// Returns the word for a listed session. A session that has ended is shown as disconnecting until it is removed.
pub(crate) fn word(status: &SessionStatus) -> Word {
    match status.word() {
        Word::NotConnected => Word::Disconnecting,
        word @ (Word::Connecting
        | Word::Connected
        | Word::Reconnecting
        | Word::NeedsYou
        | Word::Disconnecting) => word,
    }
}

/// Returns a session's state, with the step while it connects.
pub(crate) fn state(status: &SessionStatus) -> String {
    match (word(status), &status.step) {
        (word @ Word::Connecting, Some(step)) => format!("{word}: {step}"),
        (
            word @ (Word::NotConnected
            | Word::Connecting
            | Word::Connected
            | Word::Reconnecting
            | Word::NeedsYou
            | Word::Disconnecting),
            _,
        ) => word.to_string(),
    }
}

/// Whether the session is not ending already.
pub(crate) fn can_end(status: &SessionStatus) -> bool {
    match status.state {
        State::Ending | State::Ended => false,
        State::Preparing | State::Placing | State::Connecting | State::Connected | State::Reconnecting => {
            true
        }
    }
}

/// Splits a text into lines for a menu; a very long text is cut.
pub(crate) fn lines(sentence: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    // Escapes take more room, so they are made before the words are measured.
    for word in plain_text(sentence).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LINE => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.chars().take(LINE).collect()),
        }
    }
    if lines.len() > LINES {
        lines.truncate(LINES);
        if let Some(last) = lines.last_mut() {
            last.push_str(" ...");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_between_words_and_cut() {
        assert_eq!(lines("short"), ["short"]);
        let cut = lines(&"word ".repeat(20));
        assert_eq!(cut.len(), 2);
        assert!(
            cut.iter()
                .all(|line| line.chars().count() <= LINE && !line.ends_with(' '))
        );
        let long = lines(&"word ".repeat(1_000));
        assert_eq!(long.len(), LINES);
        assert!(long.last().unwrap().ends_with("..."));
        assert_eq!(lines(&"x".repeat(1_000)).first().unwrap().len(), LINE);
        let code = lines(&"\u{1b}".repeat(1_000));
        assert!(
            code.first().unwrap().starts_with(r"\u{1b}") && code.first().unwrap().len() == LINE,
            "escaped before it was cut: {code:?}"
        );
        assert!(lines("  ").is_empty());
    }
}

//! Escaping of text from a cluster, a kubeconfig or a file, before it is shown.
//!
//! Every text for a terminal or the tray is escaped here last. Characters that control a terminal (ECMA-48) or change
//! the reading order (UAX #9) are shown as their code, as in `\u{1b}`.

use std::borrow::Cow;
use std::fmt;

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// Escapes text of several lines: newlines and tabs stay.
#[must_use]
pub fn plain_text(text: &str) -> Cow<'_, str> {
    escaped(text, |character| {
        steers(character) && !matches!(character, '\n' | '\t')
    })
}

/// Escapes such characters in JSON, which keeps its meaning (RFC 8259 section 7). C0 must be escaped already.
#[must_use]
pub fn plain_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if steers(character) && character != '\n' {
            // Each code has at most four digits.
            shown.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Escapes text of one line, as for a cell of a table or a menu: newlines and tabs are escaped too.
#[must_use]
pub fn plain_line(text: &str) -> Cow<'_, str> {
    escaped(text, steers)
}

/// Formatter that escapes the fields of a log line. `tracing_subscriber` itself escapes only messages.
#[derive(Debug, Default)]
pub struct PlainFields(DefaultFields);

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        self.0.format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&plain_text(&text))
    }
}

/// Whether the character is a control character (C0, DEL, C1) or changes the reading order.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if hidden(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const CLIPBOARD: &str = "\u{1b}]52;c;ZXZpbA==\u{7}";

    #[test]
    fn terminal_control_characters_are_escaped() {
        assert_eq!(plain_text(CLIPBOARD), r"\u{1b}]52;c;ZXZpbA==\u{7}");
        assert_eq!(
            plain_text("a\r\u{8}b\u{7f}\u{9b}2J"),
            r"a\u{d}\u{8}b\u{7f}\u{9b}2J"
        );
    }

    #[test]
    fn characters_that_reorder_text_are_escaped() {
        for code in [0x61c, 0x200e, 0x200f, 0x202a, 0x202e, 0x2066, 0x2069] {
            let character = char::from_u32(code).unwrap();
            assert_eq!(plain_text(&character.to_string()), format!("\\u{{{code:x}}}"));
        }
    }

    #[test]
    fn readable_text_is_not_changed() {
        let text = "Größe\tнет שלום \u{1f600}\n";
        assert!(matches!(plain_text(text), Cow::Borrowed(same) if same == text));
        assert_eq!(plain_line("a\n\tb"), r"a\u{a}\u{9}b");
    }

    #[test]
    fn escaped_json_keeps_its_meaning() {
        let value = serde_json::json!({"cause": format!("{CLIPBOARD}\u{9b}2J\u{7f}\u{202e}\n"), "Größe": 1});
        let json = serde_json::to_string_pretty(&value).unwrap();
        assert!(json.contains('\u{9b}'), "serde_json leaves it as it is");
        let plain = plain_json(&json);
        assert_eq!(plain_text(&plain), plain);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
    }

    #[test]
    fn fields_of_the_log_are_escaped() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&log);
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .fmt_fields(PlainFields::default())
            .with_writer(move || Shared(Arc::clone(&written)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let span = tracing::info_span!("asking", server = %CLIPBOARD);
            let _guard = span.enter();
            tracing::info!(error = %CLIPBOARD, "refused with {CLIPBOARD}\r");
        });
        let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        assert!(log.contains(r"error=\u{1b}]52"), "{log:?}");
        assert_eq!(plain_text(&log), log);
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(text: String, some in "[\\x00-\\x1f\\x7f-\\u{9f}\\u{2060}-\\u{2070} a]*") {
            let text = text + &some;
            let plain = plain_text(&text);
            prop_assert!(!plain.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert_eq!(&plain_text(&plain), &plain);
            prop_assert!(!plain_line(&text).contains(steers));
        }
    }
}

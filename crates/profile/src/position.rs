//! Position in a text.

use std::fmt;

use serde::Serialize;

/// Position of a character in a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FilePosition {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl FilePosition {
    /// Returns the position of a byte of `text`.
    pub(crate) fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a = 1\nä = ö\n";
        assert_eq!(FilePosition::of(text, 0), FilePosition { line: 1, column: 1 });
        assert_eq!(
            FilePosition::of(text, text.find('ö').unwrap()),
            FilePosition { line: 2, column: 5 }
        );
        assert_eq!(
            FilePosition::of(text, text.len()),
            FilePosition { line: 3, column: 1 }
        );
    }
}

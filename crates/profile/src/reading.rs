//! Reading of a TOML text into a type, with every mistake.
//!
//! The type is the only description of the fields: serde's derived code says what it accepts. That code stops at the first
//! mistake, so it runs again without the field at fault until nothing is wrong any more.

mod node;
mod slip;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::node::Node;
use self::slip::Slip;
use crate::field::Field;
use crate::mistake::{Mistake, MistakeCode};
use crate::position::FilePosition;

/// Largest number of mistakes that are looked for. Each costs a pass over the text.
const MOST: usize = 100;

/// A text that is being read, with the mistakes so far.
pub(crate) struct Reading<'t> {
    text: &'t str,
    root: Spanned<DeValue<'t>>,
    mistakes: Vec<Mistake>,
    /// Entries that are passed over, because they are mistakes. An entry is named by the byte at which its key begins; an
    /// element of a list has no key and is named by its own first byte.
    skipped: BTreeSet<usize>,
}

impl<'t> Reading<'t> {
    /// Parses a text. What is not TOML is a mistake, and the rest is read all the same.
    pub(crate) fn of(text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mistakes = errors.iter().take(MOST).map(|error| Mistake {
            field: None,
            place: Some(FilePosition::of(text, error.span().map_or(0, |span| span.start))),
            code: MistakeCode::Syntax,
            message: error.message().to_owned(),
        });
        Self {
            mistakes: mistakes.collect(),
            root: Spanned::new(root.span(), DeValue::Table(root.into_inner())),
            skipped: BTreeSet::new(),
            text,
        }
    }

    /// Returns the value without the fields at fault, and remembers these as mistakes. `None` if no value is left.
    pub(crate) fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            let slip = match self.attempt() {
                Ok(value) => return Some(value),
                Err(slip) => slip,
            };
            let entry = slip.entry;
            self.note(slip);
            let is_new = entry.is_some_and(|entry| self.skipped.insert(entry));
            if !is_new || self.mistakes.len() >= MOST {
                return None;
            }
        }
    }

    /// Returns the value as far as it is read without a mistake, and remembers nothing.
    pub(crate) fn glimpse<T: DeserializeOwned>(&self) -> Option<T> {
        self.attempt().ok()
    }

    /// Adds a mistake that reading alone does not find. `keys` is the path of its field.
    pub(crate) fn add(&mut self, keys: &[&str], code: MistakeCode, message: String) {
        self.mistakes.push(Mistake {
            field: Some(Field::of(keys).to_string()),
            place: self.place(keys),
            code,
            message,
        });
    }

    /// Returns where the value of a field begins in the text.
    pub(crate) fn place(&self, keys: &[&str]) -> Option<FilePosition> {
        let mut value = &self.root;
        for key in keys {
            value = value.get_ref().get(*key)?;
        }
        Some(FilePosition::of(self.text, value.span().start))
    }

    /// Returns the mistakes in the order of the text.
    pub(crate) fn mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes;
        mistakes.sort_by_key(|mistake| mistake.place);
        mistakes
    }

    fn attempt<T: DeserializeOwned>(&self) -> Result<T, Slip> {
        T::deserialize(Node {
            value: &self.root,
            skipped: &self.skipped,
        })
    }

    fn note(&mut self, slip: Slip) {
        let place = slip.byte.map(|byte| FilePosition::of(self.text, byte));
        // Half of a broken line is often read as something that is not there, so the line has one mistake.
        let is_broken = self.mistakes.iter().any(|known| {
            let line = |place: FilePosition| place.line;
            known.code == MistakeCode::Syntax && known.place.map(line) == place.map(line)
        });
        if is_broken {
            return;
        }
        let field = slip.field();
        self.mistakes.push(Mistake {
            field: Some(field.to_string()),
            place,
            code: slip.code,
            message: slip.message,
        });
    }
}

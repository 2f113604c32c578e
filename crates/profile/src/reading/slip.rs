//! The error with which a pass over a text stops.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::field::{Field, Step};
use crate::mistake::MistakeCode;

/// A mistake before its place is known. The entries around it add that, from the inside out.
#[derive(Debug)]
pub(super) struct Slip {
    pub(super) code: MistakeCode,
    pub(super) message: String,
    /// Byte of the text at which it is.
    pub(super) byte: Option<usize>,
    /// Entry without which the text can be read.
    pub(super) entry: Option<usize>,
    /// Steps to the field, the last one first.
    pub(super) steps: Vec<Step>,
}

impl Slip {
    fn new(code: MistakeCode, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
            byte: None,
            entry: None,
            steps: Vec::new(),
        }
    }

    /// Adds where it is and in which entry, unless an entry within that one did.
    pub(super) fn at(mut self, byte: usize, entry: usize) -> Self {
        if self.entry.is_none() {
            self.byte = Some(byte);
            self.entry = Some(entry);
        }
        self
    }

    /// Adds the step that leads to it.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Returns the path of its field.
    pub(super) fn field(&self) -> Field {
        Field(self.steps.iter().rev().cloned().collect())
    }
}

impl fmt::Display for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Slip {}

impl de::Error for Slip {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(MistakeCode::InvalidValue, message)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let message = format!("expected {}, found {}", wanted(expected), found(unexpected));
        Self::new(MistakeCode::WrongType, message)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(
            MistakeCode::InvalidValue,
            format!("expected {}", wanted(expected)),
        )
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let variant: String = variant.chars().take(80).collect();
        let message = format!("{variant:?} is not one of {}", expected.join(", "));
        Self::new(MistakeCode::InvalidValue, message)
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        let message = format!(
            "there is no such field; the fields here are {}",
            expected.join(", ")
        );
        Self::new(MistakeCode::UnknownField, message)
    }

    fn missing_field(field: &'static str) -> Self {
        let slip = Self::new(MistakeCode::MissingField, "this field is required");
        slip.within(Step::Key(field.to_owned()))
    }
}

/// Returns the words for what a field accepts.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let words = match &*text {
        "a string" | "string or map" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "u8" | "u16" | "u32" | "u64" => "a whole number that is not negative",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    words.to_owned()
}

/// Returns the words for the type of a value. The value itself may be a secret in the wrong place.
fn found(unexpected: Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Str(_) | Unexpected::Char(_) => "text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        Unexpected::Other("date") => "a date",
        Unexpected::Other(_)
        | Unexpected::Bytes(_)
        | Unexpected::Unit
        | Unexpected::Option
        | Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "something else",
    }
}

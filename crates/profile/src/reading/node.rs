//! A value of the text as serde's data.

use std::collections::BTreeSet;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::slip::Slip;
use crate::field::Step;

/// A value of the text.
#[derive(Clone, Copy)]
pub(super) struct Node<'n> {
    pub(super) value: &'n Spanned<DeValue<'n>>,
    /// Entries that are passed over.
    pub(super) skipped: &'n BTreeSet<usize>,
}

impl<'n> Node<'n> {
    /// Returns a value within this one.
    fn part(self, value: &'n Spanned<DeValue<'n>>) -> Self {
        Self { value, ..self }
    }

    fn start(self) -> usize {
        self.value.span().start
    }

    fn is_not(self, expected: &'static str) -> Slip {
        let unexpected = match self.value.get_ref() {
            DeValue::String(_) => Unexpected::Str(""),
            DeValue::Boolean(value) => Unexpected::Bool(*value),
            DeValue::Integer(_) => Unexpected::Signed(0),
            DeValue::Float(_) => Unexpected::Float(0.0),
            DeValue::Datetime(_) => Unexpected::Other("date"),
            DeValue::Array(_) => Unexpected::Seq,
            DeValue::Table(_) => Unexpected::Map,
        };
        Slip::invalid_type(unexpected, &expected)
    }
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Slip;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Slip> {
        match self.value.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(Slip::custom("the number is too large")),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Slip::custom("the number is not valid")),
            },
            DeValue::Datetime(_) => Err(Slip::invalid_type(Unexpected::Other("date"), &visitor)),
            DeValue::Array(list) => visitor.visit_seq(Elements {
                list: self,
                rest: list.iter().enumerate(),
            }),
            DeValue::Table(table) => visitor.visit_map(Entries {
                table: self,
                rest: table.iter(),
                next: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Slip> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Slip> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Slip> {
        // Derived code would also accept a list with the fields in order.
        match self.value.get_ref().is_table() {
            true => self.deserialize_any(visitor),
            false => Err(self.is_not("a map")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Slip> {
        match self.value.get_ref().as_str() {
            Some(text) => visitor.visit_enum(StrDeserializer::new(text)),
            None => Err(self.is_not("a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// Entries of a table.
struct Entries<'n, I> {
    table: Node<'n>,
    rest: I,
    /// The entry whose key was read last.
    next: Option<Entry<'n>>,
}

#[derive(Clone, Copy)]
struct Entry<'n> {
    key: &'n str,
    /// First byte of the key.
    byte: usize,
    value: Node<'n>,
}

impl Entry<'_> {
    /// Adds this entry to an error from within it, which is at `byte` unless that is known better.
    fn around(self, slip: Slip, byte: usize) -> Slip {
        let slip = slip.at(byte, self.byte);
        slip.within(Step::Key(self.key.to_owned()))
    }
}

impl<'de, 'n, I> MapAccess<'de> for Entries<'n, I>
where
    I: Iterator<Item = (&'n Spanned<DeString<'n>>, &'n Spanned<DeValue<'n>>)>,
{
    type Error = Slip;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Slip> {
        let skipped = self.table.skipped;
        let mut kept = self
            .rest
            .by_ref()
            .filter(|(key, _)| !skipped.contains(&key.span().start));
        let Some((key, value)) = kept.next() else {
            return Ok(None);
        };
        let entry = Entry {
            key: key.get_ref(),
            byte: key.span().start,
            value: self.table.part(value),
        };
        self.next = Some(entry);
        let read = seed.deserialize(StrDeserializer::new(entry.key));
        read.map(Some)
            .map_err(|slip: Slip| entry.around(slip, entry.byte))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Slip> {
        let Some(entry) = self.next.take() else {
            return Err(Slip::custom("a value without a key"));
        };
        let read = seed.deserialize(entry.value);
        read.map_err(|slip| entry.around(slip, entry.value.start()))
    }
}

/// Elements of a list.
struct Elements<'n, I> {
    list: Node<'n>,
    rest: I,
}

impl<'de, 'n, I> SeqAccess<'de> for Elements<'n, I>
where
    I: Iterator<Item = (usize, &'n Spanned<DeValue<'n>>)>,
{
    type Error = Slip;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Slip> {
        let list = self.list;
        let nodes = self.rest.by_ref().map(|(index, value)| (index, list.part(value)));
        let mut kept = nodes.filter(|(_, node)| !list.skipped.contains(&node.start()));
        let Some((index, node)) = kept.next() else {
            return Ok(None);
        };
        let read = seed.deserialize(node);
        read.map(Some).map_err(|slip| {
            let slip = slip.at(node.start(), node.start());
            slip.within(Step::Index(index))
        })
    }
}

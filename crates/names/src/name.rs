//! Domain names and labels in their wire form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest name on the wire, counting length bytes and the root (RFC 1035, 2.3.4).
pub const MAX_NAME: usize = 255;

/// The longest label (RFC 1035, 2.3.4).
pub const MAX_LABEL: usize = 63;

/// Reason why bytes or text are not a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// The name would need more than 255 bytes on the wire.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// A label has more than 63 bytes.
    #[error("a part of the name is longer than 63 bytes")]
    LabelTooLong,
    /// Two dots in a row, a leading dot, or an empty text.
    #[error("a part of the name is empty")]
    EmptyLabel,
    /// A backslash is not followed by a character or three digits up to 255.
    #[error("the name has a broken \\ escape")]
    BadEscape,
    /// The bytes end inside the name, or have a pointer where none is allowed.
    #[error("the bytes are not a name")]
    Garbled,
}

/// Part of a name between dots, in lower case, such as a namespace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Label(Box<[u8]>);

impl Label {
    /// Makes a label of these bytes; `None` unless they are 1 to 63.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_LABEL)
            .contains(&bytes.len())
            .then(|| Self(bytes.to_ascii_lowercase().into()))
    }

    /// The label's bytes, in lower case.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name: Name = text.parse()?;
        let mut labels = name.labels();
        match (labels.next(), labels.next()) {
            (Some(label), None) => Ok(Self(label.into())),
            (None, _) => Err(NameError::EmptyLabel),
            (Some(_), Some(_)) => Err(NameError::Garbled),
        }
    }
}

impl From<Label> for Name {
    fn from(label: Label) -> Self {
        // A label has 1 to 63 bytes, so its length fits.
        let length = u8::try_from(label.0.len()).unwrap_or_default();
        Self([&[length], &*label.0, &[0]].concat().into())
    }
}

impl std::borrow::Borrow<[u8]> for Label {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_label(f, &self.0)
    }
}

/// Full domain name, in lower case and in wire form without compression.
///
/// Names are compared without regard to case (RFC 4343), so they are kept in lower case. The case in which a program
/// asked stays in its query, and answers echo it from there.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Returns the root, which has no labels.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads an uncompressed name from the start of `bytes`, which may be longer.
    ///
    /// # Errors
    /// [`NameError::Garbled`] when the bytes end early or have a compression pointer, and [`NameError::TooLong`].
    pub fn from_wire(bytes: &[u8]) -> Result<Self, NameError> {
        let length = wire_length(bytes)?;
        Ok(Self(bytes[..length].to_ascii_lowercase().into()))
    }

    /// The wire form: length-prefixed labels and the root's zero, in lower case.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from the left, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            (!label.is_empty()).then_some(label)
        })
    }

    /// Number of labels, without the root.
    #[must_use]
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The rightmost label, such as a top-level domain.
    #[must_use]
    pub fn last_label(&self) -> Option<&[u8]> {
        self.labels().last()
    }

    /// Whether this is `zone` or a name below it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.split_before(zone).is_some()
    }

    /// Whether the first labels are those of `beginning`.
    #[must_use]
    pub fn starts_with(&self, beginning: &Self) -> bool {
        // Without the root's empty label. Names are in lower case.
        let wire = beginning.0.split_last().map_or(&[][..], |(_, labels)| labels);
        self.0.starts_with(wire)
    }

    /// Returns the labels before `suffix` as a name; `None` unless there is at least one.
    #[must_use]
    pub fn strip_suffix(&self, suffix: &Self) -> Option<Self> {
        let at = self.split_before(suffix).filter(|at| *at > 0)?;
        let mut wire = self.0[..at].to_vec();
        wire.push(0);
        Some(Self(wire.into()))
    }

    /// Returns this name followed by `suffix`.
    ///
    /// # Errors
    /// [`NameError::TooLong`] when the result would have more than 255 bytes.
    pub fn join(&self, suffix: &Self) -> Result<Self, NameError> {
        let own = &self.0[..self.0.len() - 1];
        if own.len() + suffix.0.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        Ok(Self([own, &suffix.0].concat().into()))
    }

    /// Returns the address of a complete reverse name (RFC 1035, 3.5; RFC 3596, 2.5); `None` for other names.
    #[must_use]
    pub fn reverse_address(&self) -> Option<IpAddr> {
        let labels: Vec<&[u8]> = self.labels().collect();
        match labels.as_slice() {
            [digits @ .., b"in-addr", b"arpa"] if digits.len() == 4 => {
                let mut octets = [0; 4];
                for (octet, label) in octets.iter_mut().rev().zip(digits) {
                    *octet = decimal(label)?;
                }
                Some(Ipv4Addr::from(octets).into())
            }
            [nibbles @ .., b"ip6", b"arpa"] if nibbles.len() == 32 => {
                let mut bits = 0;
                for label in nibbles.iter().rev() {
                    let [digit] = label else { return None };
                    bits = bits << 4 | u128::from(char::from(*digit).to_digit(16)?);
                }
                Some(Ipv6Addr::from(bits).into())
            }
            _ => None,
        }
    }

    /// Returns the reverse name of an address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        let mut wire = Vec::with_capacity(74);
        let mut push = |label: &[u8]| {
            wire.extend(u8::try_from(label.len()));
            wire.extend_from_slice(label);
        };
        match address {
            IpAddr::V4(v4) => {
                for octet in v4.octets().iter().rev() {
                    push(octet.to_string().as_bytes());
                }
                push(b"in-addr");
            }
            IpAddr::V6(v6) => {
                for octet in v6.octets().iter().rev() {
                    push(format!("{:x}", octet & 15).as_bytes());
                    push(format!("{:x}", octet >> 4).as_bytes());
                }
                push(b"ip6");
            }
        }
        push(b"arpa");
        wire.push(0);
        Self(wire.into())
    }

    /// Offset at which `suffix` begins in this name's wire form; `None` unless a label begins there.
    fn split_before(&self, suffix: &Self) -> Option<usize> {
        let at = self.0.len().checked_sub(suffix.0.len())?;
        if self.0[at..] != *suffix.0 {
            return None;
        }
        let mut border = 0;
        while border < at {
            border += 1 + usize::from(self.0[border]);
        }
        (border == at).then_some(at)
    }
}

/// Length in bytes of the uncompressed name at the start of `bytes`, with its root.
pub(crate) fn wire_length(bytes: &[u8]) -> Result<usize, NameError> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at).ok_or(NameError::Garbled)?);
        at += 1 + length;
        if length > MAX_LABEL {
            return Err(NameError::Garbled);
        }
        if at > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if at > bytes.len() {
            return Err(NameError::Garbled);
        }
        if length == 0 {
            return Ok(at);
        }
    }
}

/// Parses a number of a reverse name: 0 to 255, without leading zeros.
fn decimal(label: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(label).ok()?;
    let number: u8 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl FromStr for Name {
    type Err = NameError;

    /// Parses a name in text form. A final dot is allowed, and a byte can be written as `\ddd` (RFC 1035, 5.1).
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        let mut wire = vec![0];
        let mut start = 0;
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'.' => {
                    start = close_label(&mut wire, start)?;
                    continue;
                }
                b'\\' => unescape(&mut bytes)?,
                plain => plain,
            };
            wire.push(byte.to_ascii_lowercase());
        }
        // After a final dot the open label is empty, and its length byte is already the root.
        if wire.len() - start > 1 || wire.len() == 1 {
            close_label(&mut wire, start)?;
        }
        if wire.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        Ok(Self(wire.into()))
    }
}

/// Writes the length of the label that begins at `start`, and returns the offset of the next one.
fn close_label(wire: &mut Vec<u8>, start: usize) -> Result<usize, NameError> {
    let length = wire.len() - start - 1;
    if length == 0 {
        return Err(NameError::EmptyLabel);
    }
    if length > MAX_LABEL {
        return Err(NameError::LabelTooLong);
    }
    wire[start] = u8::try_from(length).map_err(|_| NameError::LabelTooLong)?;
    wire.push(0);
    Ok(wire.len() - 1)
}

/// Reads the byte of an escape, after its backslash.
fn unescape(bytes: &mut std::str::Bytes<'_>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes
            .next()
            .filter(u8::is_ascii_digit)
            .ok_or(NameError::BadEscape)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

impl fmt::Display for Name {
    /// Writes the name in text form, without a final dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write_label(f, label)?;
        }
        Ok(())
    }
}

fn write_label(f: &mut fmt::Formatter<'_>, label: &[u8]) -> fmt::Result {
    for &byte in label {
        match byte {
            b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
            b'!'..=b'~' => write!(f, "{}", char::from(byte))?,
            other => write!(f, "\\{other:03}")?,
        }
    }
    Ok(())
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;

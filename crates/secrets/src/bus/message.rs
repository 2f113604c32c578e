//! Messages of D-Bus (specification, "Message Format").

use secrecy::zeroize::Zeroizing;

use super::reader::Reader;
use super::writer::Writer;
use super::{BusError, refusal};

/// Byte that says little-endian order.
const LITTLE_ENDIAN: u8 = b'l';
/// Version of the protocol.
const VERSION: u8 = 1;
/// Length of the part of the header that every message has, in bytes.
const FIXED: usize = 16;
/// Longest list of header fields that is read, in bytes.
const MAX_FIELDS: u32 = 16 * 1024;
/// Longest body that is read, in bytes.
const MAX_BODY: u32 = 1024 * 1024;

// Kinds of messages.
const CALL: u8 = 1;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

// Header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

const BROKEN: BusError = BusError::Broken("it sent a message that is not valid");

/// A call without its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'c> {
    pub(crate) destination: &'c str,
    pub(crate) path: &'c str,
    pub(crate) interface: &'c str,
    pub(crate) member: &'c str,
    /// Types of the arguments.
    pub(crate) signature: &'c str,
}

impl Call<'_> {
    /// Returns the call with other types of arguments.
    pub(super) fn of(self, signature: &'static str) -> Self {
        Self { signature, ..self }
    }

    /// Returns the header of a message with a body of this length.
    pub(super) fn head(&self, serial: u32, body: u32) -> Writer {
        let mut head = Writer::default();
        for byte in [LITTLE_ENDIAN, CALL, 0, VERSION] {
            head.byte(byte);
        }
        head.number(body);
        head.number(serial);
        head.array(8, |fields| {
            let mut field = |code: u8, signature: &str, text: &str| {
                fields.structure();
                fields.byte(code);
                fields.variant(signature, |value| match signature {
                    "g" => value.signature(text),
                    _ => value.text(text),
                });
            };
            field(PATH, "o", self.path);
            field(INTERFACE, "s", self.interface);
            field(MEMBER, "s", self.member);
            field(DESTINATION, "s", self.destination);
            if !self.signature.is_empty() {
                field(SIGNATURE, "g", self.signature);
            }
        });
        head.align(8);
        head
    }
}

/// A message that came.
pub(crate) struct Message {
    kind: u8,
    reply_to: Option<u32>,
    path: String,
    member: String,
    error: String,
    signature: String,
    body: Zeroizing<Vec<u8>>,
}

impl Message {
    /// Reads a message. `fill` fills a buffer with the next bytes.
    pub(super) fn read(mut fill: impl FnMut(&mut [u8]) -> Result<(), BusError>) -> Result<Self, BusError> {
        let mut fixed = [0; FIXED];
        fill(&mut fixed)?;
        let [order, kind, _flags, version, ..] = fixed;
        if order != LITTLE_ENDIAN || version != VERSION {
            return Err(BROKEN);
        }
        let number = |at: usize| {
            let bytes = fixed.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        let (body, fields) = number(4).zip(number(FIXED - 4)).ok_or(BROKEN)?;
        if body > MAX_BODY || fields > MAX_FIELDS {
            return Err(BROKEN);
        }
        let size = |number: u32| usize::try_from(number).map_err(|_| BROKEN);
        // The length of the fields is the last part of the fixed header, so the array begins there.
        let mut head = vec![0; size(fields)?.next_multiple_of(8)];
        fill(&mut head)?;
        let mut message = Self {
            kind,
            reply_to: None,
            path: String::new(),
            member: String::new(),
            error: String::new(),
            signature: String::new(),
            body: Zeroizing::new(vec![0; size(body)?]),
        };
        message
            .take_fields(head.get(..size(fields)?).ok_or(BROKEN)?)
            .ok_or(BROKEN)?;
        fill(&mut message.body)?;
        Ok(message)
    }

    fn take_fields(&mut self, fields: &[u8]) -> Option<()> {
        let mut fields = Reader::new(fields);
        while fields.structure().is_some() {
            let Some(code) = fields.byte() else { break };
            match fields.signature()? {
                "s" | "o" => {
                    let text = fields.text()?.to_owned();
                    match code {
                        PATH => self.path = text,
                        MEMBER => self.member = text,
                        ERROR_NAME => self.error = text,
                        _ => {}
                    }
                }
                "g" => {
                    let text = fields.signature()?.to_owned();
                    if code == SIGNATURE {
                        self.signature = text;
                    }
                }
                "u" => {
                    let number = fields.number()?;
                    if code == REPLY_SERIAL {
                        self.reply_to = Some(number);
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Whether it answers the call with this serial number.
    pub(super) fn answers(&self, serial: u32) -> bool {
        matches!(self.kind, ANSWER | ERROR) && self.reply_to == Some(serial)
    }

    pub(super) fn is_signal(&self, path: &str, member: &str) -> bool {
        self.kind == SIGNAL && self.path == path && self.member == member
    }

    /// Returns the answer, or the error that it is.
    pub(super) fn into_answer(self) -> Result<Self, BusError> {
        if self.kind != ERROR {
            return Ok(self);
        }
        let text = match self.signature.starts_with('s') {
            true => Reader::new(&self.body).text().unwrap_or_default().to_owned(),
            false => String::new(),
        };
        Err(refusal(self.error, text))
    }

    /// Reads the arguments, which have these types.
    pub(crate) fn arguments<T>(
        &self,
        signature: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Result<T, BusError> {
        if self.signature != signature {
            return Err(BROKEN);
        }
        read(&mut Reader::new(&self.body)).ok_or(BROKEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the message of these bytes.
    fn read(mut bytes: &[u8]) -> Result<Message, BusError> {
        Message::read(|buffer| {
            let (taken, rest) = bytes.split_at_checked(buffer.len()).ok_or(BROKEN)?;
            buffer.copy_from_slice(taken);
            bytes = rest;
            Ok(())
        })
    }

    fn call() -> Call<'static> {
        Call {
            destination: "org.example",
            path: "/a",
            interface: "org.example.Interface",
            member: "Do",
            signature: "s",
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let mut body = Writer::default();
        body.text("hello");
        let head = call().head(3, body.len());
        let bytes = [head.bytes_so_far(), body.bytes_so_far()].concat();
        let message = read(&bytes).unwrap();
        assert_eq!(
            (&*message.path, &*message.member, &*message.signature),
            ("/a", "Do", "s")
        );
        let text = message.arguments("s", |body| body.text().map(ToOwned::to_owned));
        assert_eq!(text.unwrap(), "hello");
        assert!(message.arguments("o", |_| Some(())).is_err());
    }

    #[test]
    fn broken_messages_are_refused_whatever_they_say() {
        let whole = call().head(1, 0);
        let whole = whole.bytes_so_far();
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
        for (at, byte) in [(0, b'B'), (3, 9), (7, 255), (15, 255)] {
            let mut broken = whole.to_vec();
            broken[at] = byte;
            assert!(read(&broken).is_err(), "{at}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 127, 255] {
                let mut other = whole.to_vec();
                other[at] = byte;
                // Only a panic would be a failure.
                let _ = read(&other);
            }
        }
    }

    #[test]
    fn an_absent_service_is_no_refusal() {
        let name = |name: &str| refusal(name.to_owned(), String::new());
        for absent in [
            "org.freedesktop.DBus.Error.ServiceUnknown",
            "org.freedesktop.DBus.Error.Spawn.ChildExited",
        ] {
            assert!(matches!(name(absent), BusError::Absent(_)), "{absent}");
        }
        assert!(matches!(
            name("org.freedesktop.Secret.Error.IsLocked"),
            BusError::Refused { .. }
        ));
    }
}

//! Values as bytes of a message, in little-endian order.

use secrecy::zeroize::Zeroizing;

/// Values of a message. The memory is overwritten when this is dropped.
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Default for Writer {
    fn default() -> Self {
        Self::with_room(512)
    }
}

impl Writer {
    /// A writer with room for so many bytes. A secret needs it, because a vector that grows leaves copies.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(bytes)))
    }

    pub(super) fn len(&self) -> u32 {
        length(self.0.len())
    }

    pub(super) fn bytes_so_far(&self) -> &[u8] {
        &self.0
    }

    /// Aligns the next value.
    pub(super) fn align(&mut self, to: usize) {
        let length = self.0.len().next_multiple_of(to);
        self.0.resize(length, 0);
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a boolean (`b`).
    pub(crate) fn boolean(&mut self, value: bool) {
        self.number(value.into());
    }

    /// Writes a text or the path of an object (`s`, `o`). A zero byte would end it, so the text ends before it.
    pub(crate) fn text(&mut self, text: &str) {
        let text = text.split('\0').next().unwrap_or_default();
        self.number(length(text.len()));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    /// Writes a signature (`g`).
    pub(super) fn signature(&mut self, signature: &str) {
        self.0.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(signature.as_bytes());
        self.0.push(0);
    }

    /// Writes bytes (`ay`).
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(length(bytes.len()));
        self.0.extend_from_slice(bytes);
    }

    /// Writes a value with its signature (`v`).
    pub(crate) fn variant(&mut self, signature: &str, value: impl FnOnce(&mut Self)) {
        self.signature(signature);
        value(self);
    }

    /// Begins a struct or an entry of a dictionary.
    pub(crate) fn structure(&mut self) {
        self.align(8);
    }

    /// Writes an array whose elements have this alignment.
    pub(crate) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.number(0);
        let at = self.0.len();
        // The padding before the first element does not count.
        self.align(alignment);
        let begin = self.0.len();
        elements(self);
        let length = length(self.0.len() - begin).to_le_bytes();
        if let Some(field) = self.0.get_mut(at - length.len()..at) {
            field.copy_from_slice(&length);
        }
    }

    /// Writes a dictionary of texts (`a{ss}`).
    pub(crate) fn texts(&mut self, pairs: &[(&str, &str)]) {
        self.array(8, |entries| {
            for (key, value) in pairs {
                entries.structure();
                entries.text(key);
                entries.text(value);
            }
        });
    }
}

/// Returns a length as D-Bus has it. Messages are far shorter than its limit.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::reader::Reader;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.byte(7);
        writer.text("hällo");
        writer.texts(&[("a", "b"), ("service", "slipway")]);
        writer.variant("b", |value| value.boolean(true));
        writer.structure();
        writer.bytes(b"sesame");
        writer.array(4, |_| {});
        let mut reader = Reader::new(writer.bytes_so_far());
        assert_eq!(reader.byte(), Some(7));
        assert_eq!(reader.text(), Some("hällo"));
        let pairs = reader.texts().unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(pairs, [pair("a", "b"), pair("service", "slipway")]);
        assert_eq!(reader.signature(), Some("b"));
        assert_eq!(reader.number(), Some(1));
        assert_eq!(reader.structure(), Some(()));
        assert_eq!(reader.bytes(), Some(&b"sesame"[..]));
        assert_eq!(reader.array(4, Reader::number), Some(vec![]));
        assert_eq!(reader.byte(), None);
    }

    #[test]
    fn an_array_begins_with_its_length_without_padding() {
        let mut writer = Writer::default();
        writer.array(8, |elements| elements.structure());
        assert_eq!(writer.bytes_so_far(), [0; 8]);
        let mut writer = Writer::default();
        writer.array(4, |elements| elements.number(5));
        assert_eq!(writer.bytes_so_far(), [4, 0, 0, 0, 5, 0, 0, 0]);
    }
}

//! Values from bytes of a message. `None` means that the bytes are no such value.

/// Reader of the values of a message.
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        let padding = self.at.next_multiple_of(to) - self.at;
        self.take(padding).map(drop)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// Reads a boolean (`b`).
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        self.number().map(|number| number != 0)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// Reads a text or the path of an object (`s`, `o`).
    pub(crate) fn text(&mut self) -> Option<&'b str> {
        let length = self.length()?;
        let text = self.take(length)?;
        (self.byte()? == 0).then_some(())?;
        str::from_utf8(text).ok()
    }

    /// Reads a signature (`g`).
    pub(crate) fn signature(&mut self) -> Option<&'b str> {
        let length = self.byte()?.into();
        let text = self.take(length)?;
        (self.byte()? == 0).then_some(())?;
        str::from_utf8(text).ok()
    }

    /// Reads bytes (`ay`).
    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// Begins a struct or an entry of a dictionary.
    pub(crate) fn structure(&mut self) -> Option<()> {
        self.align(8)
    }

    /// Reads an array whose elements have this alignment.
    pub(crate) fn array<T>(
        &mut self,
        alignment: usize,
        mut element: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let length = self.length()?;
        self.align(alignment)?;
        let end = self.at.checked_add(length)?;
        let mut elements = Vec::new();
        while self.at < end {
            elements.push(element(self)?);
        }
        (self.at == end).then_some(elements)
    }

    /// Reads paths of objects (`ao`).
    pub(crate) fn paths(&mut self) -> Option<Vec<String>> {
        self.array(4, |path| path.text().map(ToOwned::to_owned))
    }

    /// Reads a dictionary of texts (`a{ss}`).
    pub(crate) fn texts(&mut self) -> Option<Vec<(String, String)>> {
        self.array(8, |entry| {
            entry.structure()?;
            Some((entry.text()?.to_owned(), entry.text()?.to_owned()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_values_are_refused() {
        assert_eq!(Reader::new(&[1, 0, 0]).number(), None);
        assert_eq!(Reader::new(&[200, 0, 0, 0, b'a', 0]).text(), None);
        assert_eq!(Reader::new(&[1, 0, 0, 0, 0xff, 0]).text(), None);
        assert_eq!(Reader::new(&[1, 0, 0, 0, b'a', 1]).text(), None);
        assert_eq!(Reader::new(&[255, 255, 255, 255]).bytes(), None);
        // An element that ends behind the array.
        assert_eq!(
            Reader::new(&[2, 0, 0, 0, 5, 0, 0, 0]).array(4, Reader::number),
            None
        );
        // Elements without length must not make an endless list.
        assert_eq!(Reader::new(&[4, 0, 0, 0]).array(4, Reader::number), None);
    }
}

//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// A ones' complement sum of several parts.
///
/// Parts are added in order; every part but the last has an even number of octets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum {
    sum: u64,
}

impl Checksum {
    /// Starts with the pseudo header of a transport protocol (RFC 9293 section 3.1, RFC 8200 section 8.1).
    ///
    /// `len` is the length of the transport header and payload.
    pub fn with_pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, len: u32) -> Self {
        let mut checksum = Self::default();
        for address in [from, to] {
            match address {
                IpAddr::V4(v4) => checksum.add(&v4.octets()),
                IpAddr::V6(v6) => checksum.add(&v6.octets()),
            }
        }
        checksum.sum += u64::from(len) + u64::from(protocol);
        checksum
    }

    /// Adds octets, as 16-bit big-endian words; an odd last octet is padded with zero.
    pub fn add(&mut self, octets: &[u8]) {
        // Four octets at a time: 2^16 = 1 modulo 2^16 - 1, so wider words give the same sum when folded, and a
        // packet has far too few of them to overflow 64 bits.
        let (words, rest) = octets.as_chunks::<4>();
        self.sum += words
            .iter()
            .map(|word| u64::from(u32::from_be_bytes(*word)))
            .sum::<u64>();
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.sum += u64::from(u32::from_be_bytes(last));
    }

    /// The value for the packet's checksum field, whose octets were zero when they were added.
    pub fn finish(self) -> u16 {
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // The loop leaves 16 bits.
        !u16::try_from(sum).unwrap_or(u16::MAX)
    }
}

/// The checksum of a packet in which `before` was replaced by `after` (RFC 1624, equation 3).
///
/// Both are whole 16-bit words and as long as each other, and stand at an even place.
pub(super) fn updated(checksum: u16, before: &[u8], after: &[u8]) -> u16 {
    let mut sum = Checksum::default();
    sum.add(&(!checksum).to_be_bytes());
    for word in before.as_chunks::<2>().0 {
        sum.add(&word.map(|octet| !octet));
    }
    for word in after.as_chunks::<2>().0 {
        sum.add(word);
    }
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(octets: &[u8]) -> u16 {
        let mut checksum = Checksum::default();
        checksum.add(octets);
        checksum.finish()
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_its_value() {
        assert_eq!(of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn a_known_ipv4_header_sums_to_its_value() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
            0xa8, 0x00, 0xc7,
        ];
        assert_eq!(of(&header), 0xb861);
    }

    /// The definition, word by word.
    fn by_the_book(octets: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in octets.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    proptest! {
        #[test]
        fn wide_words_sum_like_narrow_ones(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(of(&octets), by_the_book(&octets));
        }

        #[test]
        fn parts_sum_like_the_whole(
            octets in proptest::collection::vec(any::<u8>(), 0..600),
            cut in 0usize..300,
        ) {
            let cut = (cut * 2).min(octets.len() & !1);
            let mut checksum = Checksum::default();
            checksum.add(&octets[..cut]);
            checksum.add(&octets[cut..]);
            prop_assert_eq!(checksum.finish(), by_the_book(&octets));
        }
    }
}

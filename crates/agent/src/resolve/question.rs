//! Question to a name server: a message with a random ID, and the check whether an answer belongs to it.
//!
//! Any pod on the node may send packets with the name server's address as their source. It cannot see the ID and the
//! port of a question, so both are random for each one (RFC 5452).

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Length of the header of every message (RFC 1035 section 4.1.1).
const HEADER: usize = 12;

/// Position of the ID in a message.
const ID: Range<usize> = 0..2;

/// QR: the bit in the third byte that marks an answer.
const IS_ANSWER: u8 = 0x80;

/// TC: the bit in the third byte that marks a truncated answer.
const IS_TRUNCATED: u8 = 0x02;

/// Message with one question and a new ID.
#[derive(Debug)]
pub(super) struct Question {
    message: Bytes,
    /// ID in the original message.
    asked_as: [u8; 2],
    /// Position of name, type and class.
    section: Range<usize>,
}

impl Question {
    /// Gives `message` a random ID. Returns `None` for anything but a message with exactly one question, and in the
    /// unlikely case that the system returns no random bytes.
    pub(super) fn new(message: &[u8]) -> Option<Self> {
        let section = HEADER..question_end(message)?;
        let mut message = BytesMut::from(message);
        let mut id = [0; 2];
        getrandom::fill(&mut id).ok()?;
        let field: &mut [u8; 2] = message.first_chunk_mut()?;
        let asked_as = std::mem::replace(field, id);
        Some(Self {
            message: message.freeze(),
            asked_as,
            section,
        })
    }

    /// Returns the message to send to the name server.
    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    /// Returns whether `answer` has this question's ID and repeats the question. Servers may change the case of letters.
    pub(super) fn is_answered_by(&self, answer: &[u8]) -> bool {
        let asked = self.message.get(self.section.clone());
        let repeated = answer.get(self.section.clone());
        answer.get(ID) == self.message.get(ID)
            && answer.get(2).is_some_and(|flags| flags & IS_ANSWER != 0)
            && question_end(answer) == Some(self.section.end)
            && asked
                .zip(repeated)
                .is_some_and(|(asked, repeated)| asked.eq_ignore_ascii_case(repeated))
    }

    /// Returns the answer with the original ID.
    pub(super) fn restore_id(&self, mut answer: Vec<u8>) -> Bytes {
        if let Some(field) = answer.get_mut(ID) {
            field.copy_from_slice(&self.asked_as);
        }
        answer.into()
    }
}

/// Returns whether the server left out a part of the answer that did not fit into a datagram.
pub(super) fn is_truncated(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & IS_TRUNCATED != 0)
}

/// Returns the end of the only question in a message. Its name is never compressed, because no name precedes it.
fn question_end(message: &[u8]) -> Option<usize> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        match usize::from(*message.get(at)?) {
            0 => break,
            length @ 1..=63 => at += 1 + length,
            _ => return None,
        }
    }
    let end = at + 5;
    (end <= message.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\x04shop\0\0\x01\0\x01";

    fn answer(question: &Question) -> Vec<u8> {
        let mut answer = question.message().to_vec();
        answer[2] |= IS_ANSWER;
        answer
    }

    #[test]
    fn each_question_has_a_random_id() {
        let ids: std::collections::BTreeSet<_> = (0..64)
            .map(|_| Question::new(ASKED).unwrap().message()[ID].to_vec())
            .collect();
        assert!(ids.len() > 48, "{ids:?}");
    }

    #[test]
    fn the_asker_gets_its_own_id_back() {
        let question = Question::new(ASKED).unwrap();
        let answer = answer(&question);
        assert!(question.is_answered_by(&answer));
        assert_eq!(question.restore_id(answer)[ID], ASKED[ID]);
    }

    #[test]
    fn an_answer_repeats_the_question() {
        let question = Question::new(ASKED).unwrap();
        let right = answer(&question);
        let change = |at: usize, to: u8| {
            let mut other = right.clone();
            other[at] = to;
            question.is_answered_by(&other)
        };
        assert!(change(13, b'W'), "case does not matter");
        assert!(!change(13, b'v'), "another name");
        assert!(!change(0, right[0] ^ 1), "another ID");
        assert!(!change(2, 0), "a question");
        assert!(!change(5, 0), "no question in it");
        assert!(!change(23, 28), "another type");
        for length in 0..right.len() {
            assert!(!question.is_answered_by(&right[..length]), "{length} bytes");
        }
    }

    #[test]
    fn only_a_message_with_one_question_is_sent() {
        for length in 0..ASKED.len() {
            assert!(Question::new(&ASKED[..length]).is_none(), "{length} bytes");
        }
        let mut two = ASKED.to_vec();
        two[5] = 2;
        assert!(Question::new(&two).is_none());
        let mut compressed = ASKED.to_vec();
        compressed[12] = 0xc0;
        assert!(Question::new(&compressed).is_none());
    }
}

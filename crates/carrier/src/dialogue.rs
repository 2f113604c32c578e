//! Protocol of a port-forward: the frames that open it, and the meaning of the node's frames.
//!
//! A forwarded connection has two streams (k8s.io/apimachinery, httpstream): the data stream carries the bytes, and on
//! the error stream the node writes text if the forwarding fails. This module does no I/O.

use bytes::BytesMut;

use crate::error::CarrierError;
use crate::spdy::{HeaderBlocks, Item, StreamId, data_header, ping};

pub(crate) const ERROR_STREAM: StreamId = StreamId(1);
pub(crate) const DATA_STREAM: StreamId = StreamId(3);

/// Largest part of the node's error text that is kept, in bytes. Real texts have a few hundred.
const MAX_ERROR_TEXT: usize = 4096;

/// Result of the data stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The pod closed its connection.
    Ended,
    /// The node, the pod or the connection failed.
    Failed(CarrierError),
}

/// State of one port-forward with one data stream.
#[derive(Debug, Default)]
pub(crate) struct Dialogue {
    error_text: Vec<u8>,
    error_ended: bool,
    data_ended: bool,
    outcome: Option<Outcome>,
}

impl Dialogue {
    /// Returns the frames that open a port-forward to `port`. Data may follow at once.
    pub(crate) fn opening(port: u16) -> BytesMut {
        let port = port.to_string();
        let mut blocks = HeaderBlocks::default();
        let mut out = BytesMut::with_capacity(256);
        for (stream, streamtype) in [(ERROR_STREAM, "error"), (DATA_STREAM, "data")] {
            // The node pairs the two streams by their request id.
            let headers = [
                ("streamtype", streamtype),
                ("port", port.as_str()),
                ("requestid", "0"),
            ];
            blocks.syn_stream(stream, &headers, &mut out);
            if stream == ERROR_STREAM {
                out.extend_from_slice(&data_header(ERROR_STREAM, 0, true));
            }
        }
        out
    }

    /// Handles any item except payload of the data stream. An answer is appended to `reply`.
    pub(crate) fn on(&mut self, item: &Item<'_>, reply: &mut BytesMut) {
        match *item {
            Item::Payload {
                stream: ERROR_STREAM,
                bytes,
            } => {
                let room = MAX_ERROR_TEXT - self.error_text.len();
                self.error_text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Item::Payload { .. } => {}
            Item::Reset {
                stream: DATA_STREAM,
                status,
            } => {
                self.finish(Outcome::Failed(CarrierError::Reset { status }));
            }
            Item::End { stream } | Item::Reset { stream, .. } => self.on_end(stream),
            Item::Ping { id } => reply.extend_from_slice(&ping(id)),
            // The peer accepts no new streams. The existing one continues, and this end opens no others.
            Item::GoAway => {}
        }
    }

    /// Records that the connection ended or became unusable because of `error`.
    pub(crate) fn on_lost(&mut self, error: CarrierError) {
        self.finish(if self.data_ended {
            Outcome::Ended
        } else {
            Outcome::Failed(error)
        });
    }

    /// Returns the result, or `None` while the stream is open.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Returns whether the node accepts no more data.
    pub(crate) fn is_over(&self) -> bool {
        self.data_ended || self.outcome.is_some()
    }

    /// Records the end of a stream. The end of the data stream alone is no result: containerd closes it first, and then
    /// writes to the error stream that no program listens on the port. The node always ends both.
    fn on_end(&mut self, stream: StreamId) {
        self.data_ended |= stream == DATA_STREAM;
        self.error_ended |= stream == ERROR_STREAM;
        if self.error_ended && (self.data_ended || !self.error_text.is_empty()) {
            self.finish(Outcome::Ended);
        }
    }

    /// Records the result. Only the first one counts, and the node's error text takes precedence over it.
    fn finish(&mut self, outcome: Outcome) {
        if self.outcome.is_some() {
            return;
        }
        let text = String::from_utf8_lossy(&self.error_text);
        self.outcome = Some(match text.trim() {
            "" => outcome,
            words => Outcome::Failed(CarrierError::from_node(words.to_owned())),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(items: &[Item<'_>]) -> Option<Outcome> {
        after_each(&items.iter().collect::<Vec<_>>())
    }

    fn after_each(items: &[&Item<'_>]) -> Option<Outcome> {
        let mut dialogue = Dialogue::default();
        for item in items {
            dialogue.on(item, &mut BytesMut::new());
        }
        dialogue.outcome().cloned()
    }

    fn text(bytes: &[u8]) -> Item<'_> {
        Item::Payload {
            stream: ERROR_STREAM,
            bytes,
        }
    }

    const ERROR_END: Item<'static> = Item::End { stream: ERROR_STREAM };
    const DATA_END: Item<'static> = Item::End { stream: DATA_STREAM };
    const DATA_RESET: Item<'static> = Item::Reset {
        stream: DATA_STREAM,
        status: 5,
    };

    #[test]
    fn the_forward_has_ended_when_both_streams_have() {
        assert_eq!(after(&[ERROR_END]), None);
        assert_eq!(after(&[DATA_END]), None);
        assert_eq!(after(&[ERROR_END, DATA_END]), Some(Outcome::Ended));
        assert_eq!(after(&[DATA_END, ERROR_END]), Some(Outcome::Ended));
    }

    #[test]
    fn the_nodes_words_are_kept_whole_whenever_they_come() {
        let words = [
            text(b"dial tcp4 127.0.0.1:81: connect: "),
            text(b"connection refused\n"),
        ];
        let [first, last] = &words;
        let message = "dial tcp4 127.0.0.1:81: connect: connection refused".to_owned();
        let expected = Some(Outcome::Failed(CarrierError::PortRefused { message }));
        assert_eq!(after_each(&[first, last, &ERROR_END]), expected);
        assert_eq!(after_each(&[first, last, &DATA_RESET]), expected);
        assert_eq!(after_each(&[first, last, &DATA_END, &ERROR_END]), expected);
        assert_eq!(after_each(&[&DATA_END, first, last, &ERROR_END]), expected);
    }

    #[test]
    fn a_connection_lost_after_the_data_changes_nothing() {
        let mut dialogue = Dialogue::default();
        dialogue.on(&DATA_END, &mut BytesMut::new());
        dialogue.on_lost(CarrierError::lost_silently());
        assert_eq!(dialogue.outcome(), Some(&Outcome::Ended));
    }

    #[test]
    fn a_lost_pod_differs_from_a_refused_port() {
        let words = "failed to find sandbox \"3f\" in store: not found";
        let outcome = after(&[text(words.as_bytes()), ERROR_END]);
        assert_eq!(
            outcome,
            Some(Outcome::Failed(CarrierError::PodGone {
                message: words.to_owned()
            }))
        );
    }

    #[test]
    fn a_reset_without_words_is_a_reset() {
        assert_eq!(
            after(&[DATA_RESET]),
            Some(Outcome::Failed(CarrierError::Reset { status: 5 }))
        );
    }

    #[test]
    fn endless_error_text_is_bounded() {
        let mut dialogue = Dialogue::default();
        for _ in 0..100 {
            dialogue.on(&text(&[b'x'; 1000]), &mut BytesMut::new());
        }
        assert_eq!(dialogue.error_text.len(), MAX_ERROR_TEXT);
    }
}

//! Replies: the bytes of an answer and the facts for its event.

use std::net::IpAddr;
use std::sync::Arc;

use slipway_control_api::NameOutcome;

use super::cluster::FromCluster;
use crate::event::Answerer;
use crate::message::{self, Answer, Rcode};
use crate::name::Name;
use crate::question::{Query, RecordType};
use crate::scope::{CHECK_ADDRESS, Own};

/// Bytes of an answer, and the facts for its event.
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) answerer: Answerer,
    pub(super) outcome: NameOutcome,
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) candidates: Arc<[Name]>,
}

impl Reply {
    pub(super) fn cluster(query: &Query<'_>, found: &FromCluster, candidates: Arc<[Name]>) -> Self {
        let mut bytes = Vec::new();
        found.answer.write(query, found.age, &mut bytes);
        let answerer = if found.lifetime.is_some() {
            Answerer::Cluster
        } else {
            Answerer::Cache
        };
        Self {
            bytes,
            answerer,
            outcome: found.answer.outcome,
            addresses: found.answer.addresses.as_slice().into(),
            candidates,
        }
    }

    /// Passes on an answer that is not from this session's cluster.
    pub(super) fn passed(
        query: &Query<'_>,
        answer: Answer,
        answerer: Answerer,
        candidates: Arc<[Name]>,
    ) -> Self {
        let Answer {
            mut bytes,
            outcome,
            addresses,
            ..
        } = answer;
        message::address_to(query, &mut bytes);
        Self {
            bytes,
            answerer,
            outcome,
            addresses: addresses.into(),
            candidates,
        }
    }

    /// Makes a SERVFAIL, so that the program does not take the failure for "no such name".
    pub(super) fn failed(query: &Query<'_>, outcome: NameOutcome, candidates: Arc<[Name]>) -> Self {
        Self {
            bytes: message::empty(query, Rcode::ServFail),
            answerer: Answerer::Nobody,
            outcome,
            addresses: Arc::new([]),
            candidates,
        }
    }

    /// Makes an answer without records.
    pub(super) fn ours(query: &Query<'_>, rcode: Rcode, outcome: NameOutcome) -> Self {
        Self {
            bytes: message::empty(query, rcode),
            answerer: Answerer::Us,
            outcome,
            addresses: Arc::new([]),
            candidates: Arc::new([]),
        }
    }

    /// Makes the answer for a name of Slipway itself.
    pub(super) fn own(query: &Query<'_>, own: Own) -> Self {
        match own {
            Own::Check if query.kind() == RecordType::A => {
                let bytes = message::address(query, CHECK_ADDRESS);
                Self {
                    bytes,
                    answerer: Answerer::Us,
                    outcome: NameOutcome::Found,
                    addresses: Arc::new([CHECK_ADDRESS.into()]),
                    candidates: Arc::new([]),
                }
            }
            Own::Check | Own::Empty => Self::ours(query, Rcode::NoError, NameOutcome::NoData),
        }
    }
}

//! An answer and what to say about it.

use std::net::IpAddr;
use std::sync::Arc;

use slipway_control_api::NameOutcome;

use super::cluster::FromCluster;
use crate::event::Answerer;
use crate::message::{self, Answer, Rcode};
use crate::name::Name;
use crate::question::{Query, RecordType};
use crate::scope::{CHECK_ADDRESS, Own};

/// An answer and what to say about it.
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

    /// A failure, which a program tells from "no such name". `outcome` says of which kind.
    pub(super) fn failed(query: &Query<'_>, outcome: NameOutcome, candidates: Arc<[Name]>) -> Self {
        Self {
            bytes: message::empty(query, Rcode::ServFail),
            answerer: Answerer::Nobody,
            outcome,
            addresses: Arc::new([]),
            candidates,
        }
    }

    pub(super) fn ours(query: &Query<'_>, rcode: Rcode, outcome: NameOutcome) -> Self {
        Self {
            bytes: message::empty(query, rcode),
            answerer: Answerer::Us,
            outcome,
            addresses: Arc::new([]),
            candidates: Arc::new([]),
        }
    }

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

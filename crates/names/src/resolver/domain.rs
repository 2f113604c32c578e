//! Domains of the laptop's name servers, and what they last said about them.

use std::time::Duration;

use slipway_control_api::NameOutcome;
use tokio::time::{Instant, timeout};

use super::Resolver;
use crate::asks::{Addressee, AskError, Asks};
use crate::limits::LAPTOP_WITHIN;
use crate::message::{self, Answer};
use crate::name::{Label, Name};
use crate::question::{Query, RecordType};
use crate::race::LastLabel;

/// Age until which the laptop's answer about a last label counts, unless its name servers change.
const COUNTS_FOR: Duration = Duration::from_secs(3600);

impl<A: Asks> Resolver<A> {
    /// Asks the laptop's name servers whether they have a domain of this name, public or private; `None` if they fail.
    /// Takes [`LAPTOP_WITHIN`] at most.
    pub async fn laptop_has_domain(&self, name: &Name) -> Option<bool> {
        let query = message::query(name, RecordType::NS);
        let asking = self.asks().laptop(query.clone().into(), Addressee::InOrder);
        let answer = match timeout(LAPTOP_WITHIN, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(AskError::NoServer)) => return Some(false),
            Ok(Err(AskError::Unreachable | AskError::TimedOut | AskError::Garbled)) | Err(_) => return None,
        };
        match Answer::read(answer.into(), &Query::parse(&query).ok()?)
            .ok()?
            .outcome
        {
            NameOutcome::Found | NameOutcome::NoData => Some(true),
            NameOutcome::NotFound => Some(false),
            NameOutcome::Failed | NameOutcome::TimedOut | NameOutcome::Withheld => None,
        }
    }

    /// Forgets the answers of the laptop's name servers, because they are other ones, for example in another network.
    pub fn name_servers_changed(&self) {
        let mut memory = self.memory();
        memory.last_labels.clear();
        memory.laptops.clear();
    }

    /// Returns the recent answer of the laptop's name servers about a name's last label, without asking.
    pub(super) fn known_last_label(&self, name: &Name) -> LastLabel {
        let Some(label) = name.last_label() else {
            return LastLabel::Domain;
        };
        match self.memory().last_labels.get(label) {
            Some((is_domain, said)) if said.elapsed() < COUNTS_FOR => last_label(Some(*is_domain)),
            Some(_) | None => LastLabel::Asked,
        }
    }

    /// Asks the laptop's name servers about a name's last label, unless there is a recent answer.
    pub(crate) async fn last_label(&self, name: &Name) -> LastLabel {
        let known = self.known_last_label(name);
        let (LastLabel::Asked, Some(label)) = (known, name.last_label().and_then(Label::from_bytes)) else {
            return known;
        };
        let is_domain = self.laptop_has_domain(&label.clone().into()).await;
        if let Some(is_domain) = is_domain {
            self.memory().last_labels.put(label, (is_domain, Instant::now()));
        }
        last_label(is_domain)
    }
}

fn last_label(is_domain: Option<bool>) -> LastLabel {
    match is_domain {
        Some(true) => LastLabel::Domain,
        Some(false) => LastLabel::NoDomain,
        None => LastLabel::Unknown,
    }
}

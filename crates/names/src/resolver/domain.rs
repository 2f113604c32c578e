//! Whether a label is a top-level domain where the laptop is.

use tokio::time::timeout;

use super::Resolver;
use crate::asks::{AskError, Asks};
use crate::event::Outcome;
use crate::limits::LAPTOP_WITHIN;
use crate::message::{self, Answer};
use crate::name::{Label, Name};
use crate::question::{Query, RecordType};

impl<A: Asks> Resolver<A> {
    /// Whether the laptop's own name servers have a domain of this one label: a public one, or one of the company's that
    /// no list has. `None` where they do not say.
    pub async fn laptop_has_domain(&self, label: &Label) -> Option<bool> {
        let length = u8::try_from(label.as_bytes().len()).ok()?;
        let name = Name::from_wire(&[&[length], label.as_bytes(), &[0]].concat()).ok()?;
        let query = message::query(&name, RecordType::NS);
        let asking = self.asks().laptop(query.clone().into());
        let answer = match timeout(LAPTOP_WITHIN, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(AskError::NoServer)) => return Some(false),
            Ok(Err(AskError::Unreachable | AskError::TimedOut | AskError::Garbled)) | Err(_) => return None,
        };
        match Answer::read(answer.into(), &Query::parse(&query).ok()?)
            .ok()?
            .outcome
        {
            Outcome::Found | Outcome::NoData => Some(true),
            Outcome::NxDomain => Some(false),
            Outcome::ServFail | Outcome::TimedOut => None,
        }
    }
}

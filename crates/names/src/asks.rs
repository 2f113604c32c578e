//! Servers that the resolver asks. The session implements this over the tunnel, the helper's sockets and its neighbors.

use std::net::IpAddr;

use bytes::Bytes;
use slipway_control_api::NameOutcome;

use crate::name::Name;

/// Reason why a server gave no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// The laptop has no name server that the session may use. Counts as "does not know the name".
    #[error("there is no name server to ask")]
    NoServer,
    /// The server cannot be reached now, for example while the session reconnects.
    #[error("the name server cannot be reached")]
    Unreachable,
    /// The server did not answer within the limit.
    #[error("the name server did not answer in time")]
    TimedOut,
    /// The bytes that came are not an answer to the question.
    #[error("the name server's answer cannot be read")]
    Garbled,
}

impl AskError {
    /// The outcome that events and explanations give for it.
    pub(crate) const fn outcome(self) -> NameOutcome {
        match self {
            Self::TimedOut => NameOutcome::TimedOut,
            Self::NoServer | Self::Unreachable | Self::Garbled => NameOutcome::Failed,
        }
    }
}

/// Name servers of the laptop to which a question goes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Addressee {
    /// All of them, one after the other, until one answers.
    #[default]
    InOrder,
    /// Only the one with this place in the laptop's list, because the program asked that one. When it gets no answer,
    /// the program itself asks the next one.
    Only(usize),
}

/// Origin of the name behind the addresses of a cluster answer.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NamedBy {
    /// The user, who sends this name to the cluster.
    User(Name),
    /// The cluster: it is one of the cluster's own names.
    Cluster,
    /// The cluster, for an alias of a name outside it (a Service of type `ExternalName`).
    Alias,
}

/// Decision on an address of a cluster answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Admission {
    /// Programs get it: their packets reach the same target as packets of the cluster's pods.
    HandOut,
    /// Programs do not get it: their packets would reach something else.
    Withhold,
    /// Programs do not get it and do not miss it: the laptop has no addresses of this family.
    Unusable,
}

/// Servers that the resolver asks, as functions from a raw DNS query to a raw answer.
///
/// Every future may be dropped before it is done. The resolver does not check the IDs of answers: an implementation
/// that sends a query over a network has to choose a random ID and check it.
pub trait Asks: Send + Sync + 'static {
    /// Asks the cluster's DNS. The answer must be whole: the far end repeats a truncated one over TCP.
    fn cluster(&self, query: Bytes) -> impl Future<Output = Result<Bytes, AskError>> + Send;

    /// Asks the laptop's own name servers, with the program's own bytes. The answer must be whole.
    fn laptop(
        &self,
        query: Bytes,
        addressee: Addressee,
    ) -> impl Future<Output = Result<Bytes, AskError>> + Send;

    /// Decides on each address of a cluster answer, in order, before programs get it. Routes may have to be made for
    /// the addresses first.
    fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> impl Future<Output = Vec<Admission>> + Send;

    /// Returns why an address was withheld recently, in a sentence without a full stop.
    fn why_withheld(&self, address: IpAddr) -> Option<String> {
        let _ = address;
        None
    }

    /// Maps an address of the cluster to the one that programs get. They differ when something else on the laptop uses
    /// the cluster's range. Called before [`admit`](Self::admit), which gets the results. A result of the other address
    /// family is ignored.
    fn outward(&self, address: IpAddr) -> IpAddr {
        address
    }

    /// Maps an address that programs got back to the cluster's, for reverse names: the inverse of
    /// [`outward`](Self::outward).
    fn inward(&self, address: IpAddr) -> IpAddr {
        address
    }

    /// Asks sessions that connected earlier for a name that this session's cluster has; `None` if they do not have it.
    /// A name that several sessions could answer belongs to the one that connected first.
    ///
    /// These sessions answer with [`Resolver::answer_neighbor`](crate::Resolver::answer_neighbor).
    fn elders(&self, query: Bytes) -> impl Future<Output = Option<Bytes>> + Send {
        let _ = query;
        std::future::ready(None)
    }

    /// Asks other sessions for a name that neither the cluster nor the laptop has; `None` if they do not have it
    /// either.
    ///
    /// These sessions answer with [`Resolver::answer_neighbor`](crate::Resolver::answer_neighbor), which asks no other
    /// session, so that questions do not loop.
    fn neighbors(&self, query: Bytes) -> impl Future<Output = Option<Bytes>> + Send {
        let _ = query;
        std::future::ready(None)
    }
}

//! Servers that the resolver asks. The session implements this over the tunnel, the helper's sockets and its neighbors.

use std::net::IpAddr;

use bytes::Bytes;
use slipway_control_api::NameOutcome;

/// Why no answer came.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AskError {
    /// There is nobody to ask: the laptop has no name server that we may use. Counts as "does not know the name".
    #[error("there is no name server to ask")]
    NoServer,
    /// There is somebody, who cannot be reached now, as while the session reconnects.
    #[error("the name server cannot be reached")]
    Unreachable,
    /// No answer came in time.
    #[error("the name server did not answer in time")]
    TimedOut,
    /// What came is not an answer to the question.
    #[error("the name server's answer cannot be read")]
    Garbled,
}

impl AskError {
    /// What a program hears of it.
    pub(crate) const fn outcome(self) -> NameOutcome {
        match self {
            Self::TimedOut => NameOutcome::TimedOut,
            Self::NoServer | Self::Unreachable | Self::Garbled => NameOutcome::Failed,
        }
    }
}

/// Whose word leads to the addresses of a cluster answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NamedBy {
    /// The user's: the profile sends this name to the cluster.
    User,
    /// The cluster's, about one of its own names.
    Cluster,
    /// The cluster's, about a name that is an alias of one outside it (a Service of type `ExternalName`).
    Alias,
}

/// What may become of an address of a cluster answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Admission {
    /// Programs may have it: their packets go where the cluster's would.
    HandOut,
    /// Programs may not have it: their packets would go to something else.
    Withhold,
    /// The laptop has no addresses of this family, so nobody misses it.
    Unusable,
}

/// The resolver's way to the world: raw DNS messages out and in.
///
/// Every future may be dropped before it is done. IDs of answers are not looked at: whoever sends a message over a
/// network chooses an ID of its own and checks it.
pub trait Asks: Send + Sync + 'static {
    /// Asks the cluster's DNS. The answer must be whole: the far end repeats a truncated one over TCP.
    fn cluster(&self, query: Bytes) -> impl Future<Output = Result<Bytes, AskError>> + Send;

    /// Asks the laptop's own name servers, with the program's own bytes. The answer must be whole.
    fn laptop(&self, query: Bytes) -> impl Future<Output = Result<Bytes, AskError>> + Send;

    /// Decides on each address of a cluster answer, in their order, before it is handed out; routes may have to be made
    /// for them first.
    fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> impl Future<Output = Vec<Admission>> + Send;

    /// Why an address was withheld lately, in a sentence without a full stop.
    fn why_withheld(&self, address: IpAddr) -> Option<String> {
        let _ = address;
        None
    }

    /// The address that programs are given for one of the cluster, which is another when something else on the laptop has
    /// the cluster's ranges. Called before [`admit`](Self::admit), which sees these; an address of the
    /// other family is not taken.
    fn outward(&self, address: IpAddr) -> IpAddr {
        address
    }

    /// The cluster's address for one that programs were given: [`outward`](Self::outward) backwards, for reverse names.
    fn inward(&self, address: IpAddr) -> IpAddr {
        address
    }

    /// Asks older sessions for a name that this session's cluster has; `None` if they have not. A name that several sessions
    /// could answer belongs to the one that connected first.
    ///
    /// They answer with [`Resolver::answer_neighbor`](crate::Resolver::answer_neighbor) as well.
    fn elders(&self, query: Bytes) -> impl Future<Output = Option<Bytes>> + Send {
        let _ = query;
        std::future::ready(None)
    }

    /// Asks other sessions for a name that neither the cluster nor the laptop has; `None` if they have not either.
    ///
    /// A session asked by another answers with [`Resolver::answer_neighbor`](crate::Resolver::answer_neighbor), which
    /// asks no further, so questions never go in circles.
    fn neighbors(&self, query: Bytes) -> impl Future<Output = Option<Bytes>> + Send {
        let _ = query;
        std::future::ready(None)
    }
}

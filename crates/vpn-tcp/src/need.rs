//! Needs: what the resolver's side asks of the lease.

use std::net::IpAddr;

use slipway_helper_api::Zones;
use slipway_names::{Admission, NamedBy};
use tokio::sync::oneshot;

/// What others need of the lease.
#[derive(Debug)]
pub(crate) enum Need {
    /// Routes to addresses of an answer; the reply says of each whether programs may have it.
    Admit {
        addresses: Vec<IpAddr>,
        named_by: NamedBy,
        decided: oneshot::Sender<Vec<Admission>>,
    },
    /// Sockets for TCP to the laptop's name servers: each is good for one connection.
    Sockets,
    /// The domains whose names are to come here, in place of those before.
    Domains(Zones),
    /// All sockets to the laptop's name servers; `renewed` is told when they are there.
    NameServers { renewed: oneshot::Sender<()> },
}

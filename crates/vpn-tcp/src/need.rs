//! Needs: requests of the resolver to the keeper of the lease.

use std::net::IpAddr;

use slipway_helper_api::Zones;
use slipway_names::{Admission, NamedBy};
use tokio::sync::oneshot;

/// Request to the keeper of the lease.
#[derive(Debug)]
pub(crate) enum Need {
    /// Routes to the addresses of an answer. The reply has the admission of each.
    Admit {
        addresses: Vec<IpAddr>,
        named_by: NamedBy,
        decided: oneshot::Sender<Vec<Admission>>,
    },
    /// New TCP sockets to the laptop's name servers. Each serves one connection.
    Sockets,
    /// New domains about which the laptop's resolver asks the session. They replace the previous ones.
    Domains(Zones),
    /// New UDP and TCP sockets to the laptop's name servers. `renewed` fires when they are in use.
    NameServers { renewed: oneshot::Sender<()> },
}

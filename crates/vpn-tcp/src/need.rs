//! Needs: requests to the keeper of the lease, of the resolver and of those who watch the laptop and the cluster.

use std::net::IpAddr;

use ipnet::IpNet;
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
    /// New domains about which the laptop's resolver asks the session. They replace the previous ones. The reply is
    /// whether the helper has set them.
    Domains {
        zones: Zones,
        done: oneshot::Sender<bool>,
    },
    /// New networks of the user, which replace the previous ones. The reply is whether the helper has changed the lease.
    Networks {
        users: Vec<IpNet>,
        done: oneshot::Sender<bool>,
    },
    /// A new check of the lease, after the laptop's network has changed.
    Recheck { done: oneshot::Sender<()> },
    /// The laptop's current name servers and search domains, with new UDP and TCP sockets. The reply is whether they are
    /// in use now.
    NameServers { renewed: oneshot::Sender<bool> },
}

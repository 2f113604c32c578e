//! Probe: a look-up and a connection in the way in which the laptop's programs make them.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_control_api::{NameOutcome, Problem};
use slipway_method::Probe;
use slipway_names::Name;
use slipway_problem::{Action, Fault};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::error::doctor;
use crate::lease_side::Names;
use crate::reach::Reach;

/// Limit of the look-up: as long as glibc waits for two name servers.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(10);

/// Limit of the connection. Within a cluster it takes milliseconds.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Probe of a connected laptop.
pub(crate) struct VpnProbe {
    names: Names,
    reach: watch::Receiver<Reach>,
    /// Permit for one look-up at a time: getaddrinfo blocks a thread until the C library's own limit.
    look_ups: Arc<Semaphore>,
}

/// Failure of the laptop's programs to reach the cluster, while the session itself reaches it.
#[derive(Debug, thiserror::Error)]
enum ProbeFailed {
    #[error(
        "programs on this laptop do not find names of the cluster: the look-up of `{name}` failed ({why}), while the \
         session finds it"
    )]
    NotFound { name: Name, why: String },
    #[error(
        "programs on this laptop get a wrong address for `{name}`: {got}. In the cluster it has {expected}, so another \
         program answers in the session's place"
    )]
    Misled {
        name: Name,
        got: IpAddr,
        expected: IpAddr,
    },
    #[error(
        "programs on this laptop do not reach the cluster: a connection to {to} failed ({why}), while the agent reaches it"
    )]
    NotReached { to: SocketAddr, why: String },
}

impl Fault for ProbeFailed {
    fn code(&self) -> &str {
        match self {
            ProbeFailed::NotFound { .. } | ProbeFailed::Misled { .. } => "laptop-names-fail",
            ProbeFailed::NotReached { .. } => "laptop-connections-fail",
        }
    }

    fn remedy(&self) -> String {
        let remedy = match self {
            ProbeFailed::NotFound { .. } | ProbeFailed::Misled { .. } => {
                "Another program may have changed the laptop's resolver or firewall since the session began, for example a \
                 VPN. `slipway doctor` shows the resolver in use; connecting again sets it anew."
            }
            ProbeFailed::NotReached { .. } => {
                "A firewall or another VPN on this laptop may take the packets. `slipway doctor` shows routes and rules; \
                 connecting again sets the session's routes anew."
            }
        };
        remedy.to_owned()
    }

    fn actions(&self) -> Vec<Action> {
        vec![doctor()]
    }
}

impl VpnProbe {
    pub(crate) fn new(names: Names, reach: watch::Receiver<Reach>) -> Self {
        Self {
            names,
            reach,
            look_ups: Arc::new(Semaphore::new(1)),
        }
    }

    async fn attempt(&self, name: &Name, port: u16) -> Result<(), ProbeFailed> {
        let Some(found) = self.names.in_cluster(name).await else {
            return Ok(());
        };
        let (NameOutcome::Found, Some(expected)) = (found.outcome, found.addresses.first().copied()) else {
            return Ok(());
        };
        if self.is_told(expected) {
            return Ok(());
        }
        let addresses = self.look_up(name).await.map_err(|error| ProbeFailed::NotFound {
            name: name.clone(),
            why: error.to_string(),
        })?;
        let is_expected = |address: &IpAddr| found.addresses.contains(address);
        let Some(address) = addresses.iter().copied().find(is_expected) else {
            return Err(match addresses.first() {
                Some(got) => ProbeFailed::Misled {
                    name: name.clone(),
                    got: *got,
                    expected,
                },
                None => ProbeFailed::NotFound {
                    name: name.clone(),
                    why: "it has no address".to_owned(),
                },
            });
        };
        let to = SocketAddr::new(address, port);
        let why = match timeout(CONNECT_WITHIN, TcpStream::connect(to)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", CONNECT_WITHIN.as_secs()),
        };
        if self.is_told(address) {
            return Ok(());
        }
        Err(ProbeFailed::NotReached { to, why })
    }

    /// Whether the report says already that programs do not reach this address.
    fn is_told(&self, address: IpAddr) -> bool {
        let reach = self.reach.borrow();
        let is_overridden = || {
            let mut nets = reach.overridden.iter().flat_map(|overridden| &overridden.nets);
            nets.any(|net| net.contains(&address))
        };
        reach.helper_away || reach.withheld.why(address).is_some() || is_overridden()
    }

    /// Looks a name up by getaddrinfo, which programs use.
    async fn look_up(&self, name: &Name) -> io::Result<Vec<IpAddr>> {
        // Without a dot at the end, as programs ask: with one, glibc does not look into /etc/hosts.
        let text = name.to_string().trim_end_matches('.').to_owned();
        let look_ups = self.look_ups.clone();
        let looking = async {
            let permit = look_ups.acquire_owned().await.map_err(io::Error::other)?;
            let looked = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let found = (text, 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            });
            looked.await.map_err(io::Error::other)?
        };
        match timeout(LOOK_UP_WITHIN, looking).await {
            Ok(found) => found,
            Err(_) => Err(io::Error::other(format!(
                "no answer within {} s",
                LOOK_UP_WITHIN.as_secs()
            ))),
        }
    }
}

impl Probe for VpnProbe {
    fn probe<'a>(&'a self, name: &'a Name, port: u16) -> BoxFuture<'a, Result<(), Problem>> {
        let attempt = self.attempt(name, port);
        async { attempt.await.map_err(|error| error.problem()) }.boxed()
    }
}

//! The setup of a capture, and the choice between its two back ends.

use std::fmt;
use std::net::IpAddr;

use crate::CaptureError;
use crate::private_namespace::{ChildEnd, PrivateNamespace};
use crate::tun::Tun;

/// How TCP packets reach sockets of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackEnd {
    /// Through a private network namespace in which every address is local.
    PrivateNamespace,
    /// With rewritten addresses and ports, which lead to a listener on the TUN's own address.
    Rewriting,
}

/// The back end to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// The private namespace, or rewriting where the kernel refuses it.
    #[default]
    Auto,
    /// This back end only.
    Only(BackEnd),
}

/// The TUN's network, for one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunAddresses {
    /// The laptop's own address.
    pub laptop: IpAddr,
    /// Another address of that network that no host has: packets to it leave by the TUN. It may be the resolver's.
    pub other: IpAddr,
}

/// The settings of a capture.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The addresses at which programs reach the resolver, on port 53.
    pub resolver_addresses: Vec<IpAddr>,
    /// The TUN's network, at most one for each family. Without any, rewriting is not possible.
    pub tun_addresses: Vec<TunAddresses>,
    /// The back end to use.
    pub back_end: Choice,
}

/// The result of the choice. Rewriting has the error of the private namespace, if that was tried.
pub(crate) enum Chosen {
    PrivateNamespace(PrivateNamespace, Tun, ChildEnd),
    Rewriting(Option<CaptureError>),
}

impl fmt::Display for BackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateNamespace => "private-namespace",
            Self::Rewriting => "rewriting",
        })
    }
}

/// Starts the private namespace if the choice allows it, or falls back to rewriting.
pub(crate) async fn choose(choice: Choice, can_rewrite: bool) -> Result<Chosen, CaptureError> {
    if choice == Choice::Only(BackEnd::Rewriting) {
        return Ok(Chosen::Rewriting(None));
    }
    match PrivateNamespace::start().await {
        Ok((namespace, tun, child)) => Ok(Chosen::PrivateNamespace(namespace, tun, child)),
        Err(refused) if choice == Choice::Auto && can_rewrite && is_refusal(&refused) => {
            Ok(Chosen::Rewriting(Some(refused)))
        }
        Err(error) => Err(error),
    }
}

/// Whether an error means that this kernel refuses this user the namespace. Rewriting does not meet such an error.
fn is_refusal(error: &CaptureError) -> bool {
    match error {
        CaptureError::NamespacesRefused { .. }
        | CaptureError::NamespaceSetup { .. }
        | CaptureError::TunDeviceMissing { .. }
        | CaptureError::TunDeviceNotPermitted { .. } => true,
        CaptureError::ChildNotStarted { .. }
        | CaptureError::Tun { .. }
        | CaptureError::Resources { .. }
        | CaptureError::RewritingBlocked { .. }
        | CaptureError::NoBackEnd { .. } => false,
    }
}

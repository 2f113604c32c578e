//! The two ways of a TCP packet to a socket of ours, and which of them is taken.

use std::fmt;
use std::net::IpAddr;

use crate::CaptureError;
use crate::private_namespace::{ChildEnd, PrivateNamespace};
use crate::tun::Tun;

/// How TCP packets become sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackEnd {
    /// In a network namespace of our own where every address is local.
    PrivateNamespace,
    /// By other ends, which lead to a listener on the TUN's own address.
    Rewriting,
}

/// Which back end is to be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// The private namespace, or rewriting where the kernel refuses it.
    #[default]
    Auto,
    /// This one or none.
    Only(BackEnd),
}

/// The TUN's network, for one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunAddresses {
    /// The laptop's own address.
    pub laptop: IpAddr,
    /// Another address of that network, which is nobody's: packets to it leave by the TUN. It may be the resolver's.
    pub other: IpAddr,
}

/// What a capture has to know beside its TUN.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Programs reach the resolver at these, port 53.
    pub resolver_addresses: Vec<IpAddr>,
    /// The TUN's network, at most one for each family. Without any there is no rewriting.
    pub tun_addresses: Vec<TunAddresses>,
    /// Which back end is to be used.
    pub back_end: Choice,
}

/// What was chosen. Rewriting says why the private namespace was not to be had, if it was tried.
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

/// Tries what the choice allows.
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

/// Whether an error is about what this kernel lets this user have, and so none that another way would meet again.
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

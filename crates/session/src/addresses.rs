//! The laptop's own addresses as they change: a carrier from one that is gone is dead, and nothing tells.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use nix::ifaddrs::getifaddrs;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio_util::task::AbortOnDropHandle;

/// The addresses, and the kernel's word that there may be others.
pub(crate) struct Addresses {
    kernel: Option<Kernel>,
    known: BTreeSet<IpAddr>,
}

struct Kernel {
    words: BoxStream<'static, ()>,
    _hearing: AbortOnDropHandle<()>,
}

impl Addresses {
    /// Watches them from now on. Where the kernel tells nothing, dead carriers are found by their silence, only later.
    pub(crate) fn watch() -> Addresses {
        let kernel = Kernel::listen();
        if let Err(error) = &kernel {
            tracing::info!(%error, "changes of addresses are not told");
        }
        Addresses {
            kernel: kernel.ok(),
            known: present(),
        }
    }

    /// Waits until the laptop has other addresses. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        while let Some(kernel) = &mut self.kernel {
            if kernel.words.next().await.is_none() {
                self.kernel = None;
                continue;
            }
            // What a router announces again and again is told as well.
            let now = present();
            if now != self.known {
                self.known = now;
                return;
            }
        }
        std::future::pending().await
    }
}

impl Kernel {
    fn listen() -> io::Result<Kernel> {
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (hearing, _, words) = new_multicast_connection(&groups)?;
        Ok(Kernel {
            words: words.map(drop).boxed(),
            _hearing: AbortOnDropHandle::new(tokio::spawn(hearing)),
        })
    }
}

/// Every address of every device.
fn present() -> BTreeSet<IpAddr> {
    let addresses = getifaddrs().into_iter().flatten();
    addresses
        .filter_map(|device| {
            let address = device.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        })
        .collect()
}

//! Addresses of the laptop as they change. A connection from an address that is gone is dead, and no error reports it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use nix::ifaddrs::getifaddrs;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio_util::task::AbortOnDropHandle;

/// The addresses of every device, and the kernel's messages about them.
pub struct Addresses {
    messages: Option<Messages>,
    known: BTreeSet<IpAddr>,
}

struct Messages {
    stream: BoxStream<'static, ()>,
    _receiving: AbortOnDropHandle<()>,
}

impl Addresses {
    /// Watches them from now on. Where the kernel sends no messages, no change is seen.
    #[must_use]
    pub fn watch() -> Self {
        let messages = Messages::receive();
        if let Err(error) = &messages {
            tracing::info!(%error, "changes of addresses are not seen");
        }
        Self {
            messages: messages.ok(),
            known: present(),
        }
    }

    /// Waits until the laptop has other addresses. Cancel-safe.
    pub async fn changed(&mut self) {
        while let Some(messages) = &mut self.messages {
            if messages.stream.next().await.is_none() {
                self.messages = None;
                continue;
            }
            // There is a message as well for an address that a router announces again.
            let now = present();
            if now != self.known {
                self.known = now;
                return;
            }
        }
        std::future::pending().await
    }
}

impl Messages {
    fn receive() -> io::Result<Self> {
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (receiving, _, messages) = new_multicast_connection(&groups)?;
        Ok(Self {
            stream: messages.map(drop).boxed(),
            _receiving: AbortOnDropHandle::new(tokio::spawn(receiving)),
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

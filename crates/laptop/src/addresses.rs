//! Address watch of the laptop: reports changes. A connection from a removed address is dead, but gets no error.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use nix::ifaddrs::getifaddrs;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio_util::task::AbortOnDropHandle;

/// Addresses of all devices, with the kernel's messages about changes.
pub struct Addresses {
    messages: Option<Messages>,
    known: BTreeSet<IpAddr>,
}

struct Messages {
    stream: BoxStream<'static, ()>,
    _receiving: AbortOnDropHandle<()>,
}

impl Addresses {
    /// Starts to watch the addresses. Without messages from the kernel no change is noticed.
    #[must_use]
    pub fn watch() -> Self {
        let messages = Messages::receive();
        if let Err(error) = &messages {
            tracing::info!(%error, "cannot watch the laptop's addresses");
        }
        Self {
            messages: messages.ok(),
            known: present(),
        }
    }

    /// Waits until the laptop's addresses change. Cancel-safe.
    pub async fn changed(&mut self) {
        while let Some(messages) = &mut self.messages {
            if messages.stream.next().await.is_none() {
                self.messages = None;
                continue;
            }
            // The kernel also sends a message when a router announces an address again.
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

/// Returns the addresses of all devices.
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

//! The task that moves packets from the private TUN to the laptop's, as [`crate::pump`] does inwards.

use std::sync::Arc;

use crate::tun::{BATCH, LaptopTun, MAX_PACKET, Tun};

/// The pump from the private TUN to the laptop's.
pub(crate) struct Outwards {
    pub(super) laptop: Arc<LaptopTun>,
    pub(super) private: Arc<Tun>,
}

impl Outwards {
    /// Moves packets until the TUN breaks.
    pub(crate) async fn run(self) {
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let taken = self.private.take(BATCH, &mut buffer, |packet| {
                if is_tcp(packet) {
                    self.laptop.write(packet);
                }
            });
            if let Err(error) = taken.await {
                // The kernel does not delete it while it is open.
                tracing::error!(%error, "the private TUN broke");
                return;
            }
        }
    }
}

/// Only TCP leaves the private namespace. Its IPv6 packets have no extension headers.
fn is_tcp(packet: &[u8]) -> bool {
    const TCP: u8 = 6;
    match packet.first().map(|first| first >> 4) {
        Some(4) => packet.get(9) == Some(&TCP),
        Some(6) => packet.get(6) == Some(&TCP),
        Some(_) | None => false,
    }
}

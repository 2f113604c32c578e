//! Watch of the laptop's routing: reports that routes, routing rules or devices changed.

use std::io;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio_util::task::AbortOnDropHandle;

/// Kernel's messages about routes, rules and devices. Without messages no change is noticed.
pub struct Routing {
    messages: Option<BoxStream<'static, ()>>,
    _receiving: Option<AbortOnDropHandle<()>>,
}

impl Routing {
    /// Starts to watch.
    #[must_use]
    pub fn watch() -> Self {
        match receive() {
            Ok((messages, receiving)) => Self {
                messages: Some(messages),
                _receiving: Some(receiving),
            },
            Err(error) => {
                tracing::info!(%error, "cannot watch the laptop's routes");
                Self {
                    messages: None,
                    _receiving: None,
                }
            }
        }
    }

    /// Waits for a change. Several messages at once are one change. Cancel-safe.
    pub async fn changed(&mut self) {
        if let Some(messages) = &mut self.messages
            && messages.next().await.is_some()
        {
            while messages.next().now_or_never().flatten().is_some() {}
            return;
        }
        self.messages = None;
        std::future::pending().await
    }
}

fn receive() -> io::Result<(BoxStream<'static, ()>, AbortOnDropHandle<()>)> {
    let groups = [
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
        // The kernel sends no message about IPv4 routes that go with their device.
        MulticastGroup::Link,
    ];
    let (receiving, _, messages) = new_multicast_connection(&groups)?;
    let receiving = AbortOnDropHandle::new(tokio::spawn(receiving));
    Ok((messages.map(drop).boxed(), receiving))
}

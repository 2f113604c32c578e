//! Listeners in the namespace: one for each port in use, for every address.

use std::io;
use std::num::NonZeroUsize;

use lru::LruCache;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::PrivateNamespace;
use crate::descriptors;

/// How many listeners are open at a time. Beyond that the least recently used one is closed; its connections stay
/// open, and it is opened again when it is needed.
const MAX_LISTENERS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// The part of the process's descriptors that listeners may have: one in this many.
const SHARE: u64 = 8;

/// The listeners of a capture.
#[derive(Debug)]
pub(crate) struct Listeners {
    namespace: PrivateNamespace,
    /// The accepting task of each port. Its end closes the listener.
    open: LruCache<u16, JoinHandle<()>>,
}

impl Listeners {
    pub(crate) fn new(namespace: PrivateNamespace) -> Self {
        Self {
            namespace,
            open: LruCache::new(most(descriptors::limit())),
        }
    }

    /// Makes sure that a task accepts on `port`. `accept` starts one for a listener that has to be opened.
    pub(crate) async fn listen(
        &mut self,
        port: u16,
        accept: impl FnOnce(TcpListener) -> JoinHandle<()>,
    ) -> io::Result<()> {
        if self.open.get(&port).is_some() {
            return Ok(());
        }
        let listener = self.namespace.listener(port).await?;
        if let Some((_, oldest)) = self.open.push(port, accept(listener)) {
            oldest.abort();
            // A port can be opened again only after its listener is closed.
            let _ = oldest.await;
        }
        Ok(())
    }
}

/// How many listeners a process with this many descriptors has open at a time.
fn most(descriptors: u64) -> NonZeroUsize {
    let share = usize::try_from(descriptors / SHARE).unwrap_or(usize::MAX);
    NonZeroUsize::new(share).map_or(NonZeroUsize::MIN, |share| share.min(MAX_LISTENERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_leave_descriptors_for_connections() {
        for (descriptors, listeners) in [(0, 1), (1024, 128), (524_288, 512), (u64::MAX, 512)] {
            assert_eq!(most(descriptors).get(), listeners, "{descriptors}");
        }
    }
}

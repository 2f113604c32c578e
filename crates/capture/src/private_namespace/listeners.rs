//! Listeners in the namespace: one for each port in use, for every address.

use std::io;
use std::num::NonZeroUsize;

use lru::LruCache;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::PrivateNamespace;

/// How many listeners are open at a time. Beyond that the least recently used one is closed; its connections stay
/// open, and it is opened again when it is needed.
const MAX_LISTENERS: NonZeroUsize = NonZeroUsize::new(512).unwrap();

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
            open: LruCache::new(MAX_LISTENERS),
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

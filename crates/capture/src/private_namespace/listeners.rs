//! The ports that are listened on in the namespace: one listener each, for every address, as they are needed.

use std::io;
use std::num::NonZeroUsize;

use lru::LruCache;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::PrivateNamespace;

/// How many ports are listened on at a time. Beyond that the one asked for longest ago is closed; its open
/// connections go on, and it is opened again when it is needed.
const MAX_LISTENERS: NonZeroUsize = NonZeroUsize::new(512).unwrap();

/// The listeners of a capture.
#[derive(Debug)]
pub(crate) struct Listeners {
    namespace: PrivateNamespace,
    /// The tasks that accept. The end of one closes its port.
    open: LruCache<u16, JoinHandle<()>>,
}

impl Listeners {
    pub(crate) fn new(namespace: PrivateNamespace) -> Self {
        Self {
            namespace,
            open: LruCache::new(MAX_LISTENERS),
        }
    }

    /// Makes sure that somebody listens on `port`: the task that `accept` starts for a new listener.
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
            // Its port can be listened on again only when it is closed.
            let _ = oldest.await;
        }
        Ok(())
    }
}

//! Writer for which more than one task can wait.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Writer that wakes every task that waits to write, not only the last one that tried.
///
/// A socket remembers one waker for each direction. The task that reads a carrier also writes sometimes (it must answer
/// a PING), and would replace the waker of the task that writes: the writer would then sleep until the reader happens to
/// write again.
#[derive(Debug)]
pub(crate) struct SharedWrite<T> {
    inner: T,
    waiting: Arc<Waiting>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl<T> SharedWrite<T> {
    pub(crate) fn new(inner: T) -> Self {
        let waiting = Arc::new(Waiting::default());
        Self {
            inner,
            waker: Waker::from(Arc::clone(&waiting)),
            waiting,
        }
    }
}

impl<T: AsyncWrite + Unpin> SharedWrite<T> {
    /// Polls the writing side so that its wake-up reaches this task and all that polled before.
    fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        poll: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        // Add the waker first: another thread may wake it before the poll returns.
        self.waiting.add(cx.waker());
        poll(Pin::new(&mut self.inner), &mut Context::from_waker(&self.waker))
    }
}

impl Waiting {
    /// Adds a waker. Every wake-up empties the list, so it stays as short as there are tasks.
    fn add(&self, waker: &Waker) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !list.iter().any(|known| known.will_wake(waker)) {
            // At most two tasks use a pipe at once; more wakers belong to tasks that are gone.
            if list.len() == MAX_WAITING {
                list.drain(..).for_each(Waker::wake);
            }
            list.push(waker.clone());
        }
    }
}

const MAX_WAITING: usize = 4;

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let list = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        list.into_iter().for_each(Waker::wake);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for SharedWrite<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for SharedWrite<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |inner, cx| inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |inner, cx| inner.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::AsyncReadExt;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn room_to_write_wakes_every_task_that_waits_for_it() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut shared = SharedWrite::new(near);
        let tasks = [Arc::new(Count::default()), Arc::new(Count::default())];
        for (already, task) in tasks.iter().enumerate() {
            let waker = Waker::from(Arc::clone(task));
            let mut cx = Context::from_waker(&waker);
            if already == 0 {
                assert!(Pin::new(&mut shared).poll_write(&mut cx, b"full").is_ready());
            }
            assert!(Pin::new(&mut shared).poll_write(&mut cx, b"more").is_pending());
        }
        far.read_exact(&mut [0; 4]).await.unwrap();
        for task in tasks {
            assert_eq!(task.0.load(Ordering::SeqCst), 1);
        }
    }
}

//! The loop as other threads see it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::LoopHandle;
use super::callback::{CallbackResult, RemoteCall, once_result};
use super::loop_handle::LoopInbox;
use crate::error::Result;

/// A way to reach a loop from any thread: it can be sent, shared and cloned.
///
/// As long as a remote exists something may still come, so
/// [`EventLoop::run`](crate::EventLoop::run) waits for it; see [`background`](Remote::background).
///
/// ```
/// use mainspring::EventLoop;
///
/// let mut el = EventLoop::with_state(0)?;
/// let remote = el.remote();
/// let worker = std::thread::spawn(move || {
///     let answer = 6 * 7;
///     remote.call_soon(move |_, sum| *sum += answer)
/// });
/// el.run()?; // until the worker has dropped its remote
/// assert_eq!(*el.state(), 42);
/// worker.join().unwrap()?;
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct Remote<S = ()> {
    inbox: Arc<LoopInbox<S>>,
    background: bool,
}

impl<S> Remote<S> {
    pub(crate) fn new(inbox: Arc<LoopInbox<S>>) -> Remote<S> {
        inbox.add_sender();
        Remote { inbox, background: false }
    }

    /// Calls `callback` on the loop, in a tick that begins after this. The closures of one thread
    /// run in the order in which it sent them, each exactly once.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed): the loop is closed, the closure has been dropped, on
    /// this thread. [`Error::Wake`](crate::Error::Wake): the closure is queued, but the loop's
    /// doorbell is broken; it runs when anything else wakes the loop.
    #[track_caller]
    pub fn call_soon<F, R>(&self, callback: F) -> Result<()>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + Send + 'static,
        R: CallbackResult,
    {
        let sent = RemoteCall::new(|el, state| once_result(callback(el, state)));
        self.inbox.send((sent, Location::caller()))
    }

    /// Stops the loop, after what this thread has sent before. See [`LoopHandle::stop`].
    ///
    /// # Errors
    ///
    /// As [`call_soon`](Remote::call_soon).
    #[track_caller]
    pub fn stop(&self) -> Result<()> {
        self.call_soon(|el, _| el.stop())
    }

    /// Whether the loop is closed. It may be the next moment.
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// A remote that does not keep [`EventLoop::run`](crate::EventLoop::run) going. Nor do its
    /// clones.
    #[must_use]
    pub fn background(&self) -> Remote<S> {
        Remote { inbox: self.inbox.clone(), background: true }
    }
}

impl<S> Clone for Remote<S> {
    fn clone(&self) -> Remote<S> {
        if self.background { self.background() } else { Remote::new(self.inbox.clone()) }
    }
}

impl<S> Drop for Remote<S> {
    fn drop(&mut self) {
        if !self.background {
            self.inbox.remove_sender();
        }
    }
}

impl<S> fmt::Debug for Remote<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("background", &self.background).finish_non_exhaustive()
    }
}

//! Access to the loop from other threads.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::LoopHandle;
use super::callback::{RemoteCall, once_result};
use super::callback_result::CallbackResult;
use super::messages::LoopInbox;
use super::remote_sites::RemoteSite;
use crate::error::Result;

/// Access to a loop from any thread. It can be sent, shared and cloned.
///
/// While a remote exists, messages may still arrive, so [`EventLoop::run`](crate::EventLoop::run)
/// does not return. A [`background`](Remote::background) remote does not keep it running.
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
    /// The call that made this remote, or the one of which it is a clone. `None` in the background:
    /// `run` does not wait for it.
    site: Option<Arc<RemoteSite>>,
}

/// # Other threads
impl<S> LoopHandle<S> {
    /// Returns a [`Remote`], by which other threads reach the loop. It keeps
    /// [`run`](crate::EventLoop::run) going until it is dropped, see [`Remote::background`].
    #[track_caller]
    pub fn remote(&self) -> Remote<S> {
        let site = self.shared.remotes.site(Location::caller(), self.core().tick());
        Remote::new(self.shared.inbox.clone(), site)
    }
}

impl<S> Remote<S> {
    fn new(inbox: Arc<LoopInbox<S>>, site: Arc<RemoteSite>) -> Remote<S> {
        inbox.add_sender();
        Remote { inbox, site: Some(site) }
    }

    /// Calls `callback` on the loop, in a tick that begins after this call. Closures from one
    /// thread run in the order in which it sent them, each exactly once.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`](crate::Error::Closed): the loop is closed, and the closure was dropped on
    /// this thread. [`Error::Wake`](crate::Error::Wake): the closure is queued, but the loop could
    /// not be woken; the closure runs in the loop's next tick.
    #[track_caller]
    pub fn call_soon<F, R>(&self, callback: F) -> Result<()>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> R + Send + 'static,
        R: CallbackResult,
    {
        let call = RemoteCall::new(|el, state| once_result(callback(el, state)));
        self.inbox.send((call, Location::caller()))
    }

    /// Stops the loop, after everything that this thread has sent before. See [`LoopHandle::stop`].
    ///
    /// # Errors
    ///
    /// Same as [`call_soon`](Remote::call_soon).
    #[track_caller]
    pub fn stop(&self) -> Result<()> {
        self.call_soon(|el, _| el.stop())
    }

    /// Returns true if the loop is closed. A false answer may be out of date at once.
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Returns a remote that does not keep [`EventLoop::run`](crate::EventLoop::run) going. Its
    /// clones do not either.
    #[must_use]
    pub fn background(&self) -> Remote<S> {
        Remote { inbox: self.inbox.clone(), site: None }
    }
}

impl<S> Clone for Remote<S> {
    fn clone(&self) -> Remote<S> {
        match &self.site {
            Some(site) => Remote::new(self.inbox.clone(), site.clone()),
            None => self.background(),
        }
    }
}

impl<S> Drop for Remote<S> {
    fn drop(&mut self) {
        if self.site.is_some() {
            self.inbox.remove_sender();
        }
    }
}

impl<S> fmt::Debug for Remote<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("background", &self.site.is_none()).finish_non_exhaustive()
    }
}

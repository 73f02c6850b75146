//! The signal handlers of a loop: queued from the pending signals that `mainspring-sys` keeps.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use mainspring_sys::signal::{Signal, Subscription};
use mainspring_sys::{Readiness, Selector, Token, TriggerMode};

use crate::error::{Error, Result};
use crate::handle::Key;
use crate::key_groups::KeyGroups;
use crate::ready::ReadyDeque;

/// The signals that a loop handles. Before the first handler is added, no system resource is used.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    subscription: Option<Subscription>,
    handlers: KeyGroups<Signal>,
}

impl Signals {
    /// Creates the wakeup for signals, watched by `selector`, and returns its fd and trigger mode.
    /// Returns `None` if it exists already.
    ///
    /// Signals have a separate wakeup because a signal handler may call write(2), but not
    /// kevent(2), which a wakeup by `EVFILT_USER` needs.
    pub(crate) fn open(
        &mut self,
        selector: &mut dyn Selector,
        token: Token,
    ) -> Result<Option<(RawFd, TriggerMode)>> {
        if self.subscription.is_some() {
            return Ok(None);
        }
        let subscription = Subscription::new(selector, token)
            .map_err(|source| Error::Create { part: "wakeup for signals", source })?;
        self.subscription = Some(subscription);
        Ok(self.wakeup())
    }

    /// Returns the fd that becomes readable with a signal, and its trigger mode. Returns `None`
    /// before the first handler.
    pub(crate) fn wakeup(&self) -> Option<(RawFd, TriggerMode)> {
        let subscription = self.subscription.as_ref()?;
        Some((subscription.watched_fd().as_raw_fd(), subscription.mode()))
    }

    /// Adds a handler, after [`open`](Signals::open). The first handler of a signal changes the
    /// signal's disposition.
    pub(crate) fn add(&mut self, signal: Signal, key: Key) -> Result<()> {
        if let Some(subscription) = &mut self.subscription {
            subscription.subscribe(signal).map_err(|source| Error::Signal { signal, source })?;
            self.handlers.add(signal, key);
        }
        Ok(())
    }

    /// Removes a handler. After the last handler of a signal, the former disposition is restored.
    pub(crate) fn remove(&mut self, signal: Signal, key: Key) {
        self.handlers.remove(key);
        if let (false, Some(subscription)) = (self.handlers.has(signal), &mut self.subscription) {
            // sigaction(2) does not fail for a disposition that it returned itself.
            let _ = subscription.unsubscribe(signal);
        }
    }

    /// Queues the handlers of all pending signals, ordered by signal number. Handlers of one signal
    /// run in the order in which they were added. Returns the number of signals.
    pub(crate) fn feed(&mut self, ready: &mut ReadyDeque) -> io::Result<u64> {
        let Some(subscription) = &mut self.subscription else { return Ok(0) };
        let mut fed = 0;
        for signal in subscription.drain()? {
            fed += 1;
            for key in self.handlers.of(signal) {
                ready.feed(key, Readiness::empty());
            }
        }
        Ok(fed)
    }

    /// Replaces the wakeup in a forked child. The selector does not watch the new one yet.
    pub(crate) fn after_fork(&mut self) -> io::Result<()> {
        self.subscription.as_mut().map_or(Ok(()), Subscription::after_fork)
    }

    /// Restores the dispositions of all signals. The wakeup must be deregistered from the selector
    /// before.
    pub(crate) fn close(&mut self) {
        self.handlers.clear();
        self.subscription = None;
    }
}

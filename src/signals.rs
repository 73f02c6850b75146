//! Signals of a loop: which handlers wait for which, fed from the pending bits that the signal
//! layer keeps.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use mainspring_sys::signal::{Signal, Subscription};
use mainspring_sys::{Readiness, Selector, Token, TriggerMode};

use crate::error::{Error, Result};
use crate::handle::Key;
use crate::key_groups::KeyGroups;
use crate::ready::ReadyDeque;

/// The signals that a loop handles. Nothing is made in the system before the first handler is
/// added.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    subscription: Option<Subscription>,
    handlers: KeyGroups<Signal>,
}

impl Signals {
    /// Makes the doorbell at `selector` if there is none, and then gives its descriptor and how that
    /// is watched.
    pub(crate) fn open(
        &mut self,
        selector: &mut dyn Selector,
        token: Token,
    ) -> Result<Option<(RawFd, TriggerMode)>> {
        if self.subscription.is_some() {
            return Ok(None);
        }
        let subscription = Subscription::new(selector, token)
            .map_err(|source| Error::Create { part: "doorbell for signals", source })?;
        self.subscription = Some(subscription);
        Ok(self.wakeup())
    }

    /// The descriptor by which signals are told, and how it is watched.
    pub(crate) fn wakeup(&self) -> Option<(RawFd, TriggerMode)> {
        let subscription = self.subscription.as_ref()?;
        Some((subscription.watched_fd().as_raw_fd(), subscription.mode()))
    }

    /// Adds a handler; the first one of a signal subscribes to it. To be opened before.
    pub(crate) fn add(&mut self, signal: Signal, key: Key) -> Result<()> {
        if let Some(subscription) = &mut self.subscription {
            subscription.subscribe(signal).map_err(|source| Error::Signal { signal, source })?;
            self.handlers.add(signal, key);
        }
        Ok(())
    }

    /// Removes a handler; the last one of a signal gives the signal back.
    pub(crate) fn remove(&mut self, signal: Signal, key: Key) {
        self.handlers.remove(key);
        if let (false, Some(subscription)) = (self.handlers.has(signal), &mut self.subscription) {
            // sigaction(2) with values that it gave itself has no way to fail.
            let _ = subscription.unsubscribe(signal);
        }
    }

    /// Feeds the handlers of the signals that have come, in order of number, then of adding.
    pub(crate) fn feed(&mut self, ready: &mut ReadyDeque) -> io::Result<()> {
        let Some(subscription) = &mut self.subscription else { return Ok(()) };
        for signal in subscription.drain()? {
            for key in self.handlers.of(signal) {
                ready.feed(key, Readiness::empty());
            }
        }
        Ok(())
    }

    /// Gives a forked child a doorbell of its own, which its selector does not watch yet.
    pub(crate) fn after_fork(&mut self) -> io::Result<()> {
        self.subscription.as_mut().map_or(Ok(()), Subscription::after_fork)
    }

    /// Gives all signals back. The selector is to have forgotten the doorbell before.
    pub(crate) fn close(&mut self) {
        self.handlers.clear();
        self.subscription = None;
    }
}

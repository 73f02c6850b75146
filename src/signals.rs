//! Signals of a loop: which handlers wait for which, fed from the pending bits that the signal
//! layer keeps.

use std::io;
use std::os::fd::AsRawFd;

use mainspring_sys::signal::{Signal, Subscription};
use mainspring_sys::{Readiness, Token};

use crate::error::{Error, Result};
use crate::handle::Key;
use crate::ready::ReadyDeque;
use crate::watchers::Watchers;

/// The signals that a loop handles. Nothing is made in the system before the first handler is
/// added.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    subscription: Option<Subscription>,
    handlers: Vec<(Signal, Key)>,
}

impl Signals {
    /// Adds a handler; the first one of a signal subscribes to it.
    pub(crate) fn add(
        &mut self,
        signal: Signal,
        key: Key,
        watchers: &mut Watchers,
        token: Token,
    ) -> Result<()> {
        let subscription = match &mut self.subscription {
            Some(subscription) => subscription,
            none => none.insert(open(watchers, token)?),
        };
        subscription.subscribe(signal).map_err(|source| Error::Signal { signal, source })?;
        self.handlers.push((signal, key));
        Ok(())
    }

    /// Removes a handler; the last one of a signal gives the signal back.
    pub(crate) fn remove(&mut self, signal: Signal, key: Key) {
        self.handlers.retain(|(_, other)| *other != key);
        let last = !self.handlers.iter().any(|(other, _)| *other == signal);
        if let (true, Some(subscription)) = (last, &mut self.subscription) {
            // sigaction(2) with values that it gave itself has no way to fail.
            let _ = subscription.unsubscribe(signal);
        }
    }

    /// Feeds the handlers of the signals that have come, in order of number, then of adding.
    pub(crate) fn feed(&mut self, ready: &mut ReadyDeque) -> io::Result<()> {
        let Some(subscription) = &mut self.subscription else { return Ok(()) };
        for signal in subscription.drain()? {
            for (_, key) in self.handlers.iter().filter(|(wanted, _)| *wanted == signal) {
                ready.feed(*key, Readiness::empty());
            }
        }
        Ok(())
    }

    /// Gives all signals back.
    pub(crate) fn close(&mut self, watchers: &mut Watchers) {
        self.handlers.clear();
        if let Some(subscription) = self.subscription.take() {
            watchers.remove_fixed(subscription.watched_fd().as_raw_fd());
        }
    }
}

fn open(watchers: &mut Watchers, token: Token) -> Result<Subscription> {
    let subscription = Subscription::new(watchers.selector(), token)
        .map_err(|source| Error::Create { part: "doorbell for signals", source })?;
    watchers.add_fixed(subscription.watched_fd().as_raw_fd(), token);
    Ok(subscription)
}

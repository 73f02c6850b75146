//! The signal handlers of a loop, queued from the pending signals that `mainspring-sys` keeps.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::task::Waker;

use mainspring_sys::signal::{Signal, SignalInfo, Subscription};
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
    /// Futures that receive signals.
    receivers: Vec<Rc<ReceiverState>>,
    /// The last delivery of each signal.
    latest: BTreeMap<Signal, SignalInfo>,
}

/// The part of a [`SignalReceiver`](crate::SignalReceiver) that the loop fills.
pub(crate) struct ReceiverState {
    pub(crate) signal: Signal,
    /// Signals that arrived but were not received.
    pub(crate) pending: Cell<Option<SignalInfo>>,
    pub(crate) waker: Cell<Option<Waker>>,
    /// True after the loop was closed.
    pub(crate) is_closed: Cell<bool>,
}

impl fmt::Debug for ReceiverState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverState({})", self.signal)
    }
}

impl ReceiverState {
    pub(crate) fn new(signal: Signal) -> Rc<ReceiverState> {
        let (pending, waker) = (Cell::new(None), Cell::new(None));
        Rc::new(ReceiverState { signal, pending, waker, is_closed: Cell::new(false) })
    }

    /// Adds a delivery. Returns the waker of the task that waits.
    fn deliver(&self, info: SignalInfo) -> Option<Waker> {
        let sum = self.pending.take().map_or(info, |earlier| info.after(earlier));
        self.pending.set(Some(sum));
        self.waker.take()
    }
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
        self.unsubscribe_unused(signal);
    }

    /// Adds a receiver, after [`open`](Signals::open), with the same effect as a handler.
    pub(crate) fn add_receiver(&mut self, receiver: Rc<ReceiverState>) -> Result<()> {
        if let Some(subscription) = &mut self.subscription {
            let signal = receiver.signal;
            subscription.subscribe(signal).map_err(|source| Error::Signal { signal, source })?;
            self.receivers.push(receiver);
        }
        Ok(())
    }

    /// Returns true if a future can get a signal.
    pub(crate) fn has_receivers(&self) -> bool {
        !self.receivers.is_empty()
    }

    /// Removes a receiver. After the last one and the last handler, the former disposition is
    /// restored.
    pub(crate) fn remove_receiver(&mut self, receiver: &Rc<ReceiverState>) {
        self.receivers.retain(|other| !Rc::ptr_eq(other, receiver));
        self.unsubscribe_unused(receiver.signal);
    }

    fn unsubscribe_unused(&mut self, signal: Signal) {
        let is_used = self.handlers.has(signal)
            || self.receivers.iter().any(|receiver| receiver.signal == signal);
        if let (false, Some(subscription)) = (is_used, &mut self.subscription) {
            // sigaction(2) does not fail for a disposition that it returned itself.
            let _ = subscription.unsubscribe(signal);
        }
    }

    /// Returns the last delivery of a signal.
    pub(crate) fn latest(&self, signal: Signal) -> Option<SignalInfo> {
        self.latest.get(&signal).copied()
    }

    /// Queues the handlers of all pending signals, ordered by signal number. Handlers of one signal
    /// run in the order in which they were added. Returns the number of signals, and the wakers of
    /// receivers, to wake with nothing borrowed.
    pub(crate) fn feed(&mut self, ready: &mut ReadyDeque) -> io::Result<(u64, Vec<Waker>)> {
        let (mut fed, mut wakers) = (0, Vec::new());
        let Some(subscription) = &mut self.subscription else { return Ok((fed, wakers)) };
        for signal in subscription.drain()? {
            let Some(info) = subscription.take_info(signal) else { continue };
            fed += 1;
            self.latest.insert(signal, info);
            for key in self.handlers.of(signal) {
                ready.feed(key, Readiness::empty());
            }
            let receivers = self.receivers.iter().filter(|receiver| receiver.signal == signal);
            wakers.extend(receivers.filter_map(|receiver| receiver.deliver(info)));
        }
        Ok((fed, wakers))
    }

    /// Replaces the wakeup in a forked child. The selector does not watch the new one yet.
    pub(crate) fn after_fork(&mut self) -> io::Result<()> {
        self.subscription.as_mut().map_or(Ok(()), Subscription::after_fork)
    }

    /// Restores the dispositions of all signals. The wakeup must be deregistered from the selector
    /// before. Returns the wakers of receivers, to wake with nothing borrowed.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.handlers.clear();
        self.subscription = None;
        let receivers = self.receivers.drain(..);
        let closed = receivers.filter_map(|receiver| {
            receiver.is_closed.set(true);
            receiver.waker.take()
        });
        closed.collect()
    }
}

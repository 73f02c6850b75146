//! Subscription as bits that a loop looks at, with exact restore of what the process did before.
//!
//! A signal handler may do next to nothing, so ours only leaves a bit for each loop that watches
//! the signal and rings that loop's doorbell. The loop's callbacks then run as ordinary code. No
//! signal is ever blocked: children would inherit the mask.
//!
//! # Invariants
//!
//! * A signal sent after [`Subscription::subscribe`] has returned is in a later
//!   [`Subscription::drain`]. Several of the same signal may be one; different signals never hide
//!   each other.
//! * Each loop that watches a signal sees it, whatever the others do.
//! * While nobody watches a signal, its disposition (handler, flags, mask) is exactly what it was
//!   before. If somebody else has replaced our handler in the meantime, theirs stays.
//! * A handler that other code had put in force before is called after ours, with the same
//!   arguments, as often as the kernel would call it. `SIG_DFL` and `SIG_IGN` are no handlers: while
//!   a loop watches the signal it neither ends the process nor is ignored.

use std::io;
use std::os::fd::BorrowedFd;

use crate::event::{Token, TriggerMode};
use crate::selector::Selector;
use crate::wakeup::{Wakeup, WakeupKind};

mod chain;
mod disposition;
mod handler;
mod number;

pub use number::Signal;

/// What one loop has to do with signals: which it watches, and which have come.
///
/// ```
/// use mainspring_sys::signal::{Signal, Subscription};
/// use mainspring_sys::{Events, SelectorKind, Token};
///
/// let mut selector = SelectorKind::available()[0].open()?;
/// let mut signals = Subscription::new(&mut *selector, Token::new(0, 0))?;
/// signals.subscribe(Signal::USR1)?;
/// Signal::USR1.raise()?;
///
/// let mut events = Events::with_capacity(8);
/// selector.select(&mut events, None)?;
/// assert_eq!(events.as_slice()[0].token, Token::new(0, 0));
/// assert_eq!(signals.drain()?.collect::<Vec<_>>(), [Signal::USR1]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Dropping it ends all its subscriptions. Deregister [`watched_fd`](Subscription::watched_fd) from
/// the selector before, as with every descriptor.
#[derive(Debug)]
pub struct Subscription {
    mailbox: &'static handler::Mailbox,
    doorbell: Wakeup,
}

impl Subscription {
    /// Watches nothing yet. When a watched signal comes, `selector` will report `token`.
    ///
    /// # Errors
    ///
    /// The kernel refuses a new descriptor.
    pub fn new(selector: &mut dyn Selector, token: Token) -> io::Result<Subscription> {
        let kinds = WakeupKind::available();
        // A pipe is everywhere, and a handler may write to it.
        let kind = kinds.iter().copied().find(|kind| *kind != WakeupKind::UserEvent);
        Subscription::with_wakeup_kind(kind.unwrap_or(WakeupKind::Pipe), selector, token)
    }

    /// As [`new`](Subscription::new), with this kind of doorbell.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a kind that a signal handler cannot ring, or that the system has not; the
    /// kernel refuses a new descriptor.
    pub fn with_wakeup_kind(
        kind: WakeupKind,
        selector: &mut dyn Selector,
        token: Token,
    ) -> io::Result<Subscription> {
        let doorbell = open_doorbell(kind, selector, token)?;
        let mailbox = disposition::claim();
        let signals = Subscription { mailbox, doorbell };
        signals.plug();
        Ok(signals)
    }

    /// Watches `signal`; false if it is watched already.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what cannot be caught (KILL, STOP) and for faults (SEGV, BUS, FPE, ILL,
    /// TRAP, SYS). Then nothing has changed.
    pub fn subscribe(&mut self, signal: Signal) -> io::Result<bool> {
        if self.mailbox.is_wanted(signal) {
            return Ok(false);
        }
        // First the wish: the handler may run before the next line is over.
        self.mailbox.want(signal);
        match disposition::watch(signal) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.mailbox.unwant(signal);
                Err(error)
            }
        }
    }

    /// No longer watches `signal`, and forgets it if it has come and was not clear_readiness; false if it
    /// was not watched.
    ///
    /// # Errors
    ///
    /// The system does not take back the old disposition.
    pub fn unsubscribe(&mut self, signal: Signal) -> io::Result<bool> {
        if !self.mailbox.is_wanted(signal) {
            return Ok(false);
        }
        let restored = disposition::unwatch(signal);
        self.mailbox.unwant(signal);
        restored.map(|()| true)
    }

    /// Makes the selector silent again and takes the signals that have come, lowest number first.
    ///
    /// # Errors
    ///
    /// The doorbell can no longer be read. The signals stay for the next drain.
    pub fn drain(&mut self) -> io::Result<Drain> {
        self.doorbell.drain()?;
        Ok(Drain(self.mailbox.take()))
    }

    /// The descriptor that the selector watches, to be deregistered before the drop.
    pub fn watched_fd(&self) -> BorrowedFd<'_> {
        self.doorbell.watched_fd().expect("the doorbell of a handler has a descriptor")
    }

    /// How the selector watches it.
    pub fn mode(&self) -> TriggerMode {
        self.doorbell.mode()
    }

    /// Makes the copy in a forked child independent of its parent, with a doorbell of its own under
    /// the same number, for the selector to watch. What came to the parent is forgotten, and what
    /// has come to the child since the fork is in the next [`drain`](Subscription::drain).
    ///
    /// Until then the child's handlers keep what comes to the child, and ring no doorbell.
    ///
    /// # Errors
    ///
    /// The kernel refuses a new descriptor; then everything is as it was.
    pub fn after_fork(&mut self) -> io::Result<()> {
        self.mailbox.unplug();
        let renewed = self.doorbell.after_fork();
        if renewed.is_ok() {
            self.mailbox.after_fork();
        }
        self.plug();
        if self.mailbox.has_pending() {
            self.doorbell.wake()?;
        }
        renewed
    }

    fn plug(&self) {
        let written = self.doorbell.written_fd();
        self.mailbox.plug(written.expect("the doorbell of a handler has a descriptor"));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for signal in Drain(self.mailbox.wanted()) {
            // The only error is that the system does not take the old disposition back; a drop has
            // nobody to tell.
            let _ = self.unsubscribe(signal);
        }
        self.mailbox.unplug();
        self.mailbox.leave();
    }
}

fn open_doorbell(
    kind: WakeupKind,
    selector: &mut dyn Selector,
    token: Token,
) -> io::Result<Wakeup> {
    if kind == WakeupKind::UserEvent {
        let message = "a signal handler cannot ring a user-event; it needs a descriptor";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    Wakeup::new(kind, selector, token)
}

/// The signals that had come, lowest number first.
#[derive(Debug, Clone)]
pub struct Drain(u128);

impl Iterator for Drain {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        let lowest = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(Signal::from_bit(lowest))
    }
}

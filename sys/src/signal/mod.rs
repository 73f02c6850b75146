//! Signals as events of a selector, with exact restoration of the previous dispositions.
//!
//! A signal handler may do very little. Ours sets a bit for each loop that watches the signal, and
//! wakes that loop. The loop's callbacks then run as ordinary code. No signal is ever blocked,
//! because children would inherit the mask.
//!
//! # Invariants
//!
//! * A signal that is sent after [`Subscription::subscribe`] has returned is in a later
//!   [`Subscription::drain`]. Several signals of one kind may be merged; different signals never
//!   hide each other.
//! * Each loop that watches a signal gets it, independently of the others.
//! * While no loop watches a signal, its disposition (handler, flags, mask) is exactly the previous
//!   one. If other code has replaced our handler in the meantime, that code's handler stays.
//! * A handler that was installed before ours is called after ours, with the same arguments and as
//!   often as the kernel would call it. `SIG_DFL` and `SIG_IGN` are not handlers: while a loop
//!   watches the signal, it neither ends the process nor is ignored.

use std::io;
use std::os::fd::BorrowedFd;

use crate::event::{Token, TriggerMode};
use crate::selector::Selector;
use crate::wakeup::{Wakeup, WakeupKind};

mod chain;
mod disposition;
mod handler;
mod info;
pub(crate) mod mask;
mod number;
mod process_count;
pub(crate) mod raw_modes;

pub(crate) use disposition::{is_ignored, unwatch, watch};
pub use info::{SignalInfo, SignalOrigin};
pub use mask::with_all_blocked;
pub use number::Signal;

/// The signals that one loop watches, and those that are pending for it.
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
/// Dropping it ends all its subscriptions. Before that, deregister
/// [`watched_fd`](Subscription::watched_fd) from the selector, as for every descriptor.
#[derive(Debug)]
pub struct Subscription {
    mailbox: &'static handler::Mailbox,
    wakeup: Wakeup,
}

impl Subscription {
    /// Creates a subscription without signals. When a watched signal arrives, `selector` will
    /// report `token`.
    ///
    /// # Errors
    ///
    /// The errors of creating and registering a descriptor.
    pub fn new(selector: &mut dyn Selector, token: Token) -> io::Result<Subscription> {
        let kinds = WakeupKind::available();
        // A signal handler can write to a pipe, and every system has one.
        let kind = kinds.iter().copied().find(|kind| *kind != WakeupKind::UserEvent);
        Subscription::with_wakeup_kind(kind.unwrap_or(WakeupKind::Pipe), selector, token)
    }

    /// Like [`new`](Subscription::new), but with this kind of wakeup.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a kind that a signal handler cannot use or that the system does not have;
    /// the errors of creating and registering a descriptor.
    pub fn with_wakeup_kind(
        kind: WakeupKind,
        selector: &mut dyn Selector,
        token: Token,
    ) -> io::Result<Subscription> {
        let wakeup = open_wakeup(kind, selector, token)?;
        let mailbox = disposition::claim();
        let signals = Subscription { mailbox, wakeup };
        signals.attach();
        Ok(signals)
    }

    /// Watches `signal`. Returns false if it is already watched.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for signals that cannot be caught (KILL, STOP) and for faults (SEGV, BUS,
    /// FPE, ILL, TRAP, SYS). Then nothing has changed.
    pub fn subscribe(&mut self, signal: Signal) -> io::Result<bool> {
        if self.mailbox.is_wanted(signal) {
            return Ok(false);
        }
        // The bit is set first, because the handler may run as soon as it is installed.
        self.mailbox.want(signal);
        match disposition::watch(signal) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.mailbox.unwant(signal);
                Err(error)
            }
        }
    }

    /// Stops watching `signal`, and discards it if it is pending. Returns false if it was not
    /// watched.
    ///
    /// ```
    /// use mainspring_sys::signal::{Signal, Subscription};
    /// use mainspring_sys::{SelectorKind, Token};
    ///
    /// let mut selector = SelectorKind::available()[0].open()?;
    /// let mut signals = Subscription::new(&mut *selector, Token::new(0, 0))?;
    /// assert!(signals.subscribe(Signal::USR2)?);
    /// assert!(!signals.subscribe(Signal::USR2)?, "it is already watched");
    /// assert!(signals.unsubscribe(Signal::USR2)?);
    /// assert!(!signals.unsubscribe(Signal::USR2)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the system refuses to restore the previous disposition.
    pub fn unsubscribe(&mut self, signal: Signal) -> io::Result<bool> {
        if !self.mailbox.is_wanted(signal) {
            return Ok(false);
        }
        // The bit is cleared last. The other way round, our handler would drop a signal in between.
        let restored = disposition::unwatch(signal);
        self.mailbox.unwant(signal);
        restored.map(|()| true)
    }

    /// Stops the selector from reporting, and takes the pending signals, lowest number first.
    ///
    /// # Errors
    ///
    /// The wakeup descriptor cannot be read. The signals stay pending.
    pub fn drain(&mut self) -> io::Result<Drain> {
        // Drained before the signals are taken: a signal in between wakes the loop again.
        self.wakeup.drain()?;
        Ok(Drain(self.mailbox.take()))
    }

    /// Takes the count and the sender of a signal that [`drain`](Subscription::drain) has returned.
    /// `None` if they were part of an earlier delivery: then there is nothing new.
    pub fn take_info(&mut self, signal: Signal) -> Option<SignalInfo> {
        self.mailbox.take_info(signal)
    }

    /// Returns the descriptor that the selector watches. Deregister it before dropping the
    /// subscription.
    pub fn watched_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.watched_fd().expect("a wakeup for signals has a descriptor")
    }

    /// Returns the trigger mode in which the selector watches the descriptor.
    pub fn mode(&self) -> TriggerMode {
        self.wakeup.mode()
    }

    /// Makes the copy in a forked child independent of its parent. The wakeup gets new descriptors
    /// under the same numbers, which the selector must watch again. Signals that were pending in
    /// the parent are discarded; those that the child got since the fork are in the next
    /// [`drain`](Subscription::drain).
    ///
    /// Until this call, the handlers in the child store signals without a wakeup, because the
    /// descriptors belong to the parent.
    ///
    /// # Errors
    ///
    /// The errors of creating a descriptor; then nothing has changed.
    pub fn after_fork(&mut self) -> io::Result<()> {
        // No handler may write to the old descriptors while they are replaced.
        self.mailbox.detach();
        let renewed = self.wakeup.after_fork();
        if renewed.is_ok() {
            self.mailbox.after_fork();
        }
        self.attach();
        if self.mailbox.has_pending() {
            self.wakeup.wake()?;
        }
        renewed
    }

    fn attach(&self) {
        let written = self.wakeup.written_fd();
        self.mailbox.attach(written.expect("a wakeup for signals has a descriptor"));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for signal in Drain(self.mailbox.wanted()) {
            // The only error is that the disposition cannot be restored; a destructor cannot return
            // it.
            let _ = self.unsubscribe(signal);
        }
        self.mailbox.detach();
        self.mailbox.release();
    }
}

fn open_wakeup(kind: WakeupKind, selector: &mut dyn Selector, token: Token) -> io::Result<Wakeup> {
    if kind == WakeupKind::UserEvent {
        let message = "a signal handler cannot trigger a user event; use eventfd or pipe";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    Wakeup::new(kind, selector, token)
}

/// Iterator over pending signals, lowest number first.
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

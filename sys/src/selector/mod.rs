//! Selectors: ways to find out from the kernel which descriptors are ready. One contract, and a
//! backend for each system call.
//!
//! # The contract
//!
//! A conformance suite checks the contract for every backend. The backends have the same functions
//! in the same order.
//!
//! * A registration is an fd number, a [`Token`](crate::Token) that comes back in events, an
//!   [`Interest`] and a [`TriggerMode`](crate::TriggerMode). A selector stores no other data of its
//!   caller.
//! * There is one registration per fd. A second one is the error `AlreadyExists`; changing or
//!   removing one that does not exist is `NotFound`; an fd that is not open is `EBADF`. After an
//!   error nothing has changed.
//! * An empty interest is the error `InvalidInput`: epoll and poll would still report hang-ups of
//!   such an fd, and kqueue would not. To stop watching, deregister; to watch for the end only, use
//!   [`Interest::READ_CLOSED`].
//! * Changes take effect at once: after [`deregister`](Selector::deregister) has returned, no event
//!   of the fd is reported, and the kernel has no trace of the registration. Deregister before
//!   closing the fd.
//! * Errors, hang-ups and end of file are reported for every interest, completed as by
//!   [`Readiness::with_implied`](crate::Readiness::with_implied).
//! * Files that the kernel cannot watch, but that poll(2) always reports as ready (regular files,
//!   directories, `/dev/null`), are always ready.
//! * A call reports at most one event per registration. If more fds are ready than fit into
//!   [`Events`], each is reported before any is reported twice.
//! * A wait is never shorter than its timeout because of rounding, and a signal does not end it.
//! * An fd that is closed while it is registered is reported once with
//!   [`INVALID`](crate::Readiness::INVALID), if the kernel reports it, and is silent otherwise. It
//!   is never an error of [`select`](Selector::select) and never makes it spin.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

use crate::environment;
use crate::event::{Events, Interest};

pub use self::contract::{Selector, UserEvent};

#[cfg(any(has_epoll, has_kqueue, test))]
mod always_ready;
mod contract;
#[cfg(has_epoll)]
pub mod epoll;
#[cfg(any(has_kqueue, test))]
pub mod kqueue;
pub mod poll;
mod registrations;
pub mod select;

/// Kinds of selectors.
///
/// ```
/// use mainspring_sys::SelectorKind;
///
/// let kind: SelectorKind = "poll".parse()?;
/// assert_eq!(kind.to_string(), "poll");
/// assert!(SelectorKind::available().contains(&kind));
/// assert!("pool".parse::<SelectorKind>().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SelectorKind {
    /// epoll(7) of Linux.
    Epoll,
    /// kqueue(2) of macOS and the BSDs.
    Kqueue,
    /// poll(2), everywhere.
    Poll,
    /// select(2), everywhere, for descriptors below `FD_SETSIZE`.
    Select,
}

impl SelectorKind {
    /// Returns the kinds that this system has, best first. The first is the default.
    pub fn available() -> &'static [SelectorKind] {
        &[
            #[cfg(has_epoll)]
            SelectorKind::Epoll,
            #[cfg(has_kqueue)]
            SelectorKind::Kqueue,
            SelectorKind::Poll,
            SelectorKind::Select,
        ]
    }

    /// Returns the kind that the environment variable `MAINSPRING_SELECTOR` names. None if it is
    /// unset or empty.
    ///
    /// A process with more rights than the user who started it (set-user-ID and the like) ignores
    /// the variable.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the variable names no kind that this system has.
    pub fn from_env() -> io::Result<Option<SelectorKind>> {
        environment::choice("MAINSPRING_SELECTOR")
    }

    /// Creates a selector of this kind.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the system has no such kind; those of creating a descriptor.
    pub fn open(self) -> io::Result<Box<dyn Selector>> {
        match AnySelector::open(self)? {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => Ok(Box::new(epoll)),
            AnySelector::Other(other) => Ok(other),
        }
    }

    fn open_other(self) -> io::Result<Box<dyn Selector>> {
        match self {
            #[cfg(has_kqueue)]
            SelectorKind::Kqueue => Ok(Box::new(kqueue::Kqueue::new()?)),
            SelectorKind::Poll => Ok(Box::new(poll::Poll::new())),
            SelectorKind::Select => Ok(Box::new(select::Select::new())),
            #[allow(unreachable_patterns)]
            missing => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("this system has no {missing}; it has {}", list(Self::available())),
            )),
        }
    }

    fn name(self) -> &'static str {
        match self {
            SelectorKind::Epoll => "epoll",
            SelectorKind::Kqueue => "kqueue",
            SelectorKind::Poll => "poll",
            SelectorKind::Select => "select",
        }
    }
}

/// A selector of any kind, for a loop to own.
///
/// [`select`](AnySelector::select) calls epoll directly. Dynamic dispatch would add a return after
/// the system call, and CPUs that clear their return predictor on kernel exit mispredict it.
#[derive(Debug)]
pub enum AnySelector {
    /// epoll(7).
    #[cfg(has_epoll)]
    Epoll(epoll::Epoll),
    /// Any other selector.
    Other(Box<dyn Selector>),
}

impl AnySelector {
    /// Creates a selector of this kind.
    ///
    /// # Errors
    ///
    /// Those of [`SelectorKind::open`].
    pub fn open(kind: SelectorKind) -> io::Result<AnySelector> {
        match kind {
            #[cfg(has_epoll)]
            SelectorKind::Epoll => Ok(AnySelector::Epoll(epoll::Epoll::new()?)),
            other => Ok(AnySelector::Other(other.open_other()?)),
        }
    }

    /// Like [`Selector::select`], without dynamic dispatch for epoll.
    ///
    /// # Errors
    ///
    /// Those of [`Selector::select`].
    #[inline(always)]
    pub fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll.select(events, timeout),
            AnySelector::Other(other) => other.select(events, timeout),
        }
    }

    /// Returns true if [`clear_readiness`](Selector::clear_readiness) has no effect now, for any fd.
    #[inline]
    pub fn ignores_clear_readiness(&self) -> bool {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => !epoll.has_files(),
            AnySelector::Other(_) => false,
        }
    }
}

impl Deref for AnySelector {
    type Target = dyn Selector;

    fn deref(&self) -> &(dyn Selector + 'static) {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll,
            AnySelector::Other(other) => &**other,
        }
    }
}

impl DerefMut for AnySelector {
    fn deref_mut(&mut self) -> &mut (dyn Selector + 'static) {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll,
            AnySelector::Other(other) => &mut **other,
        }
    }
}

impl fmt::Display for SelectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SelectorKind {
    type Err = io::Error;

    /// Accepts the names of the kinds that this system has.
    fn from_str(name: &str) -> io::Result<SelectorKind> {
        let kinds = SelectorKind::available();
        kinds.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            let message = format!("unknown selector {name:?}; this system has {}", list(kinds));
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

/// Returns the error of [`Selector::user_event`] for kernels without user events.
fn no_user_events() -> io::Result<Box<dyn UserEvent>> {
    Err(io::ErrorKind::Unsupported.into())
}

fn list(kinds: &[SelectorKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// Returns the error for a selector that a forked child still shares with its parent.
#[cfg(has_epoll)]
pub(crate) fn parents_selector() -> io::Error {
    io::Error::other(
        "the selector belongs to the parent process; reset it in the forked child first",
    )
}

/// Refuses an empty interest.
pub(crate) fn check_interest(interest: Interest) -> io::Result<()> {
    if !interest.is_empty() {
        return Ok(());
    }
    let message = "an empty interest cannot be registered; deregister the fd instead";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Refuses an interest in the end alone, which kqueue(2) reports only to readers.
#[cfg(any(has_kqueue, test))]
pub(crate) fn check_end(interest: Interest) -> io::Result<()> {
    if interest & (Interest::READABLE | Interest::READ_CLOSED) != Interest::READ_CLOSED {
        return Ok(());
    }
    let message = "kqueue reports the end of the read side only to readers; use poll or select";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

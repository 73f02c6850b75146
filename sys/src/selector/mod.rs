//! Asking the kernel which descriptors are ready: one contract, and a backend for each way to ask.
//!
//! # The contract
//!
//! The backends are parallel texts: the same functions in the same order, the same words where the
//! behaviour is the same. What holds for all of them (a conformance suite runs it over every kind):
//!
//! * A registration is a number of an fd, a [`Token`](crate::Token) that comes back in events, an [`Interest`]
//!   and a [`TriggerMode`](crate::TriggerMode). A selector keeps no other data of its user's.
//! * One registration per fd. A second one is the error `AlreadyExists`; changing or removing one
//!   that is not there is `NotFound`; an fd that is not open is `EBADF`. An error leaves everything
//!   as it was.
//! * An empty interest is the error `InvalidInput`: epoll and poll would still report hang-ups of
//!   such an fd and kqueue would not, so whoever wants nothing deregisters. The interest in nothing
//!   but the end is [`Interest::READ_CLOSED`].
//! * Change takes effect at once: after [`deregister`](Selector::deregister) has returned, no event
//!   of the fd comes, and the kernel holds no trace of it. Deregister before you close.
//! * Error, hang-up and end of file are reported to whoever asked for anything, as
//!   [`Readiness::with_implied`](crate::Readiness::with_implied) says.
//! * What the kernel cannot watch but poll(2) calls always ready (regular files, directories,
//!   `/dev/null`) is always ready.
//! * One event per registration and call. With more ready fds than room in [`Events`], each is
//!   reported before any is reported twice.
//! * A wait is never shorter than asked because of rounding, and a signal does not end it.
//! * An fd closed while registered is reported once with [`INVALID`](crate::Readiness::INVALID)
//!   where the kernel tells, and otherwise is silent. It never is an error of
//!   [`select`](Selector::select), nor a busy loop.

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

/// The selectors that this crate has.
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
    /// The kinds that this system has, best first. The first is the default.
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

    /// The kind that the variable `MAINSPRING_SELECTOR` names, if it is set.
    ///
    /// A process that has more rights than whoever started it (set-user-ID and the like) does not
    /// look.
    ///
    /// # Errors
    ///
    /// The variable names no kind that this system has.
    pub fn from_env() -> io::Result<Option<SelectorKind>> {
        environment::choice("MAINSPRING_SELECTOR")
    }

    /// A new selector of this kind.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the system has no such kind; the kernel refuses a new descriptor.
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

/// A selector of any kind, as a loop keeps it.
///
/// [`select`](AnySelector::select) calls the selector that most loops have directly. Behind a
/// pointer it would return twice after the system call, and processors that forget their callers
/// there predict neither.
#[derive(Debug)]
pub enum AnySelector {
    /// epoll(7).
    #[cfg(has_epoll)]
    Epoll(epoll::Epoll),
    /// Any other.
    Other(Box<dyn Selector>),
}

impl AnySelector {
    /// A new selector of this kind.
    ///
    /// # Errors
    ///
    /// As [`SelectorKind::open`].
    pub fn open(kind: SelectorKind) -> io::Result<AnySelector> {
        match kind {
            #[cfg(has_epoll)]
            SelectorKind::Epoll => Ok(AnySelector::Epoll(epoll::Epoll::new()?)),
            other => Ok(AnySelector::Other(other.open_other()?)),
        }
    }

    /// As [`Selector::select`].
    ///
    /// # Errors
    ///
    /// As [`Selector::select`].
    #[inline(always)]
    pub fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll.select(events, timeout),
            AnySelector::Other(other) => other.select(events, timeout),
        }
    }

    /// Whether [`clear_readiness`](Selector::clear_readiness) would do nothing now, whatever it is told.
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

    /// Takes the names of the kinds that this system has.
    fn from_str(name: &str) -> io::Result<SelectorKind> {
        let kinds = SelectorKind::available();
        kinds.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            let message = format!("no selector is called {name:?} here; there are {}", list(kinds));
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

/// The answer of selectors whose kernel has no user events.
fn no_user_events() -> io::Result<Box<dyn UserEvent>> {
    Err(io::ErrorKind::Unsupported.into())
}

fn list(kinds: &[SelectorKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// The error of a selector that a forked child shares with its parent.
#[cfg(has_epoll)]
pub(crate) fn parents_selector() -> io::Error {
    io::Error::other("the selector belongs to the parent process; a forked child resets it first")
}

/// The error of an empty interest.
pub(crate) fn check_interest(interest: Interest) -> io::Result<()> {
    if !interest.is_empty() {
        return Ok(());
    }
    let message = "an empty interest cannot be watched; deregister the fd instead";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// The error of an interest in the end alone, where the kernel reports it to readers only.
#[cfg(any(has_kqueue, test))]
pub(crate) fn check_end(interest: Interest) -> io::Result<()> {
    if interest & (Interest::READABLE | Interest::READ_CLOSED) != Interest::READ_CLOSED {
        return Ok(());
    }
    let message = "kqueue reports the end of the read side to readers only; poll and select do";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

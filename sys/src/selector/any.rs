//! A selector of a kind that is chosen at run time.

use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::contract::Selector;
use super::kind::{SelectorKind, list};
use super::{poll, select};
use crate::event::Events;

#[cfg(has_epoll)]
use super::epoll;
#[cfg(has_kqueue)]
use super::kqueue;

impl SelectorKind {
    /// Creates a selector of this kind.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the system has no such kind; the errors of creating a descriptor.
    pub fn open(self) -> io::Result<Box<dyn Selector>> {
        match self {
            #[cfg(has_epoll)]
            SelectorKind::Epoll => Ok(Box::new(epoll::Epoll::new()?)),
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
}

/// A selector of any kind, for a loop to own.
///
/// [`select`](AnySelector::select) calls epoll directly. Dynamic dispatch would add a return after
/// the system call, and CPUs that clear their return predictor on kernel exit mispredict it.
///
/// ```
/// use mainspring_sys::{AnySelector, Events, SelectorKind};
/// use std::time::Duration;
///
/// let mut selector = AnySelector::open(SelectorKind::Poll)?;
/// let mut events = Events::with_capacity(8);
/// selector.select(&mut events, Some(Duration::ZERO))?;
/// assert!(events.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
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
    /// Same as [`SelectorKind::open`].
    pub fn open(kind: SelectorKind) -> io::Result<AnySelector> {
        match kind {
            #[cfg(has_epoll)]
            SelectorKind::Epoll => Ok(AnySelector::Epoll(epoll::Epoll::new()?)),
            other => Ok(AnySelector::Other(other.open()?)),
        }
    }

    /// Like [`Selector::select`], without dynamic dispatch for epoll.
    ///
    /// # Errors
    ///
    /// Same as [`Selector::select`].
    #[inline(always)]
    pub fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll.select(events, timeout),
            AnySelector::Other(other) => other.select(events, timeout),
        }
    }

    /// Returns true if [`clear_readiness`](Selector::clear_readiness) has no effect now, for any
    /// fd.
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

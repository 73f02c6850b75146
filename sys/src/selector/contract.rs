//! The trait [`Selector`], and a guide to implementing it.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Events, Interest, Token, TriggerMode};

/// A backend that finds out from the kernel which descriptors are ready. The [module](super)
/// documents the contract.
///
/// The loop takes its selector as a value, so other crates can provide one. The loop's tables are
/// borrowed during each call, so a selector must not call the loop.
///
/// # Writing a selector
///
/// No method has a default, so a wrapper cannot miss one silently. A selector that wraps another
/// one forwards every method, including [`has_ready`](Selector::has_ready),
/// [`poll_fd`](Selector::poll_fd) and [`user_event`](Selector::user_event). For a selector that
/// calls the kernel itself, these are the answers if a method does not apply:
///
/// | method | answer | consequence |
/// |---|---|---|
/// | `clear_readiness` | nothing | correct if the kernel itself detects the end of readiness |
/// | `has_edges` | `false` | streams are watched in level mode |
/// | `poll_fd` | `None` | the loop cannot be embedded in another one |
/// | `has_ready` | `false` | correct if `poll_fd` shows every event |
/// | `user_event` | `Err(ErrorKind::Unsupported.into())` | wakeups need a descriptor |
///
/// The loop registers each fd once, with a token that it chooses, and deregisters the fd before
/// closing it. If events for an unknown token keep coming, the loop calls `reset` and registers
/// everything again. The conformance suite in `sys/tests/conformance` of the source repository
/// checks the contract for any selector.
///
/// ```
/// use mainspring_sys::selector::{Selector, UserEvent};
/// use mainspring_sys::{Events, Interest, TriggerMode, SelectorKind, Token};
/// use std::io;
/// use std::os::fd::{OwnedFd, RawFd};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// /// Counts the waits of the wrapped selector.
/// #[derive(Debug)]
/// struct Counting {
///     wrapped: Box<dyn Selector>,
///     waits: usize,
/// }
///
/// impl Selector for Counting {
///     fn register(
///         &mut self,
///         fd: RawFd,
///         token: Token,
///         interest: Interest,
///         mode: TriggerMode,
///     ) -> io::Result<()> {
///         self.wrapped.register(fd, token, interest, mode)
///     }
///     fn reregister(
///         &mut self,
///         fd: RawFd,
///         token: Token,
///         interest: Interest,
///         mode: TriggerMode,
///     ) -> io::Result<()> {
///         self.wrapped.reregister(fd, token, interest, mode)
///     }
///     fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
///         self.wrapped.deregister(fd)
///     }
///     fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
///         self.wrapped.clear_readiness(fd, interest)
///     }
///     fn has_edges(&self) -> bool {
///         self.wrapped.has_edges()
///     }
///     fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
///         self.waits += 1;
///         self.wrapped.select(events, timeout)
///     }
///     fn reset(&mut self) -> io::Result<()> {
///         self.wrapped.reset()
///     }
///     fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
///         self.wrapped.poll_fd()
///     }
///     fn has_ready(&self) -> bool {
///         self.wrapped.has_ready()
///     }
///     fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
///         self.wrapped.user_event(token)
///     }
/// }
///
/// let kind = SelectorKind::available()[0];
/// let mut counting = Counting { wrapped: kind.open()?, waits: 0 };
/// let mut events = Events::with_capacity(8);
/// counting.select(&mut events, Some(Duration::ZERO))?;
/// assert_eq!((events.len(), counting.waits), (0, 1));
/// # Ok::<(), io::Error>(())
/// ```
pub trait Selector: fmt::Debug {
    /// Registers `fd`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`; `InvalidInput` for an empty interest; `EBADF`; the kernel's limits
    /// (`ENOSPC`, `ENOMEM`); for select, an fd that is not below `FD_SETSIZE`.
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()>;

    /// Changes token, interest and mode of `fd`, and re-arms it in the modes
    /// [`TriggerMode::Oneshot`] and [`TriggerMode::Edge`].
    ///
    /// # Errors
    ///
    /// `NotFound`, and the errors of [`register`](Selector::register).
    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()>;

    /// Removes the registration of `fd`.
    ///
    /// # Errors
    ///
    /// `NotFound`; `EBADF` if the fd is already closed; the registration is removed nevertheless.
    fn deregister(&mut self, fd: RawFd) -> io::Result<()>;

    /// Notes that a call on `fd` would have blocked in the directions of `interest`, so that the
    /// next readiness is a new edge. Does nothing if the kernel detects that itself.
    fn clear_readiness(&mut self, fd: RawFd, interest: Interest);

    /// Returns true if the kernel itself reports edges, including those of the end of the read side
    /// and of priority data. Then only files that are always ready need
    /// [`clear_readiness`](Selector::clear_readiness).
    fn has_edges(&self) -> bool;

    /// Waits until something is ready or `timeout` has passed, and replaces the contents of
    /// `events` by what is ready. Without a timeout it waits indefinitely. A timeout of more than
    /// [a day](crate::timeout::MAX_WAIT) may be cut to a day.
    ///
    /// Readiness without any of the [`UNSOLICITED`](crate::Readiness::UNSOLICITED) bits contains
    /// only directions of the interest.
    ///
    /// # Errors
    ///
    /// Only if the selector has become unusable.
    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()>;

    /// Removes every registration and replaces the kernel objects. The number of
    /// [`poll_fd`](Selector::poll_fd) and [user events](Selector::user_event) stay. In a forked
    /// child the parent keeps the old objects.
    ///
    /// # Errors
    ///
    /// The errors of creating a descriptor; then nothing has changed.
    fn reset(&mut self) -> io::Result<()>;

    /// Returns the kernel object that is readable while an event is pending, for a loop that is
    /// embedded in another one. `None` if the kernel has no such object (poll, select).
    ///
    /// The object is the same for the whole life of the selector, and stays open while a clone of
    /// this `Arc` exists.
    fn poll_fd(&self) -> Option<Arc<OwnedFd>>;

    /// Returns true if an event is pending that [`poll_fd`](Selector::poll_fd) does not show,
    /// because the kernel does not report files that are always ready.
    fn has_ready(&self) -> bool;

    /// Creates a user event: other threads can trigger it to make `select` report `token`, without
    /// a descriptor.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the kernel has no user events; use a [`Wakeup`](crate::Wakeup) with a
    /// descriptor instead.
    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>>;
}

/// An event of a selector that other threads trigger (`EVFILT_USER` of kqueue).
///
/// ```
/// use mainspring_sys::{Events, SelectorKind, Token};
/// use std::io::ErrorKind;
///
/// let mut selector = SelectorKind::available()[0].open()?;
/// match selector.user_event(Token::new(1, 0)) {
///     Ok(event) => {
///         std::thread::spawn(move || event.trigger()).join().unwrap()?;
///         let mut events = Events::with_capacity(1);
///         selector.select(&mut events, None)?;
///         assert_eq!(events.as_slice()[0].token, Token::new(1, 0));
///     }
///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait UserEvent: fmt::Debug + Send + Sync {
    /// Makes the selector report the event once. Several triggers before the report are merged.
    ///
    /// # Errors
    ///
    /// If the kernel object of the selector is gone.
    fn trigger(&self) -> io::Result<()>;
}

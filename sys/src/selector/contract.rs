//! The trait of a selector, and an author's guide.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Events, Interest, Token, TriggerMode};

/// A way to ask the kernel which descriptors are ready. The [module](super) text is the
/// contract.
///
/// The loop takes its selector as a value, so another crate can provide one. A selector is part of
/// its loop, which holds its tables during each call: a selector must not call the loop.
///
/// # Writing a selector
///
/// No method has a default, so that a wrapper cannot forget one silently. A selector that wraps
/// another one forwards every method, [`has_ready`](Selector::has_ready),
/// [`poll_fd`](Selector::poll_fd) and [`user_event`](Selector::user_event) included. A selector that
/// asks the kernel itself answers as follows where a method does not concern it:
///
/// | method | answer | consequence |
/// |---|---|---|
/// | `clear_readiness` | nothing | right if the kernel itself sees that an fd stops being ready |
/// | `has_edges` | `false` | streams are watched by level |
/// | `poll_fd` | `None` | the loop cannot be embedded in another one |
/// | `has_ready` | `false` | right if `poll_fd` shows every event |
/// | `user_event` | `Err(ErrorKind::Unsupported.into())` | other threads wake the loop by a descriptor |
///
/// The loop registers each fd once, under a token of its own choice, and deregisters it before it
/// is closed. It calls `reset` if events keep coming for a token that it does not own, and then
/// registers everything again. The conformance suite in `sys/tests/conformance` of the source
/// repository checks the contract for any selector.
///
/// ```
/// use mainspring_sys::selector::{Selector, UserEvent};
/// use mainspring_sys::{Events, Interest, TriggerMode, SelectorKind, Token};
/// use std::io;
/// use std::os::fd::{OwnedFd, RawFd};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// /// Counts the waits of the selector inside.
/// #[derive(Debug)]
/// struct Counting {
///     inner: Box<dyn Selector>,
///     waits: usize,
/// }
///
/// impl Selector for Counting {
///     fn register(&mut self, fd: RawFd, token: Token, of: Interest, mode: TriggerMode) -> io::Result<()> {
///         self.inner.register(fd, token, of, mode)
///     }
///     fn reregister(&mut self, fd: RawFd, token: Token, of: Interest, mode: TriggerMode) -> io::Result<()> {
///         self.inner.reregister(fd, token, of, mode)
///     }
///     fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
///         self.inner.deregister(fd)
///     }
///     fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
///         self.inner.clear_readiness(fd, interest)
///     }
///     fn has_edges(&self) -> bool {
///         self.inner.has_edges()
///     }
///     fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
///         self.waits += 1;
///         self.inner.select(events, timeout)
///     }
///     fn reset(&mut self) -> io::Result<()> {
///         self.inner.reset()
///     }
///     fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
///         self.inner.poll_fd()
///     }
///     fn has_ready(&self) -> bool {
///         self.inner.has_ready()
///     }
///     fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>> {
///         self.inner.user_event(token)
///     }
/// }
///
/// let kind = SelectorKind::available()[0];
/// let mut counting = Counting { inner: kind.open()?, waits: 0 };
/// let mut events = Events::with_capacity(8);
/// counting.select(&mut events, Some(Duration::ZERO))?;
/// assert_eq!((events.len(), counting.waits), (0, 1));
/// # Ok::<(), io::Error>(())
/// ```
pub trait Selector: fmt::Debug {
    /// Begins to watch `fd`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, `InvalidInput` for an empty interest, `EBADF`, the kernel's limits
    /// (`ENOSPC`, `ENOMEM`), and of select an fd that is not below `FD_SETSIZE`.
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()>;

    /// Changes what is asked for `fd`, and re-arms it in the modes [`TriggerMode::Oneshot`] and
    /// [`TriggerMode::Edge`].
    ///
    /// # Errors
    ///
    /// `NotFound`, and those of [`register`](Selector::register).
    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()>;

    /// Ends watching `fd`.
    ///
    /// # Errors
    ///
    /// `NotFound`; `EBADF` if it was closed before, and then it is forgotten all the same.
    fn deregister(&mut self, fd: RawFd) -> io::Result<()>;

    /// Notes that a call on `fd` in the directions of `interest` would have blocked, so the next
    /// beginning of readiness is a new edge. Selectors whose kernel sees that itself do nothing.
    fn clear_readiness(&mut self, fd: RawFd, interest: Interest);

    /// Returns true if the kernel itself reports edges, those of the read side's end and of priority
    /// data included: then only files that are always ready need [`clear_readiness`](Selector::clear_readiness).
    fn has_edges(&self) -> bool;

    /// Waits until something is ready, or `timeout` is over, and replaces what is in `events` by
    /// what is ready. Without a timeout it waits for as long as it takes.
    ///
    /// Without one of the [unsolicited bits](crate::Readiness::UNSOLICITED), a report contains only
    /// what was asked for.
    ///
    /// # Errors
    ///
    /// Only those of a selector that has become unusable.
    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()>;

    /// Forgets every registration, with new kernel objects in the place of the old ones
    /// ([`poll_fd`](Selector::poll_fd) keeps its number). [User events](Selector::user_event) stay. In
    /// a forked child the parent keeps the old objects.
    ///
    /// # Errors
    ///
    /// The kernel refuses a new descriptor; then everything is as it was.
    fn reset(&mut self) -> io::Result<()>;

    /// The kernel object that is readable while an event waits, for a loop that is embedded in
    /// another one. None where the kernel has no such object (poll, select).
    ///
    /// The object is the same for the selector's whole life, and stays open while a copy of this
    /// `Arc` lives.
    fn poll_fd(&self) -> Option<Arc<OwnedFd>>;

    /// Returns true if an event waits that [`poll_fd`](Selector::poll_fd) does not show: the kernel
    /// does not report files that are always ready.
    fn has_ready(&self) -> bool;

    /// A way for other threads to make `select` report `token`, where the kernel has one that needs
    /// no descriptor.
    ///
    /// # Errors
    ///
    /// `Unsupported` where it has none; then a [`Wakeup`](crate::Wakeup) takes a descriptor.
    fn user_event(&mut self, token: Token) -> io::Result<Box<dyn UserEvent>>;
}

/// An event that other threads make happen in a selector (`EVFILT_USER` of kqueue).
pub trait UserEvent: fmt::Debug + Send + Sync {
    /// Makes the selector report the event once. Several triggers before the report are merged.
    ///
    /// # Errors
    ///
    /// The selector's kernel object is gone.
    fn trigger(&self) -> io::Result<()>;
}

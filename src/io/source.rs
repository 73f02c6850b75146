//! [`Io`]: a source that tasks can wait for, and calls on it as futures.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::Location;
use std::task::{Context, Poll};

use mainspring_sys::nonblocking::{self, BlockingMode};
use mainspring_sys::{Interest, Readiness};

use super::registration::Registration;
use super::transferred::Transferred;
use super::waiter::Waiter;
use crate::awaits::{await_fn, located, pending};
use crate::error::{Error, Result};
use crate::task::budget;
use crate::watchers::FdOwnership;

/// A source that tasks can wait for: a socket, a pipe, a terminal, a descriptor of a library.
///
/// All methods take `&self`, so one task can read while another one writes, and several tasks may
/// wait for the same readiness.
///
/// # Registration
///
/// The source is watched by the loop in which a call first had to wait, until the `Io` is dropped
/// or the loop is closed. A wait in another loop moves the registration there. If a task of the
/// first loop still waits for the source, the second wait returns the error `ResourceBusy` instead.
/// An accepted socket is registered at once. The registration always ends before the source is
/// closed. A file that was blocking is made blocking again.
///
/// Calls on a source that never blocks, for example a regular file, never wait.
///
/// # Sources without a destructor
///
/// A source without a destructor (`BorrowedFd`, a reference) cannot own its descriptor: a library
/// may close it and get the same number for its next socket. So each wait for such a source makes
/// one system call, which registers the file that has the number at that time. A library that reads
/// and writes by its own calls needs [`clear_readiness`](Io::clear_readiness) before each
/// [`ready`](Io::ready). If the source has a destructor and wraps a library's handle, create a new
/// `Io` when the library has changed its socket ([`into_inner`](Io::into_inner), [`new`](Io::new)).
///
/// After [`mem::forget`](std::mem::forget) of an `Io` with such a source, the fd stays registered
/// when the owner closes the file. The registration ends when another file gets the number.
/// Registering the same file under the same number, by dup(2), is the error
/// [`AlreadyWatched`](Error::AlreadyWatched).
///
/// # Fairness
///
/// In one tick at most 64 calls on a source complete, and none after 256 KiB. Further calls are
/// pending until the next tick, so a source that is always ready does not delay others.
///
/// # Cancel safety
///
/// Dropping a future of this type loses no data, except that [`write_all`](Io::write_all) may have
/// written a part: the poll in which a call succeeds is the one that returns its result.
///
/// ```
/// use mainspring::{EventLoop, Io};
/// use std::io::{Read, Write};
///
/// let (reader, writer) = std::io::pipe()?;
/// let (reader, writer) = (Io::new(reader)?, Io::new(writer)?);
/// let mut el = EventLoop::new()?;
/// el.run_until_complete(async move {
///     let writing = mainspring::spawn(async move { writer.write_all(b"hello").await });
///     let mut buffer = [0; 16];
///     let count = reader.read_with(|mut pipe| pipe.read(&mut buffer)).await?;
///     assert_eq!(&buffer[..count], b"hello");
///     writing.await??;
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct Io<T> {
    /// The first field, because it must be dropped before the source is closed.
    pub(super) registration: Registration,
    pub(super) source: T,
}

// The source is never pinned: calls borrow it.
impl<T> Unpin for Io<T> {}

impl<T: AsFd> Io<T> {
    /// Makes the source non-blocking. This needs no loop.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] names the fd. The source is dropped.
    ///
    /// ```
    /// use mainspring::{Interest, Io};
    /// use std::io::{Read, Write};
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let reader = Io::new(reader)?;
    /// writer.write_all(b"hello")?;
    /// let mut buffer = [0; 8];
    /// let count = reader.try_io(Interest::READABLE, |mut pipe| pipe.read(&mut buffer))?;
    /// assert_eq!(&buffer[..count], b"hello");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn new(source: T) -> Result<Io<T>> {
        Io::with_interest(source, Interest::READABLE | Interest::WRITABLE)
    }

    /// Like [`new`](Io::new), but watches the source for `interest` only.
    ///
    /// Use it with [`PRIORITY`](Interest::PRIORITY) for urgent data, or without
    /// [`WRITABLE`](Interest::WRITABLE) for a source that is never written.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] names the fd. An empty `interest` is an error, too. The source is dropped.
    #[track_caller]
    pub fn with_interest(source: T, interest: Interest) -> Result<Io<T>> {
        Io::with_interest_at(source, interest, Location::caller())
    }

    /// Creates an `Io` like [`with_interest`](Io::with_interest), for the caller at `location`.
    pub(crate) fn with_interest_at(
        source: T,
        interest: Interest,
        location: &'static Location<'static>,
    ) -> Result<Io<T>> {
        let fd = source.as_fd().as_raw_fd();
        let refused = |source| Error::Watch { operation: "watch", fd, source };
        if interest.is_empty() {
            return Err(refused(io::ErrorKind::InvalidInput.into()));
        }
        let blocking = nonblocking::begin(source.as_fd()).map_err(refused)?;
        let ownership = FdOwnership::of_borrowing::<T>();
        let registration = Registration::new(fd, interest, blocking, ownership, location);
        Ok(Io { registration, source })
    }

    /// Creates an `Io` for the caller at `location`. The source is non-blocking and owns its fd.
    pub(crate) fn nonblocking(
        source: T,
        interest: Interest,
        location: &'static Location<'static>,
    ) -> Io<T> {
        let fd = source.as_fd().as_raw_fd();
        let (never, owned) = (BlockingMode::NonBlocking, FdOwnership::Owned);
        Io { registration: Registration::new(fd, interest, never, owned, location), source }
    }
}

impl<T> Io<T> {
    /// Makes the registration level-triggered instead of edge-triggered. Then a successful call may
    /// be followed by [`clear_readiness`](Io::clear_readiness): a waiter is woken if anything is
    /// left.
    pub(crate) fn by_level(mut self) -> Io<T> {
        self.registration.set_level();
        self
    }

    /// Registers the source with the running loop now. This saves the call that would find out that
    /// the source is not ready.
    pub(crate) fn watched(self) -> Io<T> {
        self.registration.watch_now();
        self
    }

    /// Returns the source.
    pub fn get_ref(&self) -> &T {
        &self.source
    }

    /// Ends the registration and returns the source. A file that was blocking is blocking again.
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// let (reader, writer) = std::io::pipe()?;
    /// let mut reader = mainspring::Io::new(reader)?.into_inner();
    /// drop(writer);
    /// assert_eq!(reader.read(&mut [0; 8])?, 0);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        let Io { registration, source } = self;
        drop(registration);
        source
    }

    /// Completes when a read would not block: there is data, end of file, or an error.
    ///
    /// This is cached readiness. [`try_io`](Io::try_io) and the awaiting methods clear it on
    /// `WouldBlock`; a call made through [`get_ref`](Io::get_ref) does not.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`], [`Error::Watch`], [`Error::Closed`] if the loop cannot watch the
    /// source, or [`Error::NoLoop`] if no loop is running; each wrapped in an [`io::Error`].
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        located(|| "readable", async move { self.ready(Interest::READABLE).await.map(drop) })
    }

    /// Completes when a write would not block: there is room, or an error. Otherwise like
    /// [`readable`](Io::readable).
    ///
    /// # Errors
    ///
    /// Same as [`readable`](Io::readable).
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        located(|| "writable", async move { self.ready(Interest::WRITABLE).await.map(drop) })
    }

    /// Completes when the source is ready for any part of `interest`, and returns that part.
    /// Otherwise like [`readable`](Io::readable).
    ///
    /// # Errors
    ///
    /// The errors of [`readable`](Io::readable), and `InvalidInput` for an interest that the source
    /// is not [watched for](Io::with_interest).
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Readiness>> {
        located(|| "ready", async move {
            if let Err(error) = self.registration.check_interest(interest) {
                budget::step().await;
                return Err(error);
            }
            let waiter = Waiter::new(&self.registration, interest);
            await_fn(|| "ready", |cx| waiter.poll_ready(cx)).await
        })
    }

    /// Makes a call on the source without waiting.
    ///
    /// Return `WouldBlock` only if a system call on the descriptor did. It clears the cached
    /// readiness, and the next wait needs a new event.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the call would block; the errors of the call, and of [`ready`](Io::ready).
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.check_interest(interest)?;
        let called = self.registration.call(interest, || call(&self.source));
        let result = self.registration.classify(interest, called)?;
        result.ok_or(io::ErrorKind::WouldBlock.into())
    }

    /// Makes a reading call as soon as it would not block. The call must meet the condition of
    /// [`try_io`](Io::try_io), and may run several times.
    ///
    /// Cancel safe: if the future is dropped, no call has succeeded.
    ///
    /// # Errors
    ///
    /// The errors of the call, and of [`ready`](Io::ready).
    pub fn read_with<R>(
        &self,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.call_with(|| "read_with", Interest::READABLE, call, |_| Transferred::UNKNOWN)
    }

    /// Makes a writing call as soon as it would not block. Otherwise like
    /// [`read_with`](Io::read_with).
    ///
    /// # Errors
    ///
    /// Same as [`read_with`](Io::read_with).
    pub fn write_with<R>(
        &self,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.call_with(|| "write_with", Interest::WRITABLE, call, |_| Transferred::UNKNOWN)
    }

    // Neither this nor its callers are `async fn`, because each of those stores its arguments
    // twice. Four of them between a task and its system call were 2 to 5 % of an echo, and 200
    // bytes.
    #[inline]
    pub(super) fn call_with<R>(
        &self,
        name: impl Fn() -> &'static str,
        interest: Interest,
        mut call: impl FnMut(&T) -> io::Result<R>,
        transferred: impl Fn(&R) -> Transferred,
    ) -> impl Future<Output = io::Result<R>> {
        let waiter = Waiter::new(&self.registration, interest);
        await_fn(name, move |cx| waiter.poll_call(cx, || call(&self.source), &transferred))
    }

    #[inline]
    #[track_caller]
    pub(super) fn poll_call_with<R>(
        &self,
        name: impl Fn() -> &'static str,
        interest: Interest,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&T) -> io::Result<R>,
        transferred: impl Fn(&R) -> Transferred,
    ) -> Poll<io::Result<R>> {
        let ticket = self.registration.poll_ticket(interest);
        let call = || call(&self.source);
        let polled = self.registration.poll_call(ticket, interest, cx, call, transferred);
        pending(name, polled)
    }

    /// Polls for readiness, like [`ready`](Io::ready). Only the latest caller is woken; callers for
    /// [`Interest::WRITABLE`] are separate from all others.
    ///
    /// The readiness is kept until a call through [`try_io`](Io::try_io) returns `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Same as [`ready`](Io::ready).
    ///
    /// ```
    /// use mainspring::{EventLoop, Interest, Io};
    /// use std::future::poll_fn;
    ///
    /// let (reader, writer) = std::io::pipe()?;
    /// let (reader, writer) = (Io::new(reader)?, Io::new(writer)?);
    /// let ready = EventLoop::new()?.run_until_complete(async {
    ///     let ready = poll_fn(|cx| writer.poll_ready(cx, Interest::WRITABLE)).await?;
    ///     writer.write(b"x").await?;
    ///     poll_fn(|cx| reader.poll_ready(cx, Interest::READABLE)).await?;
    ///     std::io::Result::Ok(ready)
    /// })??;
    /// assert!(ready.contains(mainspring::Readiness::WRITABLE));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<Readiness>> {
        self.registration.check_interest(interest)?;
        let ticket = self.registration.poll_ticket(interest);
        pending(|| "poll_ready", self.registration.poll_ready(ticket, interest, cx))
    }

    /// Polls a call that reads, like [`read_with`](Io::read_with). Only the latest caller is woken.
    ///
    /// # Errors
    ///
    /// Same as [`read_with`](Io::read_with).
    #[track_caller]
    pub fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let name = || "poll_read_with";
        self.poll_call_with(name, Interest::READABLE, cx, call, |_| Transferred::UNKNOWN)
    }

    /// Polls a call that writes, like [`write_with`](Io::write_with). Only the latest caller is
    /// woken.
    ///
    /// # Errors
    ///
    /// Same as [`write_with`](Io::write_with).
    #[track_caller]
    pub fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let name = || "poll_write_with";
        self.poll_call_with(name, Interest::WRITABLE, cx, call, |_| Transferred::UNKNOWN)
    }

    /// Clears the cached readiness for `interest`, as if a call had returned `WouldBlock`. The next
    /// wait then needs a new event.
    ///
    /// Use it for a source that is known not to be ready: for example, a pipe that returned fewer
    /// bytes than requested is empty.
    pub fn clear_readiness(&self, interest: Interest) {
        self.registration.clear_readiness(interest);
    }
}

impl<T> AsFd for Io<T>
where
    T: AsFd,
{
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Io<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Io(fd {}, {:?})", self.registration.fd(), self.source)
    }
}

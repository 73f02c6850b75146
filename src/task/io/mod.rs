//! Any source as a future: something with a descriptor, and what to do when it is ready.
//!
//! ```text
//!   call ── would block ──► watched, once ──► wait ◄── cached ◄── edge of readiness
//!     ▲                                        │
//!     └──────────────────── wake ◄─────────────┘
//! ```
//!
//! A call is tried at once. Only when it would block is the source made known to the loop that
//! runs, for both directions, and it stays so: what the kernel tells is kept until a call finds the
//! opposite.

mod bytes;
mod chunk;
#[cfg(feature = "futures-io")]
mod futures_io;
mod registration;
mod transfer;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::task::{Context, Poll};

use mainspring_sys::blocking::{self, Blocking};
use mainspring_sys::{Interest, Readiness};

pub use self::chunk::ReadChunk;
use self::registration::Registration;
use self::transfer::Moved;
use crate::error::{Error, Result};
use crate::task::budget;
use crate::watchers::Ownership;

/// A source whose readiness can be awaited: a socket, a pipe, a terminal, a descriptor of a
/// library.
///
/// All methods take `&self`, so that one task can read while another one writes; several tasks may
/// wait for the same thing. Dropping a future that waits is harmless: nothing has happened yet.
///
/// The loop in which a call first had to wait watches the source until this is dropped, or the loop
/// is closed. A wait in another loop moves it there, unless a task of the first one waits for it:
/// then that is the error `ResourceBusy`. What a listener has accepted is watched at once. The kernel
/// forgets the source before it is closed, always. A file that was blocking is so again afterwards.
///
/// What never makes anyone wait, a regular file for example, never waits here either.
///
/// A source without a destructor (`BorrowedFd`, a reference) cannot own its descriptor: a library may
/// close it and get the same number for its next socket. So before each wait of such a source the
/// kernel is asked for the file that has the number then, which is one system call. A library that
/// reads and writes by its own calls needs [`clear_readiness`](Io::clear_readiness) before each
/// [`ready`](Io::ready). A source with a destructor that wraps a library's handle is given to a new
/// `Io` ([`into_inner`](Io::into_inner), [`new`](Io::new)) when the library has changed its socket.
///
/// A forgotten `Io` ([`mem::forget`](std::mem::forget)) of a lent source stays registered when the
/// owner closes the file. It gives way when another file gets the number. The same file under the
/// same number, by dup(2), is [`AlreadyWatched`](Error::AlreadyWatched).
///
/// A tick gives each source at most 64 calls that complete, and after 256 KiB no further one. A call
/// beyond that is pending until the next tick, so a source that is always ready delays no other.
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
    /// Ends before the source does: fields are dropped in this order.
    registration: Registration,
    source: T,
}

// Nobody pins the source: it is lent out.
impl<T> Unpin for Io<T> {}

impl<T: AsFd> Io<T> {
    /// Makes the source non-blocking, and ready to be awaited. This needs no loop.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] names the fd. The source is dropped then.
    pub fn new(source: T) -> Result<Io<T>> {
        Io::with_interest(source, Interest::READABLE | Interest::WRITABLE)
    }

    /// As [`new`](Io::new), for a source that is watched for just this: with
    /// [`PRIORITY`](Interest::PRIORITY) for urgent data too, without
    /// [`WRITABLE`](Interest::WRITABLE) for one that is never written.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] names the fd; the interest is empty. The source is dropped then.
    pub fn with_interest(source: T, interest: Interest) -> Result<Io<T>> {
        let fd = source.as_fd().as_raw_fd();
        let refused = |source| Error::Watch { operation: "watch", fd, source };
        if interest.is_empty() {
            return Err(refused(io::ErrorKind::InvalidInput.into()));
        }
        let blocking = blocking::begin(source.as_fd()).map_err(refused)?;
        let ownership = Ownership::of_borrowing::<T>();
        let registration = Registration::new(fd, interest, blocking, ownership);
        Ok(Io { registration, source })
    }

    /// Of a source that never was blocking.
    pub(crate) fn nonblocking(source: T, interest: Interest) -> Io<T> {
        let fd = source.as_fd().as_raw_fd();
        let (never, owned) = (Blocking::Never, Ownership::Owned);
        Io { registration: Registration::new(fd, interest, never, owned), source }
    }
}

impl<T> Io<T> {
    /// Has it watched by level: whoever waits is told of all that is left, so a call that has
    /// succeeded may be followed by [`clear_readiness`](Io::clear_readiness).
    pub(crate) fn by_level(mut self) -> Io<T> {
        self.registration.by_level();
        self
    }

    /// Has the loop that runs watch it from now on, and saves the call that would find out that one
    /// has to wait.
    pub(crate) fn watched(self) -> Io<T> {
        self.registration.watch_now();
        self
    }

    /// The source.
    pub fn get_ref(&self) -> &T {
        &self.source
    }

    /// Ends watching, and gives the source back; blocking, if it was so before.
    pub fn into_inner(self) -> T {
        let Io { registration, source } = self;
        drop(registration);
        source
    }

    /// Completes when a read would not block: data, end of file or an error waits.
    ///
    /// That is what was last heard. [`try_io`](Io::try_io) and the calls that wait by themselves
    /// find out when it is not so any more; a call made on [`get_ref`](Io::get_ref) does not tell.
    ///
    /// # Errors
    ///
    /// The loop cannot watch the source: [`Error::AlreadyWatched`], [`Error::Watch`],
    /// [`Error::Closed`], [`Error::NoLoop`] where no loop runs, in an [`io::Error`].
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Completes when a write would not block: there is room, or an error waits. Otherwise as
    /// [`readable`](Io::readable).
    ///
    /// # Errors
    ///
    /// As [`readable`](Io::readable).
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// Completes when the source is ready for something in `interest`, and tells what for.
    /// Otherwise as [`readable`](Io::readable).
    ///
    /// # Errors
    ///
    /// As [`readable`](Io::readable); `InvalidInput` for an interest that the source is not
    /// [watched for](Io::with_interest).
    pub async fn ready(&self, interest: Interest) -> io::Result<Readiness> {
        if let Err(error) = self.registration.check(interest) {
            budget::step().await;
            return Err(error);
        }
        let waiter = self.registration.waiter(interest);
        poll_fn(|cx| waiter.poll_ready(cx)).await
    }

    /// Makes a call on the source without waiting. `WouldBlock` is the answer if it would block,
    /// and then it is known that the source is not ready.
    ///
    /// The call is to be `WouldBlock` only when one on the descriptor was: whoever then awaits
    /// readiness waits for it to begin anew.
    ///
    /// # Errors
    ///
    /// Those of the call, and of [`readable`](Io::readable).
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.check(interest)?;
        let settled = self
            .registration
            .settle(interest, self.registration.call(interest, || call(&self.source)))?;
        settled.ok_or(io::ErrorKind::WouldBlock.into())
    }

    /// Makes a call that reads, as soon as it does not block. See [`try_io`](Io::try_io) for what
    /// is asked of it.
    ///
    /// If the future is dropped, the call has not had any effect: the poll in which it succeeds is
    /// the one that returns its result.
    ///
    /// # Errors
    ///
    /// Those of the call, and of [`ready`](Io::ready).
    pub fn read_with<R>(
        &self,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.call_with(Interest::READABLE, call, |_| Moved::UNKNOWN)
    }

    /// Makes a call that writes, as soon as it does not block. Otherwise as
    /// [`read_with`](Io::read_with).
    ///
    /// # Errors
    ///
    /// As [`read_with`](Io::read_with).
    pub fn write_with<R>(
        &self,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.call_with(Interest::WRITABLE, call, |_| Moved::UNKNOWN)
    }

    /// No `async fn`, nor are those above it: each would keep its arguments twice, and lie between
    /// a system call and the task.
    #[inline]
    fn call_with<R>(
        &self,
        interest: Interest,
        mut call: impl FnMut(&T) -> io::Result<R>,
        moved: impl Fn(&R) -> Moved,
    ) -> impl Future<Output = io::Result<R>> {
        let waiter = self.registration.waiter(interest);
        poll_fn(move |cx| waiter.poll_call(cx, || call(&self.source), &moved))
    }

    #[inline]
    fn poll_call_with<R>(
        &self,
        interest: Interest,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&T) -> io::Result<R>,
        moved: impl Fn(&R) -> Moved,
    ) -> Poll<io::Result<R>> {
        let place = self.registration.poller(interest);
        self.registration.poll_call(place, interest, cx, || call(&self.source), moved)
    }

    /// [`read_with`](Io::read_with) for those who write futures by hand. As everywhere in std, only
    /// the latest caller is woken.
    ///
    /// # Errors
    ///
    /// As [`read_with`](Io::read_with).
    pub fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_call_with(Interest::READABLE, cx, call, |_| Moved::UNKNOWN)
    }

    /// [`write_with`](Io::write_with) for those who write futures by hand. As everywhere in std,
    /// only the latest caller is woken.
    ///
    /// # Errors
    ///
    /// As [`read_with`](Io::read_with).
    pub fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_call_with(Interest::WRITABLE, cx, call, |_| Moved::UNKNOWN)
    }

    /// Tells that a call on the source in the directions of `interest` would block, though none
    /// did: for whoever knows it otherwise. A pipe that gave less than was asked for is empty, for
    /// example, and need not be asked again. Readiness is then awaited to begin anew.
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

//! A source that the loop owns and lends to its callback.

use std::fmt;
use std::io::{self, IoSliceMut, Read};
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;

use mainspring_sys::error_class::end_of_terminal;
use mainspring_sys::nonblocking::{self, BlockingMode};
use mainspring_sys::{Interest, Readiness};

use super::callback::{Flow, KEEP, REMOVE};
use super::loop_core::LoopCore;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::watchers::WatcherId;

/// A watched source, which its callback borrows.
///
/// It derefs to `&T` only, so the source cannot be swapped while the kernel watches it. It
/// implements [`Read`] where `&T` does. It does not implement `Write`: a `write_all` that stops
/// half-way because the peer is slow would lose data. Write streams through a
/// [`Transport`](crate::net::Transport).
///
/// The source is always deregistered before it is closed. A pipe or a device that the loop made
/// non-blocking is blocking again when the last watcher of the file in this process ends; see
/// [`add_reader`](crate::LoopHandle::add_reader).
// The fields that an event needs come first, see `Watching`.
#[repr(C)]
pub struct Watched<T> {
    /// The source. `None` after `into_inner`.
    source: Option<T>,
    readiness: Readiness,
    /// True if the callback has ended its registration.
    removed: bool,
    /// Mode of the file, to restore it.
    blocking: BlockingMode,
    fd: RawFd,
    watch: WatcherId,
    key: Key,
    core: Rc<LoopCore>,
}

impl<T> Watched<T> {
    pub(crate) fn new(
        source: T,
        core: Rc<LoopCore>,
        fd: RawFd,
        watch: WatcherId,
        key: Key,
        blocking: BlockingMode,
    ) -> Watched<T> {
        let (source, readiness, removed) = (Some(source), Readiness::empty(), false);
        Watched { source, fd, core, watch, key, readiness, removed, blocking }
    }

    /// Returns the readiness of the source.
    pub fn readiness(&self) -> Readiness {
        self.readiness
    }

    /// Returns the interest of the callback.
    pub fn interest(&self) -> Interest {
        self.core.watchers.borrow().interest(self.watch, self.key())
    }

    /// Changes the interest of the callback, like
    /// [`LoopHandle::set_interest`](crate::LoopHandle::set_interest). An empty interest pauses it:
    /// the kernel does not watch the source until it gets another one.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if the kernel refuses, in which case the interest is unchanged;
    /// [`Error::Gone`] after [`cancel`](Watched::cancel).
    pub fn set_interest(&mut self, interest: Interest) -> Result<()> {
        self.core.set_interest(self.watch, self.key(), interest)
    }

    /// Ends watching: the callback is not called again. The source is dropped when the callback
    /// returns.
    pub fn cancel(&mut self) {
        self.core.unwatch(self.watch, self.key());
        self.removed = true;
    }

    /// Ends watching and returns the source. An associated function, because `T` may have a method
    /// of that name.
    ///
    /// # Panics
    ///
    /// If the source was already taken. Other uses of the source after this call panic as well; the
    /// callback is not called again.
    #[track_caller]
    pub fn into_inner(this: &mut Watched<T>) -> T {
        this.cancel();
        this.restore_blocking();
        this.source.take().expect(TAKEN)
    }

    /// Begins a call of the callback. Returns an error if the fd was closed behind the loop's back.
    #[inline]
    pub(crate) fn begin(&mut self, readiness: Readiness) -> Result<()> {
        self.readiness = readiness;
        if readiness.contains(Readiness::INVALID) {
            Err(Error::closed_while_watched(self.fd))
        } else {
            Ok(())
        }
    }

    /// Notes that a call on the source returned `WouldBlock`, so its readiness is used up.
    pub(crate) fn clear_readiness(&self) {
        let key = self.key();
        self.core.watchers.borrow_mut().clear_readiness(self.watch, key, Interest::all());
    }

    /// Returns the result of a call of the callback that has not failed.
    #[inline]
    pub(crate) fn flow(&self) -> Flow {
        if self.removed { REMOVE } else { KEEP }
    }

    /// Returns the key of the callback that owns the source. It is not `self.key` if the callback
    /// was replaced while it runs.
    fn key(&self) -> Key {
        self.core.current_owner(self.key)
    }

    /// Gives the source to the callback `key`.
    pub(crate) fn rename(&mut self, key: Key) {
        self.key = key;
        self.removed = false;
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Returns `WouldBlock` for a blocking file with nothing to read.
    fn check_ready(&self) -> io::Result<()> {
        if self.blocking == BlockingMode::Blocking && !nonblocking::is_ready(self.fd, false) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    fn restore_blocking(&mut self) {
        nonblocking::end(self.fd, mem::replace(&mut self.blocking, BlockingMode::NonBlocking));
    }
}

impl<T: AsFd> Watched<T> {
    /// Calls `call` with `&mut T`, for types with methods that need `&mut self`, such as those of
    /// inotify. An associated function, because `T` may have a method of that name.
    ///
    /// The source must keep its descriptor, which the kernel watches. If the descriptor changes,
    /// the watcher ends.
    ///
    /// ```
    /// use mainspring::{EventLoop, Watched};
    /// use std::io::{self, PipeReader, Read, Write};
    /// use std::os::fd::{AsFd, BorrowedFd};
    ///
    /// /// A device that sends samples of one byte.
    /// struct Sensor {
    ///     pipe: PipeReader,
    ///     samples: usize,
    /// }
    ///
    /// impl Sensor {
    ///     fn sample(&mut self) -> io::Result<u8> {
    ///         let mut byte = [0];
    ///         self.pipe.read_exact(&mut byte)?;
    ///         self.samples += 1;
    ///         Ok(byte[0])
    ///     }
    /// }
    ///
    /// impl AsFd for Sensor {
    ///     fn as_fd(&self) -> BorrowedFd<'_> {
    ///         self.pipe.as_fd()
    ///     }
    /// }
    ///
    /// let (pipe, mut writer) = std::io::pipe()?;
    /// writer.write_all(b"ab")?;
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// el.add_reader(Sensor { pipe, samples: 0 }, |_, seen, sensor| {
    ///     seen.push(Watched::with_mut(sensor, Sensor::sample)??); // called again for the next one
    ///     if seen.len() == 2 {
    ///         sensor.cancel();
    ///     }
    ///     Ok(())
    /// })?;
    /// el.run()?;
    /// assert_eq!(el.state(), b"ab");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if the source has another descriptor after the call.
    ///
    /// # Panics
    ///
    /// If the source was taken by [`into_inner`](Watched::into_inner).
    #[track_caller]
    pub fn with_mut<R>(this: &mut Watched<T>, call: impl FnOnce(&mut T) -> R) -> Result<R> {
        let source = this.source.as_mut().expect(TAKEN);
        let result = call(source);
        if source.as_fd().as_raw_fd() == this.fd {
            return Ok(result);
        }
        this.cancel();
        Err(Error::closed_while_watched(this.fd))
    }
}

const TAKEN: &str = "the source was taken by into_inner";

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.restore_blocking();
    }
}

impl<T> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.source.as_ref().expect(TAKEN)
    }
}

/// At the end of a pseudo terminal these return 0, also on Linux, where read(2) fails with EIO.
impl<T: AsFd> Read for Watched<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check_ready()?;
        end_of_terminal(&**self, (&**self).read(buffer))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.check_ready()?;
        end_of_terminal(&**self, (&**self).read_vectored(buffers))
    }
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("source", &self.source)
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

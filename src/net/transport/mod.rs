//! A transport: a stream that the loop reads and writes.
//!
//! Reading happens when the stream is ready, into one buffer that all transports share, so an idle
//! connection costs no buffer. Writing is tried at once; only what the kernel does not take is
//! queued, and only then is the stream watched for writing. So a request and its answer cost two
//! system calls, and none that changes a registration.
//!
//! # Turns
//!
//! A stream that is ready is read until a read brings less than there was room for, but only so
//! often before others have their turn. TCP is watched for edges where the kernel has them, since by
//! level it looks at each socket twice. There a turn that leaves something has itself called in the
//! next tick. A read over TCP also stops short at urgent data and before the end. The kernel tells
//! both, and then it is read until a read would block.
//!
//! # Invariants
//!
//! * The kernel is asked for exactly what `Inner::wanted` says.
//! * `QUEUED` is set while the queue is not empty.
//! * Bytes are written in the order of the `write` calls: none is tried while others are queued.
//! * Once `DONE` is set nothing is read or written any more; what follows is `connection_lost`.
//! * While reading is wanted of a stream that is watched for edges, either a read has found nothing
//!   more, or an event is to come, or `MORE` is set and the callback is fed.
//! * There is a timer while `LINGERING` is set and `DONE` is not.

mod accepted;
mod below;
mod ending;
mod flags;
mod inner;
mod limit;
mod moments;
mod shared_file;
mod slot;

use std::cell::Cell;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::socket::Address;

use self::accepted::Accepted;
use self::flags::Flags;
use self::inner::Inner;
pub(crate) use self::moments::Tide;
pub(crate) use self::shared_file::SharedFile;
use self::shared_file::SharedPlace;
use self::slot::Slot;
use super::socket::Socket;
use super::stream::TransportStream;
use crate::error::{Error, Result};
use crate::event_loop::loop_core::LoopCore;
use crate::handle::Key;

/// A connection, to write to it and to end it. Clones are the same connection.
///
/// A transport outlives its connection harmlessly: writing to a closed one does nothing.
#[derive(Clone)]
pub struct Transport {
    inner: Rc<Inner<dyn Slot>>,
}

impl Transport {
    /// A transport whose callback will be under `key`. Nothing is watched yet.
    pub(crate) fn new<T: TransportStream + 'static>(
        core: Rc<LoopCore>,
        stream: T,
        key: Key,
    ) -> Transport {
        let fd = stream.reader().as_raw_fd();
        Transport { inner: Rc::new(Inner::new(core, key, fd, Cell::new(Some(stream)))) }
    }

    /// Like [`new`](Transport::new), for files that others share.
    pub(crate) fn shared<T: TransportStream + 'static>(
        core: Rc<LoopCore>,
        file: SharedFile<T>,
        key: Key,
    ) -> Transport {
        let fd = file.reader().as_raw_fd();
        Transport { inner: Rc::new(Inner::new(core, key, fd, SharedPlace::new(file))) }
    }

    /// Like [`new`](Transport::new), for a socket that was accepted from `peer`.
    pub(crate) fn accepted(
        core: Rc<LoopCore>,
        socket: Socket,
        peer: &Address,
        key: Key,
    ) -> Transport {
        let fd = socket.as_fd().as_raw_fd();
        Transport { inner: Rc::new(Inner::new(core, key, fd, Accepted::new(socket, peer))) }
    }

    /// Writes `data`: at once as much as the kernel takes, the rest as the peer reads. Never
    /// blocks, never fails for want of room; an error of the stream ends the connection and comes
    /// to `connection_lost`, after the input that has arrived by then.
    ///
    /// After [`close`](Transport::close) or [`shutdown_write`](Transport::shutdown_write), and when
    /// the connection is over, the bytes are dropped: [`try_write`](Transport::try_write) returns that
    /// as an error. In the [debug mode](crate::EventLoopBuilder::debug), bytes after an end that this side asked
    /// for are reported with the line of the call.
    #[inline]
    #[track_caller]
    pub fn write(&self, data: &[u8]) {
        let inner = &*self.inner;
        if data.is_empty() {
            return;
        }
        if inner.has(Flags::CAREFUL_WRITE) {
            return inner.write_one_carefully(data);
        }
        let written = inner.stream.write(data);
        if !matches!(written, Ok(count) if count >= data.len()) {
            inner.queue_rest(written, &[IoSlice::new(data)]);
        }
    }

    /// Like [`write`](Transport::write), but returns an error where that would drop the bytes. A peer
    /// may still end before it gets them.
    ///
    /// # Errors
    ///
    /// [`Error::WriteClosed`] after [`close`](Transport::close) or
    /// [`shutdown_write`](Transport::shutdown_write), and when the connection is over.
    ///
    /// ```
    /// use mainspring::{Error, EventLoop};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let el = EventLoop::new()?;
    /// let conn = el.attach(ours, |_el, _state, _conn, _data| Ok(()))?;
    /// conn.try_write(b"last words")?;
    /// conn.close();
    /// assert!(matches!(conn.try_write(b"too late"), Err(Error::WriteClosed { bytes: 8, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_write(&self, data: &[u8]) -> Result<()> {
        if self.inner.has(Flags::MUTE) {
            return Err(Error::WriteClosed { fd: self.inner.fd, bytes: data.len() });
        }
        self.write(data);
        Ok(())
    }

    /// Writes several slices as if they were one, with one system call if nothing is queued. Otherwise
    /// like [`write`](Transport::write).
    #[track_caller]
    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) {
        let inner = &*self.inner;
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length == 0 {
            return;
        }
        if inner.has(Flags::CAREFUL_WRITE) {
            return inner.write_carefully(slices, length);
        }
        let written = inner.stream.write_vectored(slices);
        if !matches!(written, Ok(count) if count >= length) {
            inner.queue_rest(written, slices);
        }
    }

    /// How many bytes wait for the peer.
    pub fn queued(&self) -> usize {
        self.inner.queued()
    }

    /// Sets below how many queued bytes the protocol is told to resume writing, and above how many
    /// to pause. Default: 16 KiB and 64 KiB.
    ///
    /// # Panics
    ///
    /// If `low` is above `high`.
    #[track_caller]
    pub fn set_water_marks(&self, low: u32, high: u32) {
        assert!(low <= high, "the low-water mark must not be above the high one");
        self.inner.rest().water.set((low, high));
        self.inner.feed();
    }

    /// Stops reading, until [`resume_reading`](Transport::resume_reading): the peer is slowed down
    /// by its own full buffers. That it has gone is learned when something is written, or when
    /// reading goes on.
    ///
    /// An error of writing ends the pause: the input that has arrived is delivered, then
    /// `connection_lost` gets the error.
    pub fn pause_reading(&self) {
        self.inner.pause(Flags::PAUSED);
    }

    /// Reads again; if the default [`pause_writing`](super::Protocol::pause_writing) waits for the
    /// queue, not before that is short enough.
    pub fn resume_reading(&self) {
        self.inner.unset(Flags::PAUSED);
        self.inner.settle();
    }

    /// Stops reading until [`release_reading`](Transport::release_reading), whatever the user says
    /// meanwhile.
    pub(crate) fn hold_reading(&self) {
        self.inner.pause(Flags::HELD);
    }

    /// Reads again, unless the user has paused it.
    pub(crate) fn release_reading(&self) {
        self.inner.unset(Flags::HELD);
        self.inner.settle();
    }

    /// Whether the stream is read.
    #[inline]
    pub fn is_reading(&self) -> bool {
        !self.inner.has(Flags::DEAF | Flags::FAILING)
    }

    /// Closes the connection when everything queued is sent; what comes in from now on is nobody's.
    ///
    /// The kernel resets a socket that is closed while its peer still sends, and the peer loses the
    /// last of what was sent. So unless the peer's end has come already, the peer is told that
    /// nothing more comes, and the connection is kept until its end comes, an error, or two seconds
    /// have gone by; only then it is over, and `connection_lost` is told. Until then it holds its
    /// descriptor, and keeps [`run`](crate::EventLoop::run) going.
    ///
    /// A peer that takes nothing of the queue for a minute is given up, with the error
    /// [`TimedOut`](crate::Error::TimedOut). A slow peer that takes something now and then is sent
    /// everything, however long that takes; [`close_within`](Transport::close_within) bounds it.
    /// [`abort`](Transport::abort) does not wait, and cuts the wait short.
    pub fn close(&self) {
        self.close_limited(None);
    }

    /// Like [`close`](Transport::close), but within `limit`: sending what is queued and waiting for
    /// the peer's end together. Then the connection is over: with the error
    /// [`TimedOut`](crate::Error::TimedOut) if not everything was sent, else without an error.
    ///
    /// A connection that closes already gets the limit as well, unless an earlier one is in force.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let conn = el.attach(ours, |_, _, _, _| Ok(()))?;
    /// conn.write(&[0; 1 << 20]); // more than the kernel takes, and the peer does not read
    /// conn.close_within(Duration::from_secs(5));
    /// el.run()?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(5));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn close_within(&self, limit: Duration) {
        self.close_limited(Some(limit));
    }

    fn close_limited(&self, limit: Option<Duration>) {
        let inner = &*self.inner;
        if inner.has(Flags::DONE) || limit.is_none() && inner.has(Flags::CLOSING) {
            return;
        }
        let begins = !inner.has(Flags::CLOSING);
        inner.set(Flags::CLOSING);
        if limit.is_some() || inner.has(Flags::PENDING) {
            inner.limit_closing(limit);
        }
        match inner.has(Flags::PENDING) {
            true => inner.settle(),
            false if begins => inner.finish(),
            false => {}
        }
    }

    /// Ends the connection with the error [`TimedOut`](crate::Error::TimedOut) when no byte has
    /// moved in either direction for `limit`; `None` lifts that.
    ///
    /// The limit costs no timer operation for each byte: when it runs out, it is armed again for
    /// what is left since bytes moved last. A connection whose reading is paused is idle, too.
    /// [`close`](Transport::close) has limits of its own.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::{os::unix::net::UnixStream, time::Duration};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let conn = el.attach(ours, |_, _, _, _| Ok(()))?;
    /// conn.set_idle_limit(Some(Duration::from_secs(30)));
    /// el.run()?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(30));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_idle_limit(&self, limit: Option<Duration>) {
        self.inner.limit_idleness(limit);
    }

    /// Closes the connection now; what is queued here is dropped.
    ///
    /// This is close(2) and asks for no reset: what the kernel has taken is still sent, then the
    /// end. The kernel itself resets a TCP connection that is closed with unread input, and one
    /// whose peer sends more afterwards. [`reset`](Transport::reset) always resets.
    pub fn abort(&self) {
        if !self.inner.has(Flags::DONE) {
            self.inner.done();
        }
    }

    /// Tells the peer, when everything queued is sent, that nothing more comes. Reading goes on. When
    /// the peer's end has come too, the connection is over.
    pub fn shutdown_write(&self) {
        let inner = &*self.inner;
        if !inner.has(Flags::MUTE) {
            inner.set(Flags::SHUTTING);
            inner.finish();
        }
    }

    /// Whether the connection is over, or to be closed.
    pub fn is_closing(&self) -> bool {
        self.inner.has(Flags::CLOSING | Flags::FAILING | Flags::DONE)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.inner.flags.get();
        write!(f, "Transport(fd {}, {} queued, {flags:?})", self.inner.fd, self.queued())
    }
}

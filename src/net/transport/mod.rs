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

mod ending;
mod flags;
mod inner;
mod moments;
mod slot;

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use mainspring_sys::Interest;
use mainspring_sys::socket::{self, Address};

use self::flags::Flags;
use self::inner::{Inner, NO_TURN};
pub(crate) use self::moments::Tide;
use self::slot::Slot;
use super::stream::Stream;
use crate::event_loop::core::Core;
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
    pub(crate) fn new<T: Stream + 'static>(core: Rc<Core>, stream: T, key: Key) -> Transport {
        let fd = stream.reader().as_raw_fd();
        let inner = Inner {
            core,
            key,
            watches: Cell::new([None; 2]),
            rest: OnceCell::new(),
            fd,
            interest: Cell::new(Interest::empty()),
            latest_turn: Cell::new(NO_TURN),
            flags: Cell::new(Flags::empty()),
            stream: Cell::new(Some(stream)),
        };
        Transport { inner: Rc::new(inner) }
    }

    /// Writes `data`: at once as much as the kernel takes, the rest as the peer reads. Never
    /// blocks, never fails for want of room; an error of the stream ends the connection and comes
    /// to `connection_lost`, after the input that has arrived by then. After [`close`](Transport::close) or
    /// [`shutdown_write`](Transport::shutdown_write), and when the connection is over, it does
    /// nothing.
    #[inline]
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

    /// Writes several slices as if they were one, with one system call if nothing is queued.
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
    /// [`abort`](Transport::abort) does not wait, and cuts the wait short.
    pub fn close(&self) {
        let inner = &*self.inner;
        if inner.has(Flags::CLOSING | Flags::DONE) {
            return;
        }
        inner.set(Flags::CLOSING);
        if inner.has(Flags::PENDING) { inner.settle() } else { inner.finish() }
    }

    /// Closes the connection now; what is queued is dropped.
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

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// As getpeername(2); `NotConnected` when the connection is over.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.address(|stream| socket::peer_addr(stream.reader()))
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// As getsockname(2); `NotConnected` when the connection is over.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.address(|stream| socket::local_addr(stream.reader()))
    }

    fn address(&self, ask: impl Fn(&dyn Stream) -> io::Result<Address>) -> io::Result<Address> {
        let mut address = Err(io::ErrorKind::NotConnected.into());
        self.inner.stream.with(&mut |stream| address = ask(stream));
        address
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.inner.flags.get();
        write!(f, "Transport(fd {}, {} queued, {flags:?})", self.inner.fd, self.queued())
    }
}

//! A transport: a stream that the loop reads and writes.
//!
//! Reading happens when the stream is ready, once an event, into one buffer that all transports
//! share, so an idle connection costs no buffer. Writing is tried at once; only what the kernel
//! does not take is queued, and only then is the stream watched for writing. So a request and its
//! answer cost two system calls, and none that changes a registration.
//!
//! # Invariants
//!
//! * The kernel is asked for exactly what [`Inner::wanted`] says.
//! * Bytes are written in the order of the `write` calls: none is tried while others are queued.
//! * Once `DONE` is set nothing is read or written any more; what follows is `connection_lost`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use bitflags::bitflags;
use mainspring_sys::socket::{self, Address};
use mainspring_sys::{Interest, Mode, fd};

use super::stream::Stream;
use crate::error::{Error, Result};
use crate::event_loop::core::Core;
use crate::handle::Key;
use crate::watchers::{Role, Watch};

bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Flags: u16 {
        /// The user has paused reading.
        const PAUSED = 1;
        /// The peer sends nothing more.
        const EOF = 1 << 1;
        /// To be closed when the queue is empty.
        const CLOSING = 1 << 2;
        /// To tell the peer that nothing more comes, when the queue is empty.
        const SHUTTING = 1 << 3;
        /// The peer has been told.
        const SHUT = 1 << 4;
        /// Over; `connection_lost` is due.
        const DONE = 1 << 5;
        /// The protocol knows that the queue is too long.
        const TOLD = 1 << 6;
        /// The callback is in the ready deque because of a change.
        const FED = 1 << 7;
    }
}

/// When a protocol is told that its queue is too long, and when that it is short again, in bytes.
const HIGH: u32 = 64 * 1024;
const LOW: u32 = 16 * 1024;

/// What is left of the capacity of an empty queue; a connection that was once slow does not keep
/// its queue.
const KEEP: usize = 4 * 1024;

/// A connection, to write to it and to end it. Clones are the same connection.
///
/// A transport outlives its connection harmlessly: writing to a closed one does nothing.
#[derive(Clone)]
pub struct Transport {
    inner: Rc<Inner<dyn Slot>>,
}

/// The place of a stream that can be closed while handles to it remain.
pub(crate) trait Slot {
    /// Uses the stream, if it is open. It is out of its place meanwhile: a stream of the user's own
    /// may call back here.
    fn with(&self, call: &mut dyn FnMut(&mut dyn Stream));

    /// Takes the stream out for good.
    fn close(&self);
}

impl<T: Stream> Slot for Cell<Option<T>> {
    fn with(&self, call: &mut dyn FnMut(&mut dyn Stream)) {
        if let Some(stream) = self.take() {
            let mut lent = Lent { place: self, stream: Some(stream) };
            lent.stream.iter_mut().for_each(|stream| call(stream));
        }
    }

    fn close(&self) {
        drop(self.take());
    }
}

/// A stream that is in use. It goes back to its place also when the use ends in a panic: the kernel
/// still knows it.
struct Lent<'a, T> {
    place: &'a Cell<Option<T>>,
    stream: Option<T>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.place.set(self.stream.take());
    }
}

pub(crate) struct Inner<T: ?Sized> {
    core: Rc<Core>,
    key: Cell<Key>,
    watches: Cell<[Option<Watch>; 2]>,
    fd: RawFd,
    flags: Cell<Flags>,
    water: Cell<(u32, u32)>,
    interest: Cell<Interest>,
    queue: RefCell<VecDeque<u8>>,
    error: Cell<Option<Box<Error>>>,
    stream: T,
}

impl Transport {
    /// A transport whose callback will be under `key`. Nothing is watched yet.
    pub(crate) fn new<T: Stream + 'static>(core: Rc<Core>, stream: T, key: Key) -> Transport {
        let fd = stream.reader().as_raw_fd();
        let inner = Inner {
            core,
            key: Cell::new(key),
            watches: Cell::new([None; 2]),
            fd,
            flags: Cell::new(Flags::empty()),
            water: Cell::new((LOW, HIGH)),
            interest: Cell::new(Interest::empty()),
            queue: RefCell::default(),
            error: Cell::new(None),
            stream: Cell::new(Some(stream)),
        };
        Transport { inner: Rc::new(inner) }
    }
}

impl Inner<dyn Slot> {
    fn has(&self, any: Flags) -> bool {
        self.flags.get().intersects(any)
    }

    fn set(&self, flags: Flags) {
        self.flags.set(self.flags.get() | flags);
    }

    fn unset(&self, flags: Flags) {
        self.flags.set(self.flags.get() - flags);
    }

    fn wanted(&self) -> Interest {
        let mut wanted = Interest::empty();
        if self.has(Flags::DONE) {
            return wanted;
        }
        if !self.has(Flags::PAUSED | Flags::EOF | Flags::CLOSING) {
            wanted |= Interest::READABLE;
        }
        if !self.queue.borrow().is_empty() {
            wanted |= Interest::WRITABLE;
        }
        wanted
    }

    /// Brings what the kernel is asked for in line with what is wanted.
    fn settle(&self) {
        let wanted = self.wanted();
        if self.interest.replace(wanted) == wanted {
            return;
        }
        let asked = match self.watches.get() {
            [Some(both), None] => self.ask(both, wanted),
            [reader, writer] => {
                let asked = reader.map_or(Ok(()), |it| self.ask(it, wanted & Interest::READABLE));
                asked.and(writer.map_or(Ok(()), |it| self.ask(it, wanted & Interest::WRITABLE)))
            }
        };
        if let Err(error) = asked {
            self.fail(error);
        }
    }

    fn ask(&self, watch: Watch, interest: Interest) -> Result<()> {
        self.core.set_interest(watch, self.key.get(), interest)
    }

    /// Has the callback run although nothing happened at the stream.
    fn feed(&self) {
        if !self.has(Flags::FED) {
            self.set(Flags::FED);
            self.core.feed(self.key.get());
        }
    }

    /// Writes once; what could not be written is the caller's to queue.
    fn try_write(&self, write: impl Fn(&dyn Stream) -> io::Result<usize>) -> usize {
        let mut written = Err(io::ErrorKind::WouldBlock.into());
        self.stream.with(&mut |stream| written = write(stream));
        match written {
            Ok(count) => count,
            Err(error) if is_retry(&error) => 0,
            Err(error) => {
                self.fail(error.into());
                0
            }
        }
    }

    /// Writes once if nothing is queued. Also gives what a stream of the user's own has written to
    /// us meanwhile: it comes after what this write leaves.
    fn write_now(&self, write: impl Fn(&dyn Stream) -> io::Result<usize>) -> (usize, VecDeque<u8>) {
        if self.queued() > 0 {
            return (0, VecDeque::new());
        }
        let written = self.try_write(write);
        let nothing = self.queued() == 0;
        (written, if nothing { VecDeque::new() } else { self.queue.take() })
    }

    /// Queues what was written meanwhile. The stream is watched for it already.
    fn append(&self, mut meanwhile: VecDeque<u8>) {
        if !self.has(Flags::DONE) {
            self.queue.borrow_mut().append(&mut meanwhile);
        }
    }

    fn can_write(&self) -> bool {
        !self.has(Flags::CLOSING | Flags::SHUTTING | Flags::SHUT | Flags::DONE)
    }

    fn enqueue(&self, bytes: &[u8]) {
        if bytes.is_empty() || self.has(Flags::DONE) {
            return;
        }
        self.queue.borrow_mut().extend(bytes);
        self.settle();
        let (_, high) = self.water.get();
        if self.queued() > high as usize && !self.has(Flags::TOLD) {
            self.feed();
        }
    }

    fn queued(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Writes once from the queue, and does what waits for its end.
    fn flush(&self) {
        let mut queue = self.queue.take();
        let (front, back) = queue.as_slices();
        let written = self.try_write(|stream| match back {
            [] => stream.write(front),
            back => stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]),
        });
        if self.has(Flags::DONE) {
            return;
        }
        queue.drain(..written);
        if queue.is_empty() && queue.capacity() > KEEP {
            queue = VecDeque::new();
        }
        // A stream of the user's own may have written to us meanwhile.
        let meanwhile = self.queue.replace(queue);
        self.queue.borrow_mut().extend(meanwhile);
        self.after_flush();
    }

    fn after_flush(&self) {
        if self.queued() == 0 {
            if self.has(Flags::SHUTTING) {
                self.shut();
            }
            if self.has(Flags::CLOSING) {
                self.done();
            }
        }
        self.settle();
    }

    fn shut(&self) {
        self.unset(Flags::SHUTTING);
        self.set(Flags::SHUT);
        let [reader, writer] = self.watches.get();
        if let Some(writer) = writer {
            self.core.unwatch(writer, self.key.get());
            self.watches.set([reader, None]);
        }
        let mut told = Ok(());
        self.stream.with(&mut |stream| told = stream.shutdown_write());
        match told {
            // The peer was faster: the end of the stream will say so.
            Err(error) if error.kind() != io::ErrorKind::NotConnected => self.fail(error.into()),
            _ => {}
        }
    }

    fn fail(&self, error: Error) {
        if !self.has(Flags::DONE) {
            self.error.set(Some(Box::new(error)));
            self.done();
        }
    }

    /// Ends the connection but for `connection_lost`. The kernel forgets the stream now.
    fn done(&self) {
        self.set(Flags::DONE);
        drop(self.queue.take());
        self.unwatch();
        self.feed();
    }

    fn unwatch(&self) {
        for watch in self.watches.take().into_iter().flatten() {
            self.core.unwatch(watch, self.key.get());
        }
    }
}

impl Transport {
    /// Writes `data`: at once as much as the kernel takes, the rest as the peer reads. Never
    /// blocks, never fails for want of room; an error of the stream ends the connection and comes
    /// to `connection_lost`. After [`close`](Transport::close) or
    /// [`shutdown_write`](Transport::shutdown_write), and when the connection is over, it does
    /// nothing.
    pub fn write(&self, data: &[u8]) {
        let inner = &*self.inner;
        if data.is_empty() || !inner.can_write() {
            return;
        }
        let (written, meanwhile) = inner.write_now(|stream| stream.write(data));
        inner.enqueue(&data[written..]);
        inner.append(meanwhile);
    }

    /// Writes several slices as if they were one, with one system call if nothing is queued.
    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) {
        let inner = &*self.inner;
        if !inner.can_write() || slices.iter().all(|slice| slice.is_empty()) {
            return;
        }
        let (mut written, meanwhile) = inner.write_now(|stream| stream.write_vectored(slices));
        for slice in slices {
            let skipped = written.min(slice.len());
            inner.enqueue(&slice[skipped..]);
            written -= skipped;
        }
        inner.append(meanwhile);
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
    pub fn set_water_marks(&self, low: u32, high: u32) {
        assert!(low <= high, "the low-water mark must not be above the high one");
        self.inner.water.set((low, high));
        self.inner.feed();
    }

    /// Stops reading, until [`resume_reading`](Transport::resume_reading): the peer is slowed down
    /// by its own full buffers.
    pub fn pause_reading(&self) {
        self.inner.set(Flags::PAUSED);
        self.inner.settle();
    }

    /// Reads again.
    pub fn resume_reading(&self) {
        self.inner.unset(Flags::PAUSED);
        self.inner.settle();
    }

    /// Whether the stream is read.
    pub fn is_reading(&self) -> bool {
        !self.inner.has(Flags::PAUSED | Flags::EOF | Flags::CLOSING | Flags::DONE)
    }

    /// Closes the connection when everything queued is sent; reads no more.
    pub fn close(&self) {
        let inner = &*self.inner;
        if inner.has(Flags::CLOSING | Flags::DONE) {
            return;
        }
        inner.set(Flags::CLOSING);
        if inner.queued() == 0 { inner.done() } else { inner.settle() }
    }

    /// Closes the connection now; what is queued is dropped.
    pub fn abort(&self) {
        if !self.inner.has(Flags::DONE) {
            self.inner.done();
        }
    }

    /// Tells the peer, when everything queued is sent, that nothing more comes. Reading goes on.
    pub fn shutdown_write(&self) {
        let inner = &*self.inner;
        if inner.can_write() {
            inner.set(Flags::SHUTTING);
            if inner.queued() == 0 {
                inner.shut();
            }
        }
    }

    /// Whether the connection is over, or to be closed.
    pub fn is_closing(&self) -> bool {
        self.inner.has(Flags::CLOSING | Flags::DONE)
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

    // ---- for the connection's callback ----

    /// Makes the stream non-blocking.
    pub(crate) fn make_nonblocking(&self) -> Result<()> {
        let mut made = Ok(());
        self.inner.stream.with(&mut |stream| {
            let writer = stream.writer().map(|writer| writer.as_raw_fd());
            let reader = stream.reader().as_raw_fd();
            made = [Some(reader), writer].into_iter().flatten().try_for_each(|fd| {
                let set = fd::set_nonblocking(fd, true);
                set.map(drop).map_err(|source| Error::Watch { operation: "watch", fd, source })
            });
        });
        made
    }

    /// Begins to watch the stream for reading; the place of its reader in the table.
    pub(crate) fn watch(&self) -> Result<Watch> {
        let inner = &*self.inner;
        let mut writer = None;
        inner.stream.with(&mut |stream| writer = stream.writer().map(|fd| fd.as_raw_fd()));
        let role = if writer.is_some() { Role::Reader } else { Role::Both };
        let watch =
            |fd, role, interest| inner.core.watch(fd, role, interest, Mode::Level, inner.key.get());
        let reading = watch(inner.fd, role, Interest::READABLE)?;
        inner.watches.set([Some(reading), None]);
        if let Some(fd) = writer {
            let writing = watch(fd, Role::Writer, Interest::empty());
            inner.watches.set([Some(reading), Some(writing.inspect_err(|_| inner.unwatch())?)]);
        }
        inner.interest.set(Interest::READABLE);
        Ok(reading)
    }

    /// Has the callback run in the next tick.
    pub(crate) fn feed(&self) {
        self.inner.feed();
    }

    /// The callback begins: what changes from now on it sees by itself.
    pub(crate) fn begin(&self) {
        self.inner.set(Flags::FED);
    }

    /// The callback ends. A moment of the tide may itself have turned it, which is for the next
    /// tick to tell.
    pub(crate) fn end(&self) {
        self.inner.unset(Flags::FED);
        if self.tide().is_some() {
            self.inner.feed();
        }
    }

    /// Reads once into the loop's buffer and hands over what came.
    pub(crate) fn receive<R>(&self, hand_over: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let inner = &*self.inner;
        let mut buffer = inner.core.read_buffer.take();
        buffer.resize(inner.core.limits.read_buffer, 0);
        let mut count = Err(io::ErrorKind::WouldBlock.into());
        inner.stream.with(&mut |stream| count = stream.read(&mut buffer));
        let handed = match count {
            // A stream of the user's own has ended the connection while it was read.
            Ok(_) if inner.has(Flags::CLOSING | Flags::DONE) => None,
            Ok(0) => {
                inner.set(Flags::EOF);
                inner.settle();
                Some(hand_over(&[]))
            }
            Ok(count) => Some(hand_over(&buffer[..count])),
            Err(error) if is_retry(&error) => None,
            Err(error) => {
                inner.fail(error.into());
                None
            }
        };
        inner.core.read_buffer.set(buffer);
        handed
    }

    pub(crate) fn flush(&self) {
        if !self.inner.has(Flags::DONE) && self.inner.queued() > 0 {
            self.inner.flush();
        }
    }

    /// What the protocol is to be told of its queue now, strictly in turn.
    pub(crate) fn turn_of_tide(&self) -> Option<Tide> {
        let tide = self.tide();
        match tide {
            Some(Tide::High) => self.inner.set(Flags::TOLD),
            Some(Tide::Low) => self.inner.unset(Flags::TOLD),
            None => {}
        }
        tide
    }

    fn tide(&self) -> Option<Tide> {
        let inner = &*self.inner;
        let (low, high) = inner.water.get();
        let (queued, told) = (inner.queued(), inner.has(Flags::TOLD));
        if inner.has(Flags::DONE) {
            None
        } else if !told && queued > high as usize {
            Some(Tide::High)
        } else if told && queued <= low as usize {
            Some(Tide::Low)
        } else {
            None
        }
    }

    pub(crate) fn fail(&self, error: Error) {
        self.inner.fail(error);
    }

    pub(crate) fn key(&self) -> Key {
        self.inner.key.get()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.inner.has(Flags::DONE)
    }

    /// Why the connection is over.
    pub(crate) fn take_error(&self) -> Option<Box<Error>> {
        self.inner.error.take()
    }

    /// Ends everything, for a callback that is dropped. The kernel forgets the stream before it is
    /// closed.
    pub(crate) fn detach(&self) {
        self.inner.set(Flags::DONE | Flags::FED);
        self.inner.unwatch();
        drop(self.inner.queue.take());
        self.inner.stream.close();
    }
}

/// The queue has passed a water mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tide {
    /// Above the high one.
    High,
    /// Below the low one.
    Low,
}

fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.inner.flags.get();
        write!(f, "Transport(fd {}, {} queued, {flags:?})", self.inner.fd, self.queued())
    }
}

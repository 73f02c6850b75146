//! What the kernel is asked for, and the queue.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::rc::Rc;

use mainspring_sys::Interest;

use super::flags::Flags;
use super::limit::Limit;
use super::slot::Slot;
use crate::error::{Error, Result};
use crate::event_loop::loop_core::LoopCore;
use crate::handle::Key;
use crate::net::socket::Socket;
use crate::watchers::WatcherId;

/// Reads of a stream in one tick, at most; then other callbacks run.
pub(super) const READS: usize = 8;
/// Bytes read from a stream in one tick after which no further read follows.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// Value of [`Inner::latest_turn`] before the first turn.
pub(super) const NO_TURN: u8 = 0;

/// What is left of the capacity of an empty queue; a connection that was once slow does not keep
/// its queue.
const KEEP: usize = 4 * 1024;

/// When a protocol is told that its queue is too long, and when that it is short again, in bytes.
const HIGH: u32 = 64 * 1024;
const LOW: u32 = 16 * 1024;

/// Bytes that are delivered at most after writing has failed. No kernel holds more by default; a
/// peer that can still send would otherwise decide when the error is reported.
const LAST_BYTES: usize = 64 * 1024 * 1024;

/// With the counts of its `Rc` it has the size of a cache line. What a request needs lies together,
/// in this order at the end.
#[repr(C)]
pub(crate) struct Inner<T: ?Sized> {
    pub(super) core: Rc<LoopCore>,
    pub(super) key: Key,
    pub(super) watches: Cell<[Option<WatcherId>; 2]>,
    /// Made for the first queue, error or end that is not the peer's.
    pub(super) rest: OnceCell<Box<Rest>>,
    pub(super) fd: RawFd,
    pub(super) interest: Cell<Interest>,
    /// Tick of the latest run that used up its reads or came without an event, modulo 255, plus one.
    pub(super) latest_turn: Cell<u8>,
    pub(super) flags: Cell<Flags>,
    pub(super) stream: T,
}

const _: () = assert!(size_of::<Inner<Cell<Option<Socket>>>>() <= 48);

/// What most connections do without for most of their life.
pub(super) struct Rest {
    pub(super) water: Cell<(u32, u32)>,
    pub(super) queue: RefCell<VecDeque<u8>>,
    pub(super) error: Cell<Option<Box<Error>>>,
    /// The operation that met the error, and its fd; reading unless `fail_writing` says otherwise.
    pub(super) failed: Cell<Option<(&'static str, RawFd)>>,
    /// While `TIMED` is set: the limit, and when bytes moved last.
    pub(super) limit: Cell<Option<Limit>>,
    pub(super) moved: Cell<u64>,
    /// While writing has failed: the bytes that are still delivered at most.
    pub(super) last_bytes: Cell<usize>,
    /// Property of a replaced callback.
    pub(super) kept: Cell<Option<Box<dyn Any>>>,
}

impl Rest {
    fn new() -> Box<Rest> {
        let (queue, error, failed, limit, moved, kept) = Default::default();
        let (water, last_bytes) = (Cell::new((LOW, HIGH)), Cell::new(LAST_BYTES));
        Box::new(Rest { water, queue, error, failed, limit, moved, last_bytes, kept })
    }
}

impl<T> Inner<T> {
    pub(super) fn new(core: Rc<LoopCore>, key: Key, fd: RawFd, stream: T) -> Inner<T> {
        Inner {
            core,
            key,
            watches: Cell::new([None; 2]),
            rest: OnceCell::new(),
            fd,
            interest: Cell::new(Interest::empty()),
            latest_turn: Cell::new(NO_TURN),
            flags: Cell::new(Flags::empty()),
            stream,
        }
    }
}

impl Inner<dyn Slot> {
    #[inline]
    pub(super) fn has(&self, any: Flags) -> bool {
        self.flags.get().intersects(any)
    }

    #[inline]
    pub(super) fn set(&self, flags: Flags) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    pub(super) fn unset(&self, flags: Flags) {
        self.flags.set(self.flags.get() - flags);
    }

    pub(super) fn rest(&self) -> &Rest {
        self.rest.get_or_init(Rest::new)
    }

    pub(super) fn wanted(&self) -> Interest {
        let mut wanted = Interest::empty();
        if self.has(Flags::DONE) {
            return wanted;
        }
        if self.has(Flags::LINGERING) || !self.has(Flags::DEAF) {
            wanted |= Interest::READABLE;
            if self.has(Flags::EDGE) {
                wanted |= Interest::PRIORITY; // A read stops short there.
            }
        }
        if self.has(Flags::PENDING) {
            wanted |= Interest::WRITABLE;
        }
        wanted
    }

    /// Brings what the kernel is asked for in line with what is wanted.
    pub(super) fn settle(&self) {
        let wanted = self.wanted();
        let before = self.interest.replace(wanted);
        if before == wanted {
            return;
        }
        if !wanted.contains(Interest::READABLE) {
            self.unset(Flags::MORE); // To be asked again, the kernel will look.
        } else if self.has(Flags::OWN) && !before.contains(Interest::READABLE) {
            self.look_inside();
        }
        let asked = match self.watches.get() {
            [Some(both), None] => self.ask(both, wanted),
            [reader, writer] => {
                let asked = reader.map_or(Ok(()), |it| self.ask(it, wanted & Interest::READABLE));
                asked.and(writer.map_or(Ok(()), |it| self.ask(it, wanted & Interest::WRITABLE)))
            }
        };
        if let Err(error) = asked {
            self.fail_writing(error);
        }
    }

    fn ask(&self, watch: WatcherId, interest: Interest) -> Result<()> {
        self.core.set_interest(watch, self.key, interest)
    }

    /// Stops reading, for the reason `why`.
    pub(super) fn pause(&self, why: Flags) {
        if !self.has(Flags::FAILING) {
            self.set(why);
            self.settle();
        }
    }

    /// A turn ends, perhaps with input left. Has the callback go on in the next tick, unless the
    /// kernel tells it to, or nobody wants it.
    #[cold]
    pub(super) fn leave_more(&self) {
        if self.has(Flags::EDGE | Flags::OWN) && self.interest.get().contains(Interest::READABLE) {
            self.set(Flags::MORE);
            self.feed();
        }
    }

    /// Has the callback read on if the stream may hold input that the kernel does not report.
    #[cold]
    pub(super) fn look_inside(&self) {
        if self.holds_more() {
            self.leave_more();
        }
    }

    /// Returns true if the stream may hold input that the kernel does not report.
    pub(super) fn holds_more(&self) -> bool {
        let mut has_more = false;
        if self.has(Flags::OWN) {
            self.stream.with(&mut |stream| has_more = stream.has_buffered());
        }
        has_more
    }

    /// Gives the kernel what the stream has taken and still holds.
    #[cold]
    pub(super) fn flush_stream(&self) {
        if !self.has(Flags::OWN) || self.has(Flags::DONE | Flags::FAILING | Flags::LINGERING) {
            return;
        }
        let mut flushed = Ok(());
        self.stream.with(&mut |stream| flushed = stream.flush());
        match flushed {
            Ok(()) => {
                self.unset(Flags::UNSENT);
                self.finish();
            }
            Err(error) if is_retry(&error) => self.set(Flags::UNSENT),
            Err(error) => return self.fail_writing(error.into()),
        }
        self.settle();
    }

    /// Queues the callback for the next tick although nothing happened at the stream: at most once,
    /// however many events come before that entry runs. While the callback is running,
    /// [`end`](super::Transport::end) decides.
    pub(super) fn feed(&self) {
        if !self.has(Flags::FED | Flags::RUNNING) {
            self.set(Flags::FED);
            self.core.feed(self.key);
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.rest.get().map_or(0, |rest| rest.queue.borrow().len())
    }

    /// How much a write has taken; its error ends the connection.
    fn taken(&self, written: io::Result<usize>) -> usize {
        match written {
            // A stream that takes nothing and does not say why would be asked for ever.
            Ok(0) => self.fail_writing(io::Error::from(io::ErrorKind::WriteZero).into()),
            Ok(count) => return count,
            Err(error) if is_retry(&error) => {}
            Err(error) => self.fail_writing(error.into()),
        }
        0
    }

    /// Queues what a write has left. It goes before what a stream of the user's own has written to
    /// us meanwhile.
    #[cold]
    pub(super) fn queue_rest(&self, written: io::Result<usize>, slices: &[IoSlice<'_>]) {
        let mut written = self.taken(written);
        if self.has(Flags::DONE | Flags::FAILING) {
            return;
        }
        let mut queue = self.rest().queue.borrow_mut();
        let mut meanwhile = VecDeque::new();
        if !queue.is_empty() {
            meanwhile.append(&mut queue);
        }
        for slice in slices {
            let skipped = written.min(slice.len());
            queue.extend(&slice[skipped..]);
            written -= skipped;
        }
        queue.append(&mut meanwhile);
        let queued = queue.len();
        drop(queue);
        self.has_queued(queued);
    }

    /// Writes `data` where the fast path of `write` does not hold.
    #[cold]
    #[track_caller]
    pub(super) fn write_one_carefully(&self, data: &[u8]) {
        self.write_carefully(&[IoSlice::new(data)], data.len());
    }

    /// Writes `slices` of `length` bytes together, where the fast path of `write` does not hold.
    #[cold]
    #[track_caller]
    pub(super) fn write_carefully(&self, slices: &[IoSlice<'_>], length: usize) {
        if self.has(Flags::MUTE) {
            return self.refuse(length);
        }
        if self.has(Flags::QUEUED) {
            return slices.iter().for_each(|slice| self.enqueue(slice));
        }
        let written = match slices {
            [slice] => self.stream.write(slice),
            slices => self.stream.write_vectored(slices),
        };
        if matches!(written, Ok(1..)) {
            self.note_move();
        }
        if !matches!(written, Ok(count) if count >= length) {
            self.queue_rest(written, slices);
        }
        self.flush_stream();
    }

    /// Queues all of it, as there is a queue.
    #[inline(never)]
    pub(super) fn enqueue(&self, bytes: &[u8]) {
        let mut queue = self.rest().queue.borrow_mut();
        queue.extend(bytes);
        let queued = queue.len();
        drop(queue);
        self.has_queued(queued);
    }

    fn has_queued(&self, queued: usize) {
        if queued == 0 {
            return;
        }
        self.set(Flags::QUEUED);
        self.settle();
        let (_, high) = self.rest().water.get();
        if queued > high as usize && !self.has(Flags::TOLD) {
            self.feed();
        }
    }

    /// Writes once from the queue, and does what waits for its end.
    pub(super) fn flush(&self) {
        if self.has(Flags::QUEUED) {
            self.flush_queue();
        }
        self.flush_stream();
    }

    fn flush_queue(&self) {
        // What a stream of the user's own writes to us meanwhile is queued, as the flag says so.
        let rest = self.rest();
        let mut queue = rest.queue.take();
        let (front, back) = queue.as_slices();
        let written = match back {
            [] => self.stream.write(front),
            back => self.stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]),
        };
        let written = self.taken(written).min(queue.len());
        if self.has(Flags::DONE | Flags::FAILING) {
            return;
        }
        if written > 0 {
            self.note_move();
        }
        queue.drain(..written);
        if queue.is_empty() && queue.capacity() > KEEP {
            queue = VecDeque::new();
        }
        let mut meanwhile = rest.queue.replace(queue);
        rest.queue.borrow_mut().append(&mut meanwhile);
        if self.queued() == 0 {
            self.unset(Flags::QUEUED);
            if !self.has(Flags::OWN) {
                self.finish();
            }
        }
        self.settle();
    }
}

pub(super) fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

//! The state of a transport, and the interest with which its stream is watched.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use mainspring_sys::Interest;

use super::extra::Extra;
use super::flags::Flags;
use super::stream_cell::StreamCell;
use crate::error::Result;
use crate::event_loop::loop_core::LoopCore;
use crate::handle::Key;
use crate::net::socket::Socket;
use crate::watchers::WatcherId;

/// The state that all handles of a connection share.
///
/// The fields that an event uses are the last ones and in this order. Together with the counts of
/// its `Rc`, the state of a plain socket fills one cache line.
#[repr(C)]
pub(crate) struct TransportState<T: ?Sized> {
    pub(super) core: Rc<LoopCore>,
    pub(super) key: Key,
    /// The registrations: of the stream, or of its reader and its writer.
    pub(super) watches: Cell<[Option<WatcherId>; 2]>,
    /// The rarely used fields; empty until the first queue, error or time limit.
    pub(super) extra: OnceCell<Box<Extra>>,
    /// The descriptor that is read.
    pub(super) fd: RawFd,
    /// The interest that is registered in the kernel.
    pub(super) interest: Cell<Interest>,
    /// Low byte of the latest tick that has used up its reads, or read without an event. Valid
    /// while `READ_MARKED` is set.
    pub(super) read_mark: Cell<u8>,
    pub(super) flags: Cell<Flags>,
    pub(super) stream: T,
}

const _: () = assert!(size_of::<TransportState<Cell<Option<Socket>>>>() <= 48);

impl<T> TransportState<T> {
    pub(super) fn new(core: Rc<LoopCore>, key: Key, fd: RawFd, stream: T) -> TransportState<T> {
        TransportState {
            core,
            key,
            watches: Cell::new([None; 2]),
            extra: OnceCell::new(),
            fd,
            interest: Cell::new(Interest::empty()),
            read_mark: Cell::new(0),
            flags: Cell::new(Flags::empty()),
            stream,
        }
    }
}

impl TransportState<dyn StreamCell> {
    /// Returns true if any of the flags is set.
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

    /// Panics if the flags contradict each other or another field. Holds between two runs.
    #[cfg(debug_assertions)]
    pub(super) fn verify(&self) {
        let flags = self.flags.get();
        if let Err(broken) = flags.verify() {
            panic!("the flags {broken:?} contradict others: {flags:?}");
        }
        let limit = self.extra.get().and_then(|extra| extra.limit.get());
        let is_queued = self.has(Flags::SELF_QUEUED | Flags::DONE);
        let is_synced = self.interest.get() == self.interest_of_flags();
        for (holds, what) in [
            (self.has(Flags::QUEUED) == (self.queued() > 0), "the queue"),
            (self.has(Flags::LIMITED) == limit.is_some(), "the timer"),
            (is_queued || !self.has_more_to_do(), "the ready deque"),
            // A close inside a call of the stream waits for the next run.
            (is_synced || self.can_finish_output(), "the registered interest"),
        ] {
            assert!(holds, "the flags contradict {what}: {flags:?}");
        }
    }

    pub(super) fn extra(&self) -> &Extra {
        self.extra.get_or_init(Extra::new)
    }

    /// Returns the interest that follows from the flags.
    pub(super) fn interest_of_flags(&self) -> Interest {
        let mut wanted = Interest::empty();
        if self.has(Flags::DONE) {
            return wanted;
        }
        if self.has(Flags::LINGERING) || !self.has(Flags::NO_READ) {
            wanted |= Interest::READABLE;
            if self.has(Flags::EDGE) {
                wanted |= Interest::PRIORITY; // A read stops short at urgent data.
            }
        }
        if self.has(Flags::UNSENT) {
            wanted |= Interest::WRITABLE;
        }
        wanted
    }

    /// Registers the interest that follows from the flags, if it has changed.
    pub(super) fn sync_interest(&self) {
        let wanted = self.interest_of_flags();
        // Stored first: the calls below may end the connection, or call back here.
        let before = self.interest.replace(wanted);
        if before == wanted {
            return;
        }
        if !wanted.contains(Interest::READABLE) {
            self.unset(Flags::MAYBE_READABLE); // The next change of interest reports input again.
        } else if self.has(Flags::CUSTOM) && !before.contains(Interest::READABLE) {
            self.check_stream_buffer();
        }
        let changed = match self.watches.get() {
            [Some(both), None] => self.set_interest(both, wanted),
            [reader, writer] => {
                let (read, write) = (wanted & Interest::READABLE, wanted & Interest::WRITABLE);
                let changed = reader.map_or(Ok(()), |watch| self.set_interest(watch, read));
                changed.and(writer.map_or(Ok(()), |watch| self.set_interest(watch, write)))
            }
        };
        if let Err(error) = changed {
            // The input that has arrived can still be read without the kernel's reports.
            self.fail_writing(error);
        }
    }

    fn set_interest(&self, watch: WatcherId, interest: Interest) -> Result<()> {
        self.core.set_interest(watch, self.key, interest)
    }

    /// Stops reading by setting `flag`.
    pub(super) fn pause(&self, flag: Flags) {
        // After a failed write the last input is delivered even while reading is paused.
        if !self.has(Flags::FAILING) {
            self.set(flag);
            self.sync_interest();
        }
    }

    /// Continues reading in the next tick, because a run ends although input may be left. Does
    /// nothing if the kernel will report the input, or while reading is paused.
    #[cold]
    pub(super) fn read_later(&self) {
        let is_wanted = self.interest.get().contains(Interest::READABLE);
        if self.has(Flags::EDGE | Flags::CUSTOM) && is_wanted {
            self.set(Flags::MAYBE_READABLE);
            self.feed();
        }
    }

    /// Continues reading in the next tick if the stream may hold input.
    #[cold]
    pub(super) fn check_stream_buffer(&self) {
        if self.may_hold_input() {
            self.read_later();
        }
    }

    /// Returns true if the stream may hold input that the kernel does not report.
    pub(super) fn may_hold_input(&self) -> bool {
        let mut may_hold = false;
        if self.has(Flags::CUSTOM) {
            self.stream.with(&mut |stream| may_hold = stream.has_buffered());
        }
        may_hold
    }

    /// Queues the callback for the next tick without an event of the stream. It is queued at most
    /// once, however many events arrive before that entry runs. While the callback runs,
    /// [`end_run`](super::Transport::end_run) queues it if needed.
    pub(super) fn feed(&self) {
        if !self.has(Flags::SELF_QUEUED | Flags::RUNNING) {
            self.set(Flags::SELF_QUEUED);
            self.core.feed(self.key);
        }
    }
}

/// Returns true for errors after which the same call may be repeated.
pub(super) fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

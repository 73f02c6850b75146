//! The state that the handles of a datagram endpoint share with its callback.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use bitflags::bitflags;
use mainspring_sys::Interest;
use mainspring_sys::socket::{DatagramBatch, DatagramFeatures, SendBatch};

use super::queue::Queue;
use crate::error::Error;
use crate::event_loop::loop_core::LoopCore;
use crate::handle::Key;
use crate::timers::TimerSlot;
use crate::watchers::WatcherId;

/// The default low and high water mark of the queue, in bytes.
const WATER_MARKS: (u32, u32) = (16 * 1024, 64 * 1024);

/// Maximum number of errors that wait for the callback. Later ones are dropped, as the kernel keeps
/// only one.
const ERRORS: usize = 16;

/// Time after which a closing endpoint drops the queue.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::net) struct Flags: u32 {
        /// The user has paused reading.
        const READ_PAUSED = 1;
        /// The default `pause_writing` has paused reading until the queue is short again.
        const READ_HELD = 1 << 1;
        /// The kernel lacks memory for receiving; reading is paused until the timer expires.
        const READ_BACKOFF = 1 << 2;
        /// The queue waits for the timer, because no readiness reports room.
        const WRITE_BACKOFF = 1 << 3;
        /// `pause_writing` was called, and `resume_writing` was not called since.
        const WRITING_PAUSED = 1 << 4;
        /// `connection_made` was not called yet.
        const UNANNOUNCED = 1 << 5;
        /// The endpoint ends after the queue is sent.
        const CLOSING = 1 << 6;
        /// The endpoint is over; only `connection_lost` is left to call.
        const DONE = 1 << 7;
        /// `connection_lost` was called.
        const LOST = 1 << 8;
        /// The callback is running.
        const RUNNING = 1 << 9;
        /// The ready deque has an entry of the endpoint that no event has queued.
        const SELF_QUEUED = 1 << 10;

        /// The timer of a backoff is armed.
        const BACKOFF = Self::READ_BACKOFF.bits() | Self::WRITE_BACKOFF.bits();
        /// Nothing is received.
        const NO_READ = Self::READ_PAUSED.bits() | Self::READ_HELD.bits()
            | Self::READ_BACKOFF.bits() | Self::CLOSING.bits() | Self::DONE.bits();
        /// Datagrams are not accepted for sending.
        const NO_WRITE = Self::CLOSING.bits() | Self::DONE.bits();
    }
}

/// Datagrams of a batch that were not passed on yet.
pub(in crate::net) struct Rest {
    pub(in crate::net) batch: Box<DatagramBatch>,
    /// Index of the next one.
    pub(in crate::net) next: usize,
}

/// The state of a datagram endpoint.
pub(in crate::net) struct EndpointState {
    pub(in crate::net) core: Rc<LoopCore>,
    pub(in crate::net) key: Key,
    pub(in crate::net) fd: RawFd,
    /// The socket; `None` after the end.
    pub(in crate::net) socket: RefCell<Option<OwnedFd>>,
    /// True for a Unix socket. Its receivers report no room.
    pub(in crate::net) is_unix: bool,
    pub(in crate::net) flags: Cell<Flags>,
    pub(in crate::net) watch: Cell<Option<WatcherId>>,
    /// The interest that is registered.
    pub(in crate::net) interest: Cell<Interest>,
    pub(in crate::net) features: Cell<DatagramFeatures>,
    pub(in crate::net) sending: RefCell<SendBatch>,
    pub(in crate::net) queue: RefCell<Queue>,
    pub(in crate::net) water_marks: Cell<(u32, u32)>,
    /// Errors for `error_received`.
    pub(in crate::net) errors: RefCell<VecDeque<io::Error>>,
    /// The error that has ended the endpoint.
    pub(in crate::net) failure: Cell<Option<Error>>,
    /// Datagrams that wait because reading was paused, or because a callback has panicked.
    pub(in crate::net) rest: RefCell<Option<Rest>>,
    /// The timer at the end of a backoff.
    pub(in crate::net) backoff_timer: Cell<Option<TimerSlot>>,
    /// Length of the latest pause of sending in a row; zero after a success.
    pub(in crate::net) write_pause: Cell<Duration>,
    /// Length of the latest pause of receiving in a row; zero after a success.
    pub(in crate::net) read_pause: Cell<Duration>,
    /// The timer that limits closing.
    pub(in crate::net) close_timer: Cell<Option<TimerSlot>>,
}

impl EndpointState {
    pub(in crate::net) fn new(
        core: Rc<LoopCore>,
        key: Key,
        fd: RawFd,
        socket: OwnedFd,
        is_unix: bool,
    ) -> EndpointState {
        EndpointState {
            core,
            key,
            fd,
            socket: RefCell::new(Some(socket)),
            is_unix,
            flags: Cell::new(Flags::empty()),
            watch: Cell::new(None),
            interest: Cell::new(Interest::empty()),
            features: Cell::default(),
            sending: RefCell::default(),
            queue: RefCell::default(),
            water_marks: Cell::new(WATER_MARKS),
            errors: RefCell::default(),
            failure: Cell::new(None),
            rest: RefCell::default(),
            backoff_timer: Cell::new(None),
            write_pause: Cell::default(),
            read_pause: Cell::default(),
            close_timer: Cell::new(None),
        }
    }

    /// Returns true if any of the flags is set.
    #[inline]
    pub(in crate::net) fn has(&self, any: Flags) -> bool {
        self.flags.get().intersects(any)
    }

    #[inline]
    pub(in crate::net) fn set(&self, flags: Flags) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    pub(in crate::net) fn unset(&self, flags: Flags) {
        self.flags.set(self.flags.get() - flags);
    }

    /// Makes a call on the socket.
    ///
    /// # Errors
    ///
    /// The errors of the call; `NotConnected` after the end.
    #[inline]
    pub(in crate::net) fn with_socket<T>(
        &self,
        call: impl FnOnce(&OwnedFd) -> io::Result<T>,
    ) -> io::Result<T> {
        match &*self.socket.borrow() {
            Some(socket) => call(socket),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Returns the interest that follows from the flags and the queue.
    pub(in crate::net) fn wanted_interest(&self) -> Interest {
        let mut wanted = Interest::empty();
        // A rest is passed on first, without an event. With one, the endpoint would run twice in a
        // tick.
        if !self.has(Flags::NO_READ) && self.rest.borrow().is_none() {
            wanted |= Interest::READABLE;
        }
        if !self.has(Flags::WRITE_BACKOFF | Flags::DONE) && !self.queue.borrow().is_empty() {
            wanted |= Interest::WRITABLE;
        }
        wanted
    }

    /// Registers the interest that follows from the flags, if it has changed.
    pub(in crate::net) fn sync_interest(&self) {
        let wanted = self.wanted_interest();
        let Some(watch) = self.watch.get() else { return };
        if self.interest.replace(wanted) != wanted
            && let Err(error) = self.core.set_interest(watch, self.key, wanted)
        {
            self.fail(error);
        }
    }

    /// Queues the callback for the next tick without an event. At most one such entry is queued.
    /// While the callback runs, the end of the run queues it if needed.
    pub(in crate::net) fn feed(&self) {
        if !self.has(Flags::SELF_QUEUED | Flags::RUNNING) {
            self.set(Flags::SELF_QUEUED);
            self.core.feed(self.key);
        }
    }

    /// Returns true if the callback must run again although no event comes.
    pub(in crate::net) fn has_more_to_do(&self) -> bool {
        self.has(Flags::DONE | Flags::UNANNOUNCED)
            || !self.errors.borrow().is_empty()
            || self.rest.borrow().is_some() && !self.has(Flags::NO_READ)
            || self.crossed_mark().is_some()
    }

    /// Returns true if `connection_made` comes next. An endpoint that has ended gets it only if
    /// errors follow.
    pub(in crate::net) fn must_announce(&self) -> bool {
        self.has(Flags::UNANNOUNCED) && (!self.has(Flags::DONE) || !self.errors.borrow().is_empty())
    }

    /// Returns true if a run has received datagrams and has nothing else to do.
    #[inline]
    pub(in crate::net) fn is_quiet(&self) -> bool {
        !self.has(Flags::DONE) && self.queue.borrow().is_empty() && self.errors.borrow().is_empty()
    }

    /// Returns true if the queue is longer than the high-water mark for the first time, and false
    /// if it is not longer than the low-water mark again.
    pub(in crate::net) fn crossed_mark(&self) -> Option<bool> {
        let (low, high) = self.water_marks.get();
        let (size, is_paused) = (self.queue.borrow().size(), self.has(Flags::WRITING_PAUSED));
        match is_paused {
            _ if self.has(Flags::DONE) => None,
            false => (size > high as usize).then_some(true),
            true => (size <= low as usize).then_some(false),
        }
    }

    /// Stores an error for `error_received`.
    pub(in crate::net) fn note_error(&self, error: io::Error) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < ERRORS {
            errors.push_back(error);
        }
        drop(errors);
        self.feed();
    }

    /// Ends the endpoint because of `error`.
    #[cold]
    pub(in crate::net) fn fail(&self, error: Error) {
        if !self.has(Flags::DONE) {
            self.failure.set(Some(error));
            self.end();
        }
    }

    /// Ends the endpoint after its queue is sent.
    pub(in crate::net) fn close(&self) {
        if self.has(Flags::NO_WRITE) {
            return;
        }
        self.set(Flags::CLOSING);
        self.drop_rest();
        if self.queue.borrow().is_empty() {
            return self.end();
        }
        let deadline = self.core.timeline.nanos_after(CLOSE_LIMIT);
        let timer = self.core.timers.borrow_mut().insert(deadline, self.key);
        self.close_timer.set(Some(timer));
        self.sync_interest();
    }

    /// Ends the endpoint at once. The queue is dropped, and so are errors that were not passed on.
    pub(in crate::net) fn abort(&self) {
        self.errors.borrow_mut().clear();
        if !self.has(Flags::DONE) {
            self.end();
        }
    }

    /// Drops the queue if closing has taken too long.
    pub(in crate::net) fn check_close_limit(&self) {
        let Some(timer) = self.close_timer.get() else { return };
        if self.core.timers.borrow_mut().take_fed(timer) {
            self.fail(Error::TimedOut(CLOSE_LIMIT));
        }
    }

    /// Ends the endpoint; only `connection_lost` is left to call. The kernel stops watching the
    /// socket at once.
    pub(in crate::net) fn end(&self) {
        self.stop_events();
        self.feed();
    }

    pub(in crate::net) fn end_backoff(&self) {
        if self.has(Flags::BACKOFF) {
            self.unset(Flags::BACKOFF);
            self.core.datagrams.backoffs.set(self.core.datagrams.backoffs.get() - 1);
        }
    }

    fn stop_events(&self) {
        self.set(Flags::DONE);
        self.end_backoff();
        self.queue.borrow_mut().clear();
        self.drop_rest();
        for timer in [&self.backoff_timer, &self.close_timer] {
            if let Some(timer) = timer.take() {
                self.core.timers.borrow_mut().remove(timer);
            }
        }
        if let Some(watch) = self.watch.take() {
            self.core.unwatch(watch, self.key);
        }
    }

    fn drop_rest(&self) {
        if let Some(Rest { batch, .. }) = self.rest.take() {
            self.core.datagrams.batch.set(Some(batch));
        }
    }

    /// Ends the endpoint of a callback that is dropped, and closes the socket.
    pub(in crate::net) fn detach(&self) {
        self.set(Flags::RUNNING | Flags::LOST); // Prevents another entry in the ready deque.
        self.stop_events();
        self.errors.borrow_mut().clear();
        drop(self.socket.take());
    }

    /// Registers the socket with the loop.
    pub(in crate::net) fn begin_watching(&self, watch: WatcherId, interest: Interest) {
        self.watch.set(Some(watch));
        self.interest.set(interest);
    }

    /// Returns the error of an operation on the socket, with the fd.
    pub(in crate::net) fn naming_fd(&self, operation: &'static str, source: io::Error) -> Error {
        Error::Watch { operation, fd: self.fd, source }
    }
}

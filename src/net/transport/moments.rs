//! The transport as the connection's callback knows it.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use mainspring_sys::{Interest, Readiness, TriggerMode};

use super::Transport;
use super::flags::Flags;
use super::inner::{Inner, NO_TURN, READ_BYTES, READS, is_retry};
use super::slot::Slot;
use crate::error::{Error, Result};
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::read_buffer::ReadBuffer;
use crate::handle::Key;
use crate::watchers::{Role, WatcherId};

/// With these a read over TCP may bring less than there is.
const STOPS: Readiness = Readiness::PRIORITY
    .union(Readiness::READ_CLOSED)
    .union(Readiness::HANGUP)
    .union(Readiness::ERROR);

/// Size of a run's reads so far.
#[derive(Debug, Default)]
struct ReadTurn {
    reads: usize,
    bytes: usize,
}

/// The queue has passed a water mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tide {
    /// Above the high one.
    High,
    /// Below the low one.
    Low,
}

impl Inner<dyn Slot> {
    /// Looks closely at the answer of a read: at one without bytes, at those of a type of the user,
    /// and at the last ones. Returns how many bytes to deliver; 0 is the end of file.
    #[cold]
    fn examine(&self, read: io::Result<usize>, room: usize) -> Option<usize> {
        self.flush_stream(); // A handshake answers what it reads.
        match read {
            // A stream of the user's own has ended the connection while it was read.
            Ok(_) if self.has(Flags::CLOSING | Flags::DONE) => {}
            Ok(0) if self.has(Flags::FAILING) => self.done(),
            Ok(0) => {
                self.set(Flags::EOF);
                return Some(0);
            }
            Ok(count) => return self.admit(count, room),
            Err(error) if error.kind() == ErrorKind::Interrupted => self.leave_more(),
            Err(error) if is_retry(&error) => {
                self.unset(Flags::MORE);
                if self.has(Flags::FAILING) {
                    self.done();
                }
            }
            Err(error) => self.fail(error.into()),
        }
        None
    }

    /// Checks the count of a read, and whether the stream holds more.
    fn admit(&self, count: usize, room: usize) -> Option<usize> {
        if count > room {
            let message = format!("the stream claims {count} bytes in a buffer of {room}");
            self.fail(io::Error::new(ErrorKind::InvalidData, message).into());
            return None;
        }
        self.note_move();
        if self.has(Flags::OWN) {
            self.look_inside();
        }
        if self.has(Flags::FAILING) {
            let left = &self.rest().last_bytes;
            match left.get().checked_sub(count) {
                Some(rest) => left.set(rest),
                None => {
                    self.done();
                    return None;
                }
            }
        }
        Some(count)
    }

    /// Whether the callback, which ends, has to be called although nothing happens at the stream.
    fn has_more_to_do(&self) -> bool {
        self.has(Flags::MORE | Flags::NEW) || self.tide().is_some() || self.is_due()
    }

    /// Returns true if this run may read. A second run in a tick that has read already leaves the
    /// input to the next tick: both a queued entry and an event may come in one batch.
    #[inline]
    fn may_read(&self, readiness: Readiness) -> bool {
        if self.latest_turn.get() != NO_TURN && self.has_had_its_turn() {
            self.leave_more();
            return false;
        }
        if readiness.is_empty() {
            self.note_turn();
        }
        true
    }

    #[cold]
    fn has_had_its_turn(&self) -> bool {
        self.latest_turn.get() == self.turn_of_tick()
    }

    #[cold]
    fn note_turn(&self) {
        self.latest_turn.set(self.turn_of_tick());
    }

    /// Number of the tick, as far as one byte holds it. A turn of 255 ticks ago looks like one of
    /// this tick, which delays an event by one tick.
    fn turn_of_tick(&self) -> u8 {
        (self.core.tick.get() % 255) as u8 + 1
    }

    /// Whether another read in this turn is wanted. A tide is told first.
    #[inline(never)]
    fn reads_on(&self, turn: &mut ReadTurn, count: usize) -> bool {
        turn.reads += 1;
        turn.bytes += count;
        let is_over = turn.reads >= READS || turn.bytes >= READ_BYTES;
        let on = !is_over && !self.has(Flags::DEAF | Flags::REPLACED) && self.tide().is_none();
        if !on {
            self.note_turn();
            self.leave_more();
        }
        on
    }

    fn tide(&self) -> Option<Tide> {
        let (low, high) = self.rest.get()?.water.get();
        let (queued, told) = (self.queued(), self.has(Flags::TOLD));
        if self.has(Flags::LINGERING | Flags::FAILING | Flags::DONE) {
            None
        } else if !told && queued > high as usize {
            Some(Tide::High)
        } else if told && queued <= low as usize {
            Some(Tide::Low)
        } else {
            None
        }
    }
}

impl Transport {
    /// Whether the stream is TCP, whose reads stop short only where the kernel tells: at urgent data
    /// and before the end. Those of Unix sockets also do so at passed descriptors.
    pub(crate) fn is_tcp(&self) -> bool {
        self.inner.stream.is_tcp()
    }

    /// Has a TCP stream watched for edges, where the kernel has them.
    pub(crate) fn prefer_edges(&self) {
        if self.inner.core.watchers.borrow_mut().selector().has_edges() {
            self.inner.set(Flags::EDGE);
        }
    }

    /// Begins to watch the stream for reading; the place of its reader in the table.
    pub(crate) fn watch(&self) -> Result<WatcherId> {
        let inner = &*self.inner;
        let mut writer = None;
        inner.stream.with(&mut |stream| writer = stream.writer().map(|fd| fd.as_raw_fd()));
        let role = if writer.is_some() { Role::Reader } else { Role::Both };
        let mode = if inner.has(Flags::EDGE) { TriggerMode::Edge } else { TriggerMode::Level };
        let watch = |fd, role, interest| inner.core.watch(fd, role, interest, mode, inner.key);
        let wanted = inner.wanted();
        let reading = watch(inner.fd, role, wanted)?;
        inner.watches.set([Some(reading), None]);
        if let Some(fd) = writer {
            inner.set(Flags::PAIR);
            let writing = watch(fd, Role::Writer, Interest::empty());
            inner.watches.set([Some(reading), Some(writing.inspect_err(|_| inner.unwatch())?)]);
        }
        inner.interest.set(wanted);
        if !inner.stream.is_unbuffered() {
            inner.set(Flags::OWN);
            inner.look_inside();
        }
        Ok(reading)
    }

    /// Begins a run of the callback. Returns true if it has more to do first than to read.
    ///
    /// An entry without readiness is the one that [`feed`](Inner::feed) has queued. An event leaves
    /// that entry pending: otherwise both would queue another one, and the deque would grow.
    #[inline]
    pub(crate) fn begin(&self, readiness: Readiness) -> bool {
        let flags = self.inner.flags.get();
        let done = if readiness.is_empty() { Flags::FED } else { Flags::empty() };
        self.inner.flags.set(flags.difference(done).union(Flags::RUNNING));
        flags.intersects(Flags::CAREFUL_TURN)
    }

    /// Returns true once if the protocol was not told yet that the connection is made.
    pub(crate) fn take_new(&self) -> bool {
        let is_new = self.inner.has(Flags::NEW);
        self.inner.unset(Flags::NEW);
        is_new
    }

    /// Clears the loop's read buffer for a stream that may claim more bytes than it wrote: what
    /// another connection has received is not for this one.
    pub(crate) fn clear_for_own(&self, core: &LoopCore) {
        if self.inner.has(Flags::OWN) && !self.inner.has(Flags::DEAF) {
            ReadBuffer::of(core).fill(0);
        }
    }

    /// Has the protocol told, in the next tick, that the connection is made.
    pub(crate) fn announce(&self) {
        self.inner.set(Flags::NEW);
        self.inner.feed();
    }

    /// Whether the callback has to [`go_on`](Transport::go_on), and to tell of the tide.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.inner.has(Flags::BUSY)
    }

    /// Ends a run of the callback. A callback of the water marks may itself have crossed one, which
    /// the next tick reports.
    #[inline]
    pub(crate) fn end(&self) {
        self.inner.unset(Flags::RUNNING);
        if self.is_busy() && self.inner.has_more_to_do() {
            self.inner.feed();
        }
    }

    /// Returns true if there may be input, the protocol wants it, and this run may read it.
    #[inline]
    pub(crate) fn has_input(&self, readiness: Readiness) -> bool {
        let has_more = readiness.contains(Readiness::READABLE) || self.inner.has(Flags::MORE);
        has_more && !self.inner.has(Flags::DEAF) && self.inner.may_read(readiness)
    }

    /// Reads into the loop's buffer and hands over what came, until a read is the last one: a short
    /// one, or if it may stop short for other reasons, one that would have blocked.
    #[inline]
    pub(crate) fn receive<E>(
        &self,
        core: &LoopCore,
        readiness: Readiness,
        mut hand_over: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let inner = &*self.inner;
        if readiness.intersects(STOPS) {
            inner.leave_more();
        }
        let mut buffer = ReadBuffer::of(core);
        let mut turn = ReadTurn::default();
        loop {
            let count = match inner.stream.read(&mut buffer) {
                Ok(count @ 1..) if !inner.has(Flags::CAREFUL_READ) => count,
                answer => match inner.examine(answer, buffer.len()) {
                    Some(count) => count,
                    None => return Ok(()),
                },
            };
            hand_over(&buffer[..count])?;
            if count == 0 {
                inner.end_if_over();
                inner.settle(); // Not before: most are over now, and have left the kernel.
            }
            if count < buffer.len() && !inner.has(Flags::MORE) || !inner.reads_on(&mut turn, count)
            {
                return Ok(());
            }
        }
    }

    /// Writes from the queue, and goes on with what waits for its end.
    pub(crate) fn go_on(&self, readiness: Readiness) {
        let inner = &*self.inner;
        if inner.has(Flags::TIMED) {
            inner.heed_limit();
        }
        if inner.has(Flags::DONE) {
            return;
        }
        if inner.has(Flags::LINGERING) {
            let is_readable = readiness.contains(Readiness::READABLE) || inner.has(Flags::MORE);
            inner.linger(is_readable && inner.may_read(readiness));
        } else if !inner.has(Flags::PENDING) {
            inner.finish();
        } else if readiness.contains(Readiness::WRITABLE) {
            inner.flush();
        }
    }

    /// What the protocol is to be told of its queue now, strictly in turn.
    pub(crate) fn turn_of_tide(&self) -> Option<Tide> {
        let tide = self.inner.tide();
        match tide {
            Some(Tide::High) => self.inner.set(Flags::TOLD),
            Some(Tide::Low) => self.inner.unset(Flags::TOLD),
            None => {}
        }
        tide
    }

    /// The kernel says that nobody has the descriptor any more.
    #[cold]
    pub(crate) fn fail_of_closed(&self) {
        self.inner.fail(Error::closed_while_watched(self.inner.fd));
    }

    pub(crate) fn key(&self) -> Key {
        self.inner.key
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.inner.has(Flags::DONE)
    }

    /// The error with the operation and the descriptor that it was met at, for a report.
    pub(crate) fn naming_fd(&self, error: Error) -> Error {
        let (operation, fd) = self.inner.failed();
        match error {
            Error::Io(source) => Error::Watch { operation, fd, source },
            other => other,
        }
    }

    /// Why the connection is over.
    pub(crate) fn take_error(&self) -> Option<Box<Error>> {
        self.inner.rest.get()?.error.take()
    }

    /// Ends everything, for a callback that is dropped; unless another one has taken its place. Then
    /// what the old one `kept` lives on with the connection.
    pub(crate) fn detach(&self, kept: Option<Box<dyn Any>>) {
        if self.inner.has(Flags::REPLACED) {
            self.inner.unset(Flags::REPLACED);
            self.inner.keep(kept);
        } else {
            self.inner.detach();
        }
    }

    /// Returns true if another callback has taken the place of the one that runs.
    pub(crate) fn is_replaced(&self) -> bool {
        self.inner.has(Flags::REPLACED)
    }

    /// Has the callback that runs, or is dropped now, leave the connection to another one. Returns
    /// whether it was so before.
    pub(crate) fn set_replaced(&self, replaced: bool) -> bool {
        let before = self.is_replaced();
        match replaced {
            true => self.inner.set(Flags::REPLACED),
            false => self.inner.unset(Flags::REPLACED),
        }
        before
    }

    /// The run of a replaced callback ends, perhaps with an error: the new one goes on.
    #[cold]
    pub(crate) fn hand_over(&self, error: Option<Box<Error>>) {
        if let Some(error) = error {
            self.inner.fail(*error);
        }
        self.inner.unset(Flags::RUNNING);
        self.inner.feed();
    }

    /// Returns true if `core` is that of the connection's loop.
    pub(crate) fn is_of(&self, core: &Rc<LoopCore>) -> bool {
        Rc::ptr_eq(&self.inner.core, core)
    }
}

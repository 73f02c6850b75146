//! Reading: from the stream into the loop's buffer, a limited number of times a tick.

use std::io::{self, ErrorKind};

use mainspring_sys::Readiness;

use super::Transport;
use super::flags::Flags;
use super::state::{TransportState, is_retry};
use super::stream_cell::StreamCell;
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::read_buffer::ReadBuffer;

/// Limit on the reads of a stream in one tick; then other callbacks run.
pub(super) const READS: usize = 8;
/// Number of bytes read from a stream in one tick after which no further read follows.
// Four buffers: with one, pipelined blocks of 100 KiB took half as much time again, while a request
// beside four clients that flood took 0.7 ms rather than 1.2.
const READ_BYTES: usize = 256 * 1024;

/// Readiness at which a read over TCP may return less than there is: reads stop at urgent data, and
/// before the end of file.
const SHORT_READS: Readiness = Readiness::PRIORITY
    .union(Readiness::READ_CLOSED)
    .union(Readiness::HANGUP)
    .union(Readiness::ERROR);

/// The reads of a run so far.
#[derive(Debug, Default)]
struct ReadCount {
    reads: usize,
    bytes: usize,
}

impl Transport {
    /// Returns true if there may be input, reading is not paused, and this run may read.
    pub(crate) fn has_input(&self, readiness: Readiness) -> bool {
        let state = &*self.state;
        let may_have = readiness.contains(Readiness::READABLE) || state.has(Flags::MAYBE_READABLE);
        let has_input = may_have && !state.has(Flags::NO_READ) && state.may_read(readiness);
        if has_input && readiness.intersects(SHORT_READS) {
            state.read_later(); // A short read does not mean that this was all.
        }
        has_input
    }
}

impl TransportState<dyn StreamCell> {
    /// Reads into the loop's buffer and passes the input to `hand_over`, until a read is the last
    /// one. That is a short read, or if reads may stop short for other reasons, a read that would
    /// block.
    #[inline]
    pub(crate) fn receive<E>(
        &self,
        core: &LoopCore,
        mut hand_over: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = ReadBuffer::of(core);
        let mut so_far = ReadCount::default();
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(count @ 1..) if !self.has(Flags::SLOW_READ) => count,
                other => match self.check_read(other, buffer.len(), so_far.reads == 0) {
                    Some(count) => count,
                    None => return Ok(()),
                },
            };
            core.page.received_bytes.add(count as u64);
            hand_over(&buffer[..count])?;
            if count == 0 {
                self.end_if_over();
                // After the end: most connections are over by now, and no longer watched.
                self.sync_interest();
            }
            let is_last = count < buffer.len() && !self.has(Flags::MAYBE_READABLE);
            if is_last || !self.continues_reading(&mut so_far, count) {
                return Ok(());
            }
        }
    }

    /// Checks the result of a read if it is not plain: no bytes, an error, or one of the flags
    /// `SLOW_READ`. `is_first` is true for the first read of a run. Returns the number of bytes to
    /// deliver, 0 for end of file, or `None`.
    #[cold]
    fn check_read(&self, read: io::Result<usize>, room: usize, is_first: bool) -> Option<usize> {
        self.flush_stream(); // A handshake answers the input that it reads.
        match read {
            // A user-defined stream has ended the connection during the read.
            Ok(_) if self.has(Flags::CLOSING | Flags::DONE) => {}
            Ok(0) if self.has(Flags::FAILING) => self.end(),
            Ok(0) => {
                self.set(Flags::EOF);
                return Some(0);
            }
            Ok(count) => return self.check_count(count, room),
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_later(),
            Err(error) if is_retry(&error) => {
                // With the flag the run has another reason than an event. A user-defined stream may
                // have read a part of something.
                if is_first && !self.has(Flags::MAYBE_READABLE | Flags::CUSTOM) {
                    self.core.page.spurious_events.add(1);
                }
                self.unset(Flags::MAYBE_READABLE);
                if self.has(Flags::FAILING) {
                    self.end();
                }
            }
            Err(error) => self.fail(error.into()),
        }
        None
    }

    /// Checks the count of a read, and if the stream may hold more input.
    fn check_count(&self, count: usize, room: usize) -> Option<usize> {
        if count > room {
            let message = format!("the stream returned {count} bytes for a buffer of {room}");
            self.fail(io::Error::new(ErrorKind::InvalidData, message).into());
            return None;
        }
        self.note_transfer();
        if self.has(Flags::CUSTOM) {
            self.check_stream_buffer();
        }
        if self.has(Flags::FAILING) {
            let left = &self.extra().last_bytes;
            match left.get().checked_sub(count) {
                Some(rest) => left.set(rest),
                None => {
                    self.end();
                    return None;
                }
            }
        }
        Some(count)
    }

    /// Returns true if this run may read. A second run in a tick that has used up its reads leaves
    /// the input to the next tick: a batch may hold both an event and a self-queued entry.
    pub(super) fn may_read(&self, readiness: Readiness) -> bool {
        if self.has(Flags::READ_MARKED) {
            if self.read_mark.get() == self.tick_mark() {
                self.read_later();
                return false;
            }
            self.unset(Flags::READ_MARKED);
        }
        if readiness.is_empty() {
            // An event may follow in the same batch, and must not read a second budget.
            self.mark_tick_as_read();
        }
        true
    }

    #[cold]
    fn mark_tick_as_read(&self) {
        self.read_mark.set(self.tick_mark());
        self.set(Flags::READ_MARKED);
    }

    /// Returns the low byte of the tick. A mark from 256 ticks ago looks like one of this tick,
    /// which delays the input by one tick.
    fn tick_mark(&self) -> u8 {
        self.core.tick() as u8
    }

    /// Returns true if this run reads again. A crossed water mark is reported first.
    // Out of line, because most runs end after one read.
    #[inline(never)]
    fn continues_reading(&self, so_far: &mut ReadCount, count: usize) -> bool {
        so_far.reads += 1;
        so_far.bytes += count;
        let is_over = so_far.reads >= READS || so_far.bytes >= READ_BYTES;
        let stops =
            is_over || self.has(Flags::NO_READ | Flags::REPLACED) || self.crossed_mark().is_some();
        if stops {
            self.mark_tick_as_read();
            self.read_later();
        }
        !stops
    }
}

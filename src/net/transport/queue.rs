//! Writing: directly while the kernel accepts all bytes, and through the queue after that.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use super::extra::WATER_MARKS;
use super::flags::Flags;
use super::state::{TransportState, is_retry};
use super::stream_cell::StreamCell;

/// Capacity that an empty queue keeps, in bytes. The queue of a connection that was slow once is
/// freed.
const KEPT_CAPACITY: usize = 4 * 1024;

impl TransportState<dyn StreamCell> {
    /// Returns the number of bytes in the queue.
    pub(super) fn queued(&self) -> usize {
        self.extra.get().map_or(0, |extra| extra.queue.borrow().len())
    }

    pub(super) fn water_marks(&self) -> (u32, u32) {
        self.extra.get().map_or(WATER_MARKS, |extra| extra.water_marks.get())
    }

    /// Writes `data` if one of the flags `SLOW_WRITE` is set.
    #[cold]
    #[track_caller]
    pub(super) fn write_one_slow(&self, data: &[u8]) {
        self.write_slow(&[IoSlice::new(data)], data.len());
    }

    /// Writes `slices` of `length` bytes together if one of the flags `SLOW_WRITE` is set.
    #[cold]
    #[track_caller]
    pub(super) fn write_slow(&self, slices: &[IoSlice<'_>], length: usize) {
        if self.has(Flags::NO_WRITE) {
            return self.reject_write(length);
        }
        if self.has(Flags::QUEUED) {
            return slices.iter().for_each(|slice| self.enqueue(slice));
        }
        let written = match slices {
            [slice] => self.stream.write(slice),
            slices => self.stream.write_vectored(slices),
        };
        if matches!(written, Ok(1..)) {
            self.note_transfer();
        }
        match written {
            Ok(count) if count >= length => self.count_sent(length),
            written => self.queue_remainder(written, slices),
        }
        self.flush_stream();
    }

    /// Adds to the bytes that the loop has sent.
    #[inline]
    pub(super) fn count_sent(&self, bytes: usize) {
        self.core.page.sent_bytes.add(bytes as u64);
    }

    /// Queues the bytes that a write has left. They go in front of the bytes that a user-defined
    /// stream has written to this transport during the write.
    #[cold]
    pub(super) fn queue_remainder(&self, written: io::Result<usize>, slices: &[IoSlice<'_>]) {
        let mut written = self.written_count(written);
        self.count_sent(written);
        if self.has(Flags::DONE | Flags::FAILING) {
            return;
        }
        let mut queue = self.extra().queue.borrow_mut();
        let mut nested = VecDeque::new();
        if !queue.is_empty() {
            nested.append(&mut queue);
        }
        for slice in slices {
            let skipped = written.min(slice.len());
            queue.extend(&slice[skipped..]);
            written -= skipped;
        }
        queue.append(&mut nested);
        let queued = queue.len();
        drop(queue);
        self.note_queued(queued);
    }

    /// Returns how many bytes a write has accepted. Its error ends the connection.
    fn written_count(&self, written: io::Result<usize>) -> usize {
        match written {
            // A stream that returns 0 forever must not be called forever.
            Ok(0) => self.fail_writing(io::Error::from(io::ErrorKind::WriteZero).into()),
            Ok(count) => return count,
            Err(error) if is_retry(&error) => {}
            Err(error) => self.fail_writing(error.into()),
        }
        0
    }

    /// Appends `bytes` to a queue that is not empty.
    // Out of line, so that a write without a queue stays small.
    #[inline(never)]
    pub(super) fn enqueue(&self, bytes: &[u8]) {
        let mut queue = self.extra().queue.borrow_mut();
        queue.extend(bytes);
        let queued = queue.len();
        drop(queue);
        self.note_queued(queued);
    }

    fn note_queued(&self, queued: usize) {
        if queued == 0 {
            return;
        }
        self.set(Flags::QUEUED);
        self.sync_interest();
        let (_, high) = self.water_marks();
        if queued > high as usize && !self.has(Flags::WRITING_PAUSED) {
            // Not called here: the writer is user code, which a nested callback could surprise.
            self.feed();
        }
    }

    /// Writes once from the queue, and continues with what waits for its end.
    pub(super) fn flush(&self) {
        if self.has(Flags::QUEUED) {
            self.flush_queue();
        }
        self.flush_stream();
    }

    fn flush_queue(&self) {
        // The queue is taken out, and `QUEUED` stays set. So a nested write of a user-defined
        // stream is queued, and comes after the bytes that are left here.
        let extra = self.extra();
        let mut queue = extra.queue.take();
        let (front, back) = queue.as_slices();
        let written = match back {
            [] => self.stream.write(front),
            back => self.stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]),
        };
        if written.as_ref().is_err_and(is_retry) && !self.has(Flags::CUSTOM) {
            self.core.page.spurious_events.add(1); // The event has promised room.
        }
        let written = self.written_count(written).min(queue.len());
        self.count_sent(written);
        if self.has(Flags::DONE | Flags::FAILING) {
            return;
        }
        if written > 0 {
            self.note_transfer(); // Progress: the limit on a stalled close begins again.
        }
        queue.drain(..written);
        if queue.is_empty() && queue.capacity() > KEPT_CAPACITY {
            queue = VecDeque::new();
        }
        let mut nested = extra.queue.replace(queue);
        extra.queue.borrow_mut().append(&mut nested);
        if self.queued() == 0 {
            self.unset(Flags::QUEUED);
            // A user-defined stream is flushed first.
            if !self.has(Flags::CUSTOM) {
                self.finish_output();
            }
        }
        self.sync_interest();
    }

    /// Has a user-defined stream pass the bytes that it holds to the kernel.
    #[cold]
    pub(super) fn flush_stream(&self) {
        if !self.has(Flags::CUSTOM) || self.has(Flags::DONE | Flags::FAILING | Flags::LINGERING) {
            return;
        }
        let mut flushed = Ok(());
        self.stream.with(&mut |stream| flushed = stream.flush());
        match flushed {
            Ok(()) => {
                self.unset(Flags::UNFLUSHED);
                self.finish_output();
            }
            // The stream may have ended the connection meanwhile.
            Err(error) if is_retry(&error) && self.has(Flags::FAILING | Flags::DONE) => {}
            Err(error) if is_retry(&error) => self.set(Flags::UNFLUSHED),
            Err(error) => return self.fail_writing(error.into()),
        }
        self.sync_interest();
    }
}

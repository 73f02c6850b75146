//! The transport's side of the connection callback: how a run begins, continues with the output,
//! and ends.

use std::any::Any;
use std::rc::Rc;

use mainspring_sys::Readiness;

use super::Transport;
use super::flags::Flags;
use super::state::TransportState;
use super::stream_cell::StreamCell;
use crate::error::Error;
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::read_buffer::ReadBuffer;
use crate::handle::Key;

/// A water mark that the queue has crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaterMark {
    /// The queue is longer than the high-water mark.
    High,
    /// The queue is not longer than the low-water mark again.
    Low,
}

impl TransportState<dyn StreamCell> {
    /// Begins a run of the callback. Returns true in the plain case: there is input, and nothing
    /// else to do before it is read. This one test of the flags is all that most events need.
    #[inline]
    pub(crate) fn begin_run(&self, readiness: Readiness) -> bool {
        let flags = self.flags.get();
        self.flags.set(flags.union(Flags::RUNNING));
        readiness == Readiness::READABLE && !flags.intersects(Flags::SLOW_START)
    }

    /// Ends a run without anything left to do. Returns false, and changes nothing, if the run must
    /// [continue with the output](super::Transport::continue_output) or is the last one.
    #[inline]
    pub(crate) fn end_plain_run(&self) -> bool {
        let flags = self.flags.get();
        if flags.intersects(Flags::SLOW_END) {
            return false;
        }
        self.flags.set(flags.difference(Flags::RUNNING));
        #[cfg(debug_assertions)]
        self.verify();
        true
    }

    /// Returns true if the callback must run again although no event comes.
    pub(super) fn has_more_to_do(&self) -> bool {
        self.has(Flags::MAYBE_READABLE | Flags::UNANNOUNCED)
            || self.crossed_mark().is_some()
            || self.can_finish_output()
    }

    pub(super) fn crossed_mark(&self) -> Option<WaterMark> {
        let (low, high) = self.extra.get()?.water_marks.get();
        let (queued, is_paused) = (self.queued(), self.has(Flags::WRITING_PAUSED));
        if self.has(Flags::LINGERING | Flags::FAILING | Flags::DONE) {
            None
        } else if !is_paused && queued > high as usize {
            Some(WaterMark::High)
        } else if is_paused && queued <= low as usize {
            Some(WaterMark::Low)
        } else {
            None
        }
    }
}

impl Transport {
    /// Returns the shared state, for the runs of the callback.
    #[inline]
    pub(crate) fn state(&self) -> &TransportState<dyn StreamCell> {
        &self.state
    }

    /// Continues the beginning of a run that is not plain. Returns true if `connection_made` was
    /// not called yet.
    ///
    /// An entry without readiness is the one that [`feed`](TransportState::feed) has queued. An
    /// event leaves the mark of that entry: otherwise both would queue another one, and the deque
    /// would grow.
    pub(crate) fn begin_other_run(&self, readiness: Readiness) -> bool {
        if readiness.is_empty() {
            self.state.unset(Flags::SELF_QUEUED);
        }
        let is_new = self.state.has(Flags::UNANNOUNCED);
        self.state.unset(Flags::UNANNOUNCED);
        is_new
    }

    /// Clears the loop's read buffer for a user-defined stream. Such a stream may return a greater
    /// count than it has written, and must not reveal the input of another connection.
    pub(crate) fn clear_buffer_for_custom(&self, core: &LoopCore) {
        if self.state.has(Flags::CUSTOM) && !self.state.has(Flags::NO_READ) {
            ReadBuffer::of(core).fill(0);
        }
    }

    /// Has `connection_made` called in the next tick.
    pub(crate) fn announce(&self) {
        self.state.set(Flags::UNANNOUNCED);
        self.state.feed();
    }

    /// Ends a run. A callback of the water marks may itself have crossed one, which the next tick
    /// reports.
    pub(crate) fn end_run(&self) {
        self.state.unset(Flags::RUNNING);
        if self.state.has_more_to_do() {
            self.state.feed();
        }
        #[cfg(debug_assertions)]
        self.state.verify();
    }

    /// Ends the connection, if it has not ended, and its last run. Writes are dropped from now on.
    #[cold]
    pub(crate) fn end_last_run(&self) {
        self.abort();
        #[cfg(debug_assertions)]
        self.state.verify();
    }

    /// Writes from the queue, and continues with what waits for its end.
    pub(crate) fn continue_output(&self, readiness: Readiness) {
        let state = &*self.state;
        // First: the timer runs the callback, and the limit may end the connection.
        if state.has(Flags::LIMITED) {
            state.check_limit();
        }
        if state.has(Flags::DONE) {
            return;
        }
        if state.has(Flags::LINGERING) {
            let may_have =
                readiness.contains(Readiness::READABLE) || state.has(Flags::MAYBE_READABLE);
            state.linger(may_have && state.may_read(readiness));
        } else if !state.has(Flags::UNSENT) {
            state.finish_output();
        } else if readiness.contains(Readiness::WRITABLE) {
            state.flush();
        }
    }

    /// Returns the water mark that the queue has crossed, for the protocol. High and low alternate.
    /// At the low one reading continues, unless the user has paused it.
    pub(crate) fn check_water_marks(&self) -> Option<WaterMark> {
        let mark = self.state.crossed_mark();
        match mark {
            Some(WaterMark::High) => self.state.set(Flags::WRITING_PAUSED),
            Some(WaterMark::Low) => {
                self.state.unset(Flags::WRITING_PAUSED | Flags::READ_HELD);
                self.state.sync_interest();
            }
            None => {}
        }
        mark
    }

    /// Stops reading until the queue is short again, whether or not the user pauses and resumes
    /// meanwhile. Does nothing if the queue is not long.
    pub(crate) fn hold_reading(&self) {
        if self.state.has(Flags::WRITING_PAUSED) {
            self.state.pause(Flags::READ_HELD);
        }
    }

    /// Ends the connection because its descriptor was closed while it was watched.
    #[cold]
    pub(crate) fn fail_closed_fd(&self) {
        self.state.fail(Error::closed_while_watched(self.state.fd));
    }

    pub(crate) fn key(&self) -> Key {
        self.state.key
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.has(Flags::DONE)
    }

    /// Adds the failed operation and its descriptor to the error, for a report.
    pub(crate) fn naming_fd(&self, error: Error) -> Error {
        let (operation, fd) = self.state.failed_operation();
        match error {
            Error::Io(source) => Error::Watch { operation, fd, source },
            other => other,
        }
    }

    /// Takes the error that has ended the connection.
    pub(crate) fn take_error(&self) -> Option<Box<Error>> {
        self.state.extra.get()?.error.take()
    }

    /// Ends the connection of a callback that is dropped. If another callback has replaced it, the
    /// connection stays open, and `kept` lives as long.
    pub(crate) fn detach(&self, kept: Option<Box<dyn Any>>) {
        if self.state.has(Flags::REPLACED) {
            self.state.unset(Flags::REPLACED);
            self.state.keep(kept);
        } else {
            self.state.detach();
        }
    }

    /// Returns true if another callback has replaced the running one.
    pub(crate) fn is_replaced(&self) -> bool {
        self.state.has(Flags::REPLACED)
    }

    /// Sets or clears the mark that the callback that runs, or is dropped now, is replaced. Returns
    /// the mark before.
    pub(crate) fn set_replaced(&self, replaced: bool) -> bool {
        let before = self.is_replaced();
        match replaced {
            true => self.state.set(Flags::REPLACED),
            false => self.state.unset(Flags::REPLACED),
        }
        before
    }

    /// Ends the last run of a replaced callback, with the error that it returned. The new callback
    /// runs in the next tick.
    #[cold]
    pub(crate) fn end_replaced_run(&self, error: Option<Box<Error>>) {
        if let Some(error) = error {
            self.state.fail(*error);
        }
        self.state.unset(Flags::RUNNING);
        self.state.feed();
        #[cfg(debug_assertions)]
        self.state.verify();
    }

    /// Returns true if `core` belongs to the connection's loop.
    pub(crate) fn is_of(&self, core: &Rc<LoopCore>) -> bool {
        Rc::ptr_eq(&self.state.core, core)
    }
}

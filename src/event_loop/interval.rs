//! The callback of an interval.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mainspring_sys::Readiness;

use super::LoopHandle;
use super::callback::{Flow, RepeatCell, keep_unless_failed};
use super::callback_result::CallbackResult;
use super::loop_core::LoopCore;
use crate::clock::IntervalGrid;
use crate::snapshot::{EntryKind, Facts};
use crate::timers::TimerSlot;

/// The callback of an interval, and the grid of its ticks. The grid is outside the cell, so that it
/// can be moved while the closure runs.
pub(crate) struct Periodic<F> {
    pub(crate) core: Rc<LoopCore>,
    pub(crate) timer: TimerSlot,
    pub(crate) grid: IntervalGrid,
    pub(crate) callback: RefCell<F>,
}

impl<F> Periodic<F> {
    /// Arms the next tick, and returns the number of ticks that were skipped.
    fn advance(&self) -> u64 {
        let skipped = self.grid.advance(self.core.timeline.now_nanos());
        self.core.timers.borrow_mut().reset(self.timer, self.grid.next());
        skipped
    }
}

/// Sets a count to zero when it is dropped, even by a panic.
struct ResetOnDrop<'a>(&'a Cell<u64>);

impl Drop for ResetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

impl<S, F, R> RepeatCell<S> for Periodic<F>
where
    F: FnMut(&LoopHandle<S>, &mut S) -> R,
    R: CallbackResult,
{
    fn call(&self, el: &LoopHandle<S>, state: &mut S, _: Readiness) -> Flow {
        // Before the closure runs, which may move or disarm the next tick.
        let skipped = self.advance();
        self.core.skipped_ticks.set(skipped);
        let _reset = ResetOnDrop(&self.core.skipped_ticks);
        keep_unless_failed((self.callback.borrow_mut())(el, state).into_result())
    }

    fn take_watched(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn is_running(&self) -> bool {
        self.callback.try_borrow_mut().is_err()
    }

    fn survives_panics(&self) -> bool {
        false
    }

    fn kind(&self) -> Option<EntryKind> {
        None
    }

    fn facts(&self) -> Facts {
        Facts { is_running: RepeatCell::<S>::is_running(self), ..Facts::default() }
    }

    fn grid(&self) -> Option<&IntervalGrid> {
        Some(&self.grid)
    }
}

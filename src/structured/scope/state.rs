//! The state of a scope, which its clones and its runs share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::step_counter::step;
use crate::task::cancel_region::{Guard, Region};
use crate::task::{Cancelled, current};

/// Name of the public call, for messages.
pub(super) const CALL: &str = "mainspring::CancelScope::run";

#[derive(Default)]
pub(super) struct ScopeState {
    pub(super) cancelled: RefCell<Option<Cancelled>>,
    pub(super) limit: Cell<Limit>,
    pub(super) shielded: Cell<bool>,
    /// Reason of a cancellation by the deadline; `None` if the user has set the deadline.
    pub(super) deadline_reason: Cell<Option<&'static str>>,
    /// Regions of the futures that the scope runs, by number.
    pub(super) runs: RefCell<BTreeMap<u64, Rc<Region>>>,
    /// The number of the next run.
    pub(super) next: Cell<u64>,
}

/// The deadline of a scope.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) enum Limit {
    #[default]
    Never,
    At(Instant),
    /// Counted from the first poll, because no loop ran, and there was no clock to read.
    After(Duration),
}

impl Limit {
    /// Returns a limit counted from now, if a loop runs. A time beyond the range of `Instant` is
    /// never.
    pub(super) fn after(limit: Duration) -> Limit {
        let Some(tasks) = current::running() else { return Limit::After(limit) };
        tasks.core.timeline.now().checked_add(limit).map_or(Limit::Never, Limit::At)
    }

    /// Returns true if `next` is no sooner than this limit, so that no run is late for it.
    pub(super) fn is_followed_by(self, next: Limit) -> bool {
        matches!((self, next), (Limit::At(old), Limit::At(new)) if old <= new)
    }
}

impl ScopeState {
    /// Cancels every run, the first time; a run that begins later is requested to end from its
    /// beginning. Returns false if the scope was cancelled before.
    pub(super) fn cancel(&self, cancelled: Cancelled) -> bool {
        let mut slot = self.cancelled.borrow_mut();
        if slot.is_some() {
            return false;
        }
        *slot = Some(cancelled);
        drop(slot);
        // A copy, because a cancelled run may end and leave the map.
        self.runs().iter().for_each(|run| run.cancel());
        true
    }

    /// Cancels the scope because its deadline has passed.
    pub(super) fn expire(&self) {
        let reason = self.deadline_reason.get();
        let text = reason.unwrap_or("the deadline has passed");
        self.cancel(Cancelled::new(text.into(), reason.is_none()));
    }

    pub(super) fn runs(&self) -> Vec<Rc<Region>> {
        self.runs.borrow().values().inspect(|_| step()).cloned().collect()
    }

    pub(super) fn guard(&self) -> Guard {
        if self.shielded.get() { Guard::Shield } else { Guard::None }
    }

    /// Returns the deadline, in the time of the running loop.
    pub(super) fn deadline(&self, location: &'static Location<'static>) -> Option<Instant> {
        if let Limit::After(limit) = self.limit.get() {
            self.limit.set(Limit::after(limit));
        }
        match self.limit.get() {
            Limit::At(deadline) => Some(deadline),
            Limit::Never => None,
            Limit::After(_) => current::no_loop_at(CALL, location),
        }
    }
}

//! Cancellation of a task, and its region.

use std::rc::Rc;

use super::Tasks;
use super::state::Flags;
use crate::handle::{Handle, Key};
use crate::task::cancel_region::Region;
use crate::task::outcome::CancelReason;

impl Tasks {
    /// Requests the end of a task. Returns false if it is done or was cancelled before.
    pub(crate) fn cancel_task(&self, key: Key, reason: CancelReason) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return false };
        if task.slot.flags.intersects(Flags::DONE | Flags::CANCELLING | Flags::MAIN) {
            return false;
        }
        task.slot.flags.insert(Flags::CANCELLING);
        let is_running = task.slot.flags.contains(Flags::RUNNING);
        let is_queued = task.slot.flags.contains(Flags::QUEUED);
        let details = task.details_or_new();
        details.reason = Some(reason);
        details.had_last_poll = is_running;
        let region = details.region.clone();
        // Without `QUEUED`: if the task has that flag when it is reached, something has woken it,
        // and it gets a last poll.
        details.is_queued_to_end = region.is_none() && !is_queued;
        let must_queue = details.is_queued_to_end;
        drop(slots);
        if let Some(region) = region {
            region.cancel();
        } else if must_queue {
            self.core.feed(key);
        }
        true
    }

    /// Returns the region of a task, if it has needed one.
    pub(in crate::task) fn region(&self, task: Handle) -> Option<Rc<Region>> {
        self.slots.borrow_mut().get(task.key)?.details()?.region.clone()
    }

    /// Returns the region of a task, for a guard that registers there.
    pub(in crate::task) fn region_or_new(&self, task: Handle) -> Option<Rc<Region>> {
        let mut slots = self.slots.borrow_mut();
        let entry = slots.get(task.key)?;
        let is_requested = entry.slot.flags.contains(Flags::CANCELLING);
        let new = || Region::of_task(task, is_requested);
        Some(entry.details_or_new().region.get_or_insert_with(new).clone())
    }

    /// Returns true if the task will be cancelled after its current poll.
    pub(in crate::task) fn ends_next(&self, task: Handle) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(task.key) else { return false };
        task.slot.flags.contains(Flags::CANCELLING) && !task.is_guarded()
    }
}

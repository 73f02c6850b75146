//! Waits of tasks that an event, or other code, can end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Tasks;
use super::io_slot::IoSlot;
use crate::task::cancel_region::count_wakers;
use crate::task::kept_wakers;

impl Tasks {
    /// Returns true if a descriptor has a waiter.
    pub(super) fn is_descriptor_awaited(&self) -> bool {
        // The search begins at the one that the last call has found, and usually ends there.
        let found = self.ios.borrow().find(self.last_awaited.get(), IoSlot::is_awaited);
        self.last_awaited.set(found.unwrap_or(0));
        found.is_some()
    }

    /// Returns true if other code has kept a waker of a task, so that it can wake the task at any
    /// time. Wakers that this crate keeps for itself do not count.
    pub(super) fn is_waker_shared(&self) -> bool {
        let mut kept = HashMap::new();
        count_wakers(self.loop_id(), &mut kept);
        kept_wakers::count(&mut kept);
        let slots = self.slots.borrow();
        let is_shared = slots.any_waker(|waker| {
            let ours = kept.get(&Arc::as_ptr(waker).cast::<()>()).copied().unwrap_or(0);
            Arc::strong_count(waker) > ours + 1
        });
        // Pairs with the release of a thread that drops its clone, after it has used it.
        fence(Ordering::Acquire);
        is_shared
    }
}

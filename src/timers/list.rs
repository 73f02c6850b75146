//! The armed timers, for metrics and snapshots.

use super::{TimerState, Timers};
use crate::handle::Key;

impl Timers {
    /// Returns the number of armed timers.
    pub(crate) fn count(&self) -> usize {
        self.live_entries + self.far.len()
    }

    /// Returns true if there is no timer, not even an idle one.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the keys and deadlines of all armed timers.
    pub(crate) fn armed_timers(&self) -> impl Iterator<Item = (Key, u64)> {
        self.slots.iter().filter_map(|timer| match timer.state {
            TimerState::Armed(armed) => Some((timer.key, armed.deadline)),
            TimerState::Unarmed(_) => None,
        })
    }
}

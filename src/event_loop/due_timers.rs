//! The timers of the loop's clock: the first deadline, and those that are due.

use std::time::Duration;

use mainspring_sys::Readiness;

use super::loop_core::LoopCore;
use super::task_port::TaskLayer;
use crate::handle::Key;
use crate::timers::TimerSlot;

impl LoopCore {
    /// Returns the time until the first deadline, and `None` if there is no deadline.
    #[inline]
    pub(crate) fn time_to_deadline(&self) -> Option<Duration> {
        let deadline = self.timers.borrow_mut().next_deadline()?;
        Some(Duration::from_nanos(deadline.saturating_sub(self.timeline.now_nanos())))
    }

    /// Feeds the timers that are due.
    #[inline(never)]
    pub(crate) fn feed_timers(&self, tasks: &dyn TaskLayer) {
        let now = self.timeline.now_nanos(); // A custom clock may use the loop.
        let mut ready = self.agenda.ready.borrow_mut();
        let [mut reports_due, mut children_due, mut comparison_due] = [false; 3];
        let (times, tape) = (self.page.times(), self.tape.get());
        let is_timed = times.is_some() || tape.is_some();
        if let Some(tape) = tape {
            tape.begin_timers(ready.len());
        }
        let fed = self.timers.borrow_mut().feed(now, |key, deadline| {
            match key.is_task_layer() {
                true if key.is_internal() => match key {
                    Key::REPORTS => reports_due = true,
                    Key::CHILDREN => children_due = true,
                    _ => comparison_due = true,
                },
                true => tasks.feed_timer(key, &mut ready),
                false => ready.feed(key, Readiness::empty()),
            }
            if is_timed {
                times.inspect(|times| times.add_lateness(now - deadline));
                tape.inspect(|tape| tape.add_deadline(ready.len(), deadline));
            }
        });
        drop(ready);
        self.page.timers_run.add(fed);
        #[cfg(feature = "tracing")]
        tasks.record_timers();
        if reports_due {
            self.flush_reports();
        }
        if children_due {
            self.feed_due_children(now);
        }
        if comparison_due {
            self.feed_timebases(tasks);
        }
    }

    /// Returns true if a timer has a deadline, however far away.
    pub(crate) fn is_armed(&self, timer: TimerSlot) -> bool {
        self.timers.borrow().deadline(timer).is_some()
    }
}

//! The timers of the loop's clock: the first deadline, and those that are due.

use std::time::Duration;

use mainspring_sys::Readiness;

use super::loop_core::LoopCore;
use super::source::Source;
use super::task_port::TaskLayer;
use crate::handle::Key;
use crate::timers::TimerSlot;

/// Timers of the loop itself that are due. They are not counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct InternalTimers {
    reports: bool,
    children: bool,
    comparison: bool,
}

impl InternalTimers {
    fn add(&mut self, key: Key) {
        match key {
            Key::REPORTS => self.reports = true,
            Key::CHILDREN => self.children = true,
            _ => self.comparison = true,
        }
    }

    fn count(&self) -> u64 {
        [self.reports, self.children, self.comparison].map(u64::from).iter().sum()
    }
}

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
        let (count, internal) = match self.is_instrumented.get() {
            false => self.feed_timers_at(now, tasks, |_, _| {}),
            true => self.feed_timers_instrumented(now, tasks),
        };
        #[cfg(feature = "tracing")]
        tasks.record_timers();
        match internal == InternalTimers::default() {
            true => self.page.timers_run.add(count),
            false => self.end_internal_timers(&internal, now, tasks, count),
        }
    }

    /// Feeds the timers that are due, and notes their deadlines.
    #[cold]
    fn feed_timers_instrumented(&self, now: u64, tasks: &dyn TaskLayer) -> (u64, InternalTimers) {
        let times = self.page.times();
        let queued = self.agenda.ready.borrow().len();
        let mut deadlines = self.tape.get().map(|tape| tape.begin_timers(queued));
        self.feed_timers_at(now, tasks, |deadline, has_fed| {
            if let Some(times) = times {
                times.add_lateness(now - deadline);
            }
            if has_fed && let Some(deadlines) = &mut deadlines {
                deadlines.push(deadline);
            }
        })
    }

    /// Feeds the timers that are due at `now`. Returns their number, and those that are the loop's
    /// own. Passes the deadline of each other one to `note`, and true if it has fed a key.
    // Inlined always: a test for instruments in the loop costs each timer 10 instructions.
    #[inline(always)]
    fn feed_timers_at(
        &self,
        now: u64,
        tasks: &dyn TaskLayer,
        mut note: impl FnMut(u64, bool),
    ) -> (u64, InternalTimers) {
        let mut ready = self.agenda.ready.borrow_mut();
        let mut internal = InternalTimers::default();
        let count = self.timers.borrow_mut().feed(now, |key, deadline| {
            let has_fed = match key.is_task_layer() {
                true if key.is_internal() => return internal.add(key),
                true => tasks.feed_timer(key, &mut ready),
                false => {
                    ready.feed(key, Readiness::empty());
                    true
                }
            };
            note(deadline, has_fed);
        });
        (count, internal)
    }

    /// Ends a feed of `count` timers, `due` of which are the loop's own.
    #[cold]
    fn end_internal_timers(
        &self,
        due: &InternalTimers,
        now: u64,
        tasks: &dyn TaskLayer,
        count: u64,
    ) {
        self.page.timers_run.add(count - due.count());
        if due.reports {
            self.flush_reports();
        }
        if due.children {
            self.feed_due_children(now);
        }
        if due.comparison {
            self.feed_timebases(tasks);
        }
    }

    /// Returns true if the timer of `source` was due, and its callback has not run yet.
    pub(crate) fn is_due(&self, source: Source) -> bool {
        match source {
            Source::Timer(timer) | Source::Interval(timer) => self.timers.borrow().is_fed(timer),
            _ => source.clock_slot().is_some_and(|slot| self.timebases.is_fed(slot)),
        }
    }

    /// Returns true if a timer has a deadline, however far away.
    pub(crate) fn is_armed(&self, timer: TimerSlot) -> bool {
        self.timers.borrow().deadline(timer).is_some()
    }
}

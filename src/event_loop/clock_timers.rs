//! Timers of other clocks, and the mechanisms that wake the loop for them.
//!
//! The selector sleeps on the loop's clock. So one of three things wakes the loop, depending on the
//! [`JumpDetection`] of its clock:
//!
//! * a kernel timer, one descriptor for each clock that has timers;
//! * a [`JumpNotice`](crate::JumpNotice), and a timer of the loop at the deadline;
//! * a timer of the loop at the deadline, and every second before, which compares the clocks. It
//!   also replaces a kernel timer that cannot be created.
//!
//! A loop without such timers has none of these, and its ticks do not check for them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mainspring_sys::clock::ClockTimer;
use mainspring_sys::{Interest, Readiness, TriggerMode};

use super::loop_core::{LoopCore, TIMEBASES};
use super::task_port::TaskLayer;
use super::timebases::{ClockSlot, ClockTable};
use crate::clock::{JumpDetection, JumpListener, NEVER, Timebase};
use crate::handle::Key;
use crate::timers::TimerSlot;
use crate::watchers::wakeup_bit;

/// Time between two comparisons, in nanoseconds: the longest delay after a jump.
const COMPARISON_INTERVAL: u64 = 1_000_000_000;

/// The wakeups by the kernel's timers of all clocks.
pub(super) const CLOCK_WAKEUPS: u16 = wakeup_of(Timebase::Wall) | wakeup_of(Timebase::Boot);

const fn wakeup_of(timebase: Timebase) -> u16 {
    wakeup_bit(TIMEBASES[timebase as usize])
}

impl JumpListener for LoopCore {
    fn on_jump(&self) {
        self.timebases.has_jumped.set(true);
        self.agenda.add_wakeups(CLOCK_WAKEUPS);
    }
}

impl LoopCore {
    /// Adds a timer of another clock, which is due at `deadline`.
    pub(crate) fn add_clock_timer(&self, timebase: Timebase, deadline: u64, key: Key) -> ClockSlot {
        let timer = self.timebases.table(timebase).borrow_mut().timers.insert(deadline, key);
        self.arm_timebase(timebase);
        ClockSlot { timebase, timer }
    }

    /// Adds the timer of a schedule of the wall clock. Its key is due at `deadline`, and after each
    /// jump of the clock.
    pub(crate) fn add_schedule(&self, deadline: u64, key: Key) -> ClockSlot {
        let slot = self.add_clock_timer(Timebase::Wall, deadline, key);
        let mut table = self.timebases.table(Timebase::Wall).borrow_mut();
        table.schedules.insert(key, slot.timer);
        slot
    }

    pub(crate) fn reset_clock_timer(&self, slot: ClockSlot, deadline: u64) {
        let table = self.timebases.table(slot.timebase);
        table.borrow_mut().timers.reset(slot.timer, deadline);
        self.arm_timebase(slot.timebase);
    }

    /// Removes a timer of another clock, which may be that of the schedule `key`.
    pub(crate) fn remove_clock_timer(&self, slot: ClockSlot, key: Key) {
        let mut table = self.timebases.table(slot.timebase).borrow_mut();
        table.timers.remove(slot.timer);
        table.schedules.remove(&key);
        drop(table);
        self.arm_timebase(slot.timebase);
    }

    /// Feeds the timers that are due by their clocks, and schedules after a jump.
    #[cold]
    pub(super) fn feed_timebases(&self, tasks: &dyn TaskLayer) {
        let has_jumped = self.timebases.has_jumped.take();
        for timebase in Timebase::ALL {
            let is_pending = self.agenda.is_wakeup_pending(wakeup_of(timebase));
            self.agenda.remove_wakeup(wakeup_of(timebase));
            let was_set = is_pending && self.drain_kernel_timer(timebase);
            self.record_clock_timers(|| {
                self.feed_timebase(timebase, has_jumped || was_set, tasks);
            });
            #[cfg(feature = "tracing")]
            tasks.record_timers();
            self.arm_timebase(timebase);
        }
    }

    fn feed_timebase(&self, timebase: Timebase, has_jumped: bool, tasks: &dyn TaskLayer) {
        let table = self.timebases.table(timebase);
        if table.borrow().timers.is_empty() {
            return;
        }
        let now = self.timeline.nanos_in(timebase); // A custom clock may use the loop.
        let mut table = table.borrow_mut();
        let mut ready = self.agenda.ready.borrow_mut();
        let times = self.page.times();
        let fed = table.timers.feed(now, |key, deadline| {
            match key.is_task_layer() {
                true => _ = tasks.feed_timer(key, &mut ready),
                false => ready.feed(key, Readiness::empty()),
            }
            if let Some(times) = times {
                times.add_lateness(now - deadline);
            }
        });
        self.page.timers_run.add(fed);
        if has_jumped || table.kernel.is_none() && !self.announces_jumps() {
            let armed = |timer: &TimerSlot| table.timers.deadline(*timer).is_some();
            let schedules = table.schedules.iter().filter(|(_, timer)| armed(timer));
            schedules.for_each(|(key, _)| ready.feed(*key, Readiness::empty()));
        }
    }

    fn announces_jumps(&self) -> bool {
        self.timebases.detection() == JumpDetection::Announced
    }

    /// Makes sure that the loop wakes for the first deadline of a clock.
    fn arm_timebase(&self, timebase: Timebase) {
        if self.closed.get() || self.is_forked() {
            return;
        }
        let mut table = self.timebases.table(timebase).borrow_mut();
        let is_armed = !table.timers.is_empty()
            && self.timebases.detection() == JumpDetection::System
            && self.arm_kernel_timer(timebase, &mut table).is_ok();
        if !is_armed {
            self.close_kernel_timer(&mut table);
        }
        drop(table);
        self.arm_comparison();
    }

    /// Sets the kernel's timer if the first deadline is earlier than its own. A deadline that was
    /// removed stays set: it wakes the loop once, which is cheaper than a call for each removal.
    fn arm_kernel_timer(&self, timebase: Timebase, table: &mut ClockTable) -> io::Result<()> {
        let Some(deadline) = table.timers.next_deadline() else { return Ok(()) };
        let kernel = match &mut table.kernel {
            Some(kernel) => kernel,
            none => {
                table.kernel_deadline = NEVER;
                none.insert(self.open_kernel_timer(timebase)?)
            }
        };
        if deadline < table.kernel_deadline {
            if kernel.set(Duration::from_nanos(deadline))? {
                self.on_jump();
            }
            table.kernel_deadline = deadline;
        }
        Ok(())
    }

    fn open_kernel_timer(&self, timebase: Timebase) -> io::Result<ClockTimer> {
        let timer = match timebase {
            Timebase::Wall => ClockTimer::wall()?,
            Timebase::Boot => ClockTimer::boot()?,
        };
        let (fd, mode) = (timer.as_fd().as_raw_fd(), TriggerMode::Level);
        let token = TIMEBASES[timebase as usize];
        let mut watchers = self.watchers.borrow_mut();
        watchers.selector().register(fd, token, Interest::READABLE, mode)?;
        watchers.add_internal(fd, token, mode);
        Ok(timer)
    }

    fn close_kernel_timer(&self, table: &mut ClockTable) {
        if let Some(timer) = table.kernel.take() {
            self.watchers.borrow_mut().remove_internal(timer.as_fd().as_raw_fd());
        }
    }

    /// Takes the report of the kernel's timer. Returns true if its clock was set. A timer that
    /// cannot be read is closed, and replaced when it is armed.
    fn drain_kernel_timer(&self, timebase: Timebase) -> bool {
        let mut table = self.timebases.table(timebase).borrow_mut();
        table.kernel_deadline = NEVER;
        match table.kernel.as_ref().map(ClockTimer::drain) {
            None => false,
            Some(Ok(was_set)) => was_set,
            Some(Err(_)) => {
                self.close_kernel_timer(&mut table);
                true
            }
        }
    }

    /// Sets the timer of the loop that compares the clocks, for those without a kernel timer.
    ///
    /// Like a kernel timer, it is moved only to an earlier time. Otherwise, timers that are added
    /// more often than once a second would postpone it again and again. A custom clock may also
    /// add a timer while it is read here: the deadline of that inner call stays if it is earlier.
    fn arm_comparison(&self) {
        let deadline = self.first_wait(|table| table.kernel.is_none());
        let mut timers = self.timers.borrow_mut();
        match (self.timebases.comparison.get(), deadline) {
            (Some(timer), Some(deadline)) => {
                if timers.deadline(timer).is_none_or(|armed| deadline < armed) {
                    timers.reset(timer, deadline);
                }
            }
            (Some(timer), None) => timers.disarm(timer),
            (None, Some(deadline)) => {
                let timer = timers.insert(deadline, Key::TIMEBASES);
                self.timebases.comparison.set(Some(timer));
            }
            (None, None) => {}
        }
    }

    /// Returns the time of the loop's clock at which the first timer may be due, of the clocks that
    /// are `wanted`.
    fn first_wait(&self, wanted: impl Fn(&ClockTable) -> bool) -> Option<u64> {
        let waits = Timebase::ALL.map(|timebase| {
            let mut table = self.timebases.table(timebase).borrow_mut();
            let deadline = if wanted(&table) { table.timers.next_deadline() } else { None };
            drop(table); // A custom clock may use the loop.
            deadline.map(|deadline| self.wait_for(timebase, deadline))
        });
        waits.into_iter().flatten().min()
    }

    /// Returns the time of the loop's clock at which another clock may show `deadline`.
    fn wait_for(&self, timebase: Timebase, deadline: u64) -> u64 {
        let left = deadline.saturating_sub(self.timeline.nanos_in(timebase));
        let wait = if self.announces_jumps() { left } else { left.min(COMPARISON_INTERVAL) };
        self.timeline.now_nanos().saturating_add(wait)
    }

    /// Returns the time at which a host without a descriptor of the loop must call it, for the
    /// timers of the kernel. `None` if there is such a descriptor.
    pub(super) fn hidden_deadline(&self) -> Option<u64> {
        if self.watchers.borrow_mut().selector().poll_fd().is_some() {
            return None;
        }
        self.first_wait(|table| table.kernel.is_some())
    }

    /// Closes the kernel's timers of the parent, which a forked child shares.
    pub(super) fn forget_kernel_timers(&self) {
        for table in &self.timebases.tables {
            self.close_kernel_timer(&mut table.borrow_mut());
        }
    }

    /// Arms all timers of other clocks, in a forked child that owns the loop now.
    pub(super) fn rearm_timebases(&self) {
        Timebase::ALL.into_iter().for_each(|timebase| self.arm_timebase(timebase));
    }

    /// Closes the kernel's timers of a loop that is being closed.
    pub(super) fn close_timebases(&self) {
        self.forget_kernel_timers();
        if let Some(timer) = self.timebases.comparison.take() {
            self.timers.borrow_mut().remove(timer);
        }
    }
}

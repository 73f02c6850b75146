//! A tick: one pass of the loop, stage by stage, as in the diagram of the README.

use std::mem;
use std::time::Duration;

use mainspring_sys::Readiness;

use super::EventLoop;
use super::clock_timers::CLOCK_WAKEUPS;
use super::loop_core::{CHILDREN, INBOX, SIGNALS};
use super::loop_handle::Shared;
use super::source::Hook;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::ready::Ready;
use crate::tape::Start;
use crate::watchers::{FeedResult, Watchers, wakeup_bit};

/// The longest sleep of a tick that has nothing to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// This long, or until an event if it is `None`.
    AtMost(Option<Duration>),
    /// Until an event, but only if something is still alive after the prepare hooks, which may have
    /// ended the last registration.
    WhileAlive,
    /// Until an event, but only if one can come.
    WhileWakeable,
}

impl<S> EventLoop<S> {
    /// Runs one tick, and returns the number of callbacks and tasks that ran.
    pub(crate) fn run_once(&mut self, sleep: Sleep) -> Result<usize> {
        match self.core.is_instrumented.get() {
            false => self.run_tick::<false>(sleep),
            true => self.run_instrumented_tick(sleep),
        }
    }

    #[cold]
    fn run_instrumented_tick(&mut self, sleep: Sleep) -> Result<usize> {
        self.run_tick::<true>(sleep)
    }

    /// Runs one tick. `INSTRUMENTED` is the loop's `is_instrumented`.
    // A constant, so that a loop without instruments checks for them once a tick, not in each call.
    // There are two copies of a tick, so its stages are always inlined: a call costs a tick about
    // 15 instructions.
    #[inline(always)]
    fn run_tick<const INSTRUMENTED: bool>(&mut self, sleep: Sleep) -> Result<usize> {
        self.begin_tick()?;
        let limit = self.prepare(sleep);
        let timeout = self.time_to_sleep(limit); // zero if anything is ready
        if timeout.is_none() && self.is_stalled(sleep) {
            return Err(self.stalled());
        }
        self.select::<INSTRUMENTED>(timeout)?; // the only place that sleeps
        self.feed_watchers()?; // before a hook can remove a watcher and make its key unknown
        self.run_hooks(Hook::Check);
        self.feed_signals()?;
        self.feed_inbox()?;
        self.feed_timers();
        self.feed_idle();
        // Callbacks are run by `dispatch` only, like the hooks.
        let ran = self.run_batch::<INSTRUMENTED>()?;
        if INSTRUMENTED {
            self.end_tick_timed();
            self.end_sampling();
        }
        self.recheck_inbox();
        Ok(ran)
    }

    #[inline(always)]
    fn begin_tick(&mut self) -> Result<()> {
        self.core.check_open()?;
        if self.core.begin_tick() {
            self.handle.update_gauges();
        }
        Ok(())
    }

    /// Runs the prepare hooks. Returns the limit of the sleep.
    #[inline(always)]
    fn prepare(&mut self, sleep: Sleep) -> Option<Duration> {
        // Without hooks nothing has ended since `run` found something alive.
        let may_sleep = self.core.hooks.is_empty() || self.prepare_by_hooks(sleep);
        match sleep {
            _ if !may_sleep => Some(Duration::ZERO),
            Sleep::AtMost(limit) => limit,
            Sleep::WhileAlive | Sleep::WhileWakeable => None,
        }
    }

    /// Runs the prepare hooks. Returns true if the tick may sleep after them.
    #[cold]
    fn prepare_by_hooks(&mut self, sleep: Sleep) -> bool {
        if let Some(times) = self.core.page.times() {
            times.begin_tick(self.core.timeline.turn_nanos());
        }
        self.run_hooks_of(Hook::Prepare);
        sleep != Sleep::WhileAlive || self.is_alive()
    }

    /// Returns zero if anything is ready, and otherwise the time until the first deadline. `None`
    /// is until an event.
    #[inline(always)]
    fn time_to_sleep(&self, limit: Option<Duration>) -> Option<Duration> {
        if self.core.has_work() {
            return Some(Duration::ZERO);
        }
        match (self.core.time_to_deadline(), limit) {
            (Some(deadline), Some(limit)) => Some(deadline.min(limit)),
            (deadline, limit) => deadline.or(limit),
        }
    }

    #[inline(always)]
    fn select<const INSTRUMENTED: bool>(&mut self, timeout: Option<Duration>) -> Result<()> {
        let is_timed = INSTRUMENTED && self.is_timed();
        let began = if is_timed { self.begin_select_timed(timeout) } else { 0 };
        let selected = self.select_for(timeout);
        if is_timed {
            self.end_select_timed(timeout, began);
        }
        selected
    }

    /// Records the call of the selector. Returns the time.
    fn begin_select_timed(&self, timeout: Option<Duration>) -> u64 {
        let began = self.take_lap();
        let may_sleep = timeout != Some(Duration::ZERO);
        self.core.record_loop(began, if may_sleep { Start::SLEEP } else { Start::POLL });
        began
    }

    fn end_select_timed(&self, timeout: Option<Duration>, began: u64) {
        let (times, may_sleep) = (self.core.page.times(), timeout != Some(Duration::ZERO));
        if times.is_none() && !may_sleep {
            return;
        }
        let ended = self.core.timeline.turn_nanos();
        if may_sleep {
            self.core.record_loop(ended, Start::LOOP);
        }
        if let Some(times) = times {
            times.end_select(began, ended);
        }
    }

    fn end_tick_timed(&self) {
        if let Some(times) = self.core.page.times() {
            let ended = self.take_lap();
            times.end_tick(ended);
            self.lap.set(Some(ended)); // The call of the selector in the next tick begins now.
        }
    }

    #[inline(always)]
    fn select_for(&mut self, timeout: Option<Duration>) -> Result<()> {
        let core = &self.core;
        let clock = core.timeline.clock();
        let max_wait = clock.max_wait(timeout);
        let mut watchers = core.watchers.borrow_mut();
        watchers.selector().select(&mut self.events, max_wait).map_err(Error::Select)?;
        drop(watchers);
        if self.events.is_empty() && timeout != Some(Duration::ZERO) {
            clock.on_timeout(timeout);
        }
        Ok(())
    }

    #[inline(always)]
    fn feed_watchers(&mut self) -> Result<()> {
        let core = &self.core;
        if self.events.is_empty() && !core.saw_unknown_key() {
            return Ok(());
        }
        core.page.add_events(self.events.len());
        let mut ready = core.agenda.ready.borrow_mut();
        let FeedResult { wakeups, unknown_tokens } =
            core.watchers.borrow().feed(&self.events, &mut ready, &core.page);
        drop(ready);
        core.agenda.add_wakeups(wakeups);
        if unknown_tokens || core.take_unknown_key() && self.must_rebuild() {
            core.rebuild()?;
        }
        Ok(())
    }

    /// Returns true if the selector reported a key that no callback owns, or if the kernel object
    /// is incomplete.
    ///
    /// A single miss is harmless: an earlier callback of the batch has removed the owner. A
    /// repeated one means that the kernel still holds a registration that the loop does not have.
    #[cold]
    fn must_rebuild(&self) -> bool {
        let Shared { callbacks, tasks, .. } = &*self.handle.shared;
        let is_incomplete = self.core.watchers.borrow().is_incomplete();
        is_incomplete
            || Watchers::has_unknown_keys(&self.events, |key| match key.is_task_layer() {
                true => tasks.is_watching(key),
                false => callbacks.borrow_mut().get(key).is_some(),
            })
    }

    /// Feeds the handlers of pending signals, then the callbacks of processes that have ended, then
    /// the timers of other clocks.
    #[inline(always)]
    fn feed_signals(&self) -> Result<()> {
        let pending = wakeup_bit(SIGNALS) | wakeup_bit(CHILDREN) | CLOCK_WAKEUPS;
        if self.core.agenda.is_wakeup_pending(pending) { self.feed_wakeups() } else { Ok(()) }
    }

    fn feed_wakeups(&self) -> Result<()> {
        self.feed_pending_signals()?;
        self.core.feed_children()?;
        if self.core.agenda.is_wakeup_pending(CLOCK_WAKEUPS) {
            self.core.feed_timebases(&*self.handle.shared.tasks);
        }
        Ok(())
    }

    fn feed_pending_signals(&self) -> Result<()> {
        let core = &self.core;
        if !core.agenda.is_wakeup_pending(wakeup_bit(SIGNALS)) {
            return Ok(());
        }
        let fed = core.signals.borrow_mut().feed(&mut core.agenda.ready.borrow_mut());
        let (count, wakers) = fed.map_err(Error::Select)?;
        core.page.signals.add(count);
        core.wake_receivers(wakers);
        // Last, so that after an error the next tick tries again.
        core.agenda.remove_wakeup(wakeup_bit(SIGNALS));
        Ok(())
    }

    /// Feeds messages from other threads, a bounded number in each tick.
    #[inline(always)]
    fn feed_inbox(&mut self) -> Result<()> {
        let (agenda, inbox) = (&self.core.agenda, &self.handle.shared.inbox);
        let is_awake = agenda.is_wakeup_pending(wakeup_bit(INBOX));
        if is_awake {
            // Before the inboxes are emptied: a later message then wakes the loop again.
            inbox.drain_wakeup()?;
            agenda.remove_wakeup(wakeup_bit(INBOX));
            self.core.page.wakeups.add(1);
        }
        if is_awake || agenda.check_inbox.get() || inbox.take_wake_failed() {
            self.drain_inbox();
        }
        Ok(())
    }

    #[inline(always)]
    fn drain_inbox(&mut self) {
        // Set first: if a panic ends this tick, the next one checks again.
        self.core.agenda.check_inbox.set(true);
        let Shared { inbox, tasks, messages, .. } = &*self.handle.shared;
        match self.core.is_instrumented.get() {
            _ if !tasks.has_messages() => {} // Messages only.
            false => tasks.drain_inbox(),
            true => self.core.record_wakes(|| tasks.drain_inbox()),
        }
        let mut messages = messages.borrow_mut();
        messages.take_from(inbox);
        let ready = &mut self.core.agenda.ready.borrow_mut();
        let fed = messages.feed(self.core.settings.inbox_batch, ready);
        self.core.page.messages.add(fed as u64);
    }

    #[inline(always)]
    fn recheck_inbox(&mut self) {
        if self.core.agenda.check_inbox.get() {
            self.recheck_messages();
        }
    }

    /// Checks the inboxes again, at the end of a tick that has drained them. If they are empty, the
    /// next sender wakes the loop. Otherwise the next tick does not sleep.
    ///
    /// At the end of a tick rather than before the next sleep, because in an embedded loop the host
    /// sleeps in between.
    #[inline(always)]
    fn recheck_messages(&mut self) {
        let Shared { inbox, tasks, messages, .. } = &*self.handle.shared;
        if inbox.is_notified() {
            messages.borrow_mut().take_from(inbox);
        }
        if tasks.has_messages() {
            tasks.drain_inbox();
        }
        let is_left = !messages.borrow().is_empty() || inbox.is_notified() || tasks.has_messages();
        self.core.agenda.check_inbox.set(is_left);
    }

    #[inline(always)]
    fn feed_timers(&self) {
        // A tick without timers does not read the clock.
        if self.core.timers.borrow().is_any_armed() {
            self.core.feed_timers(&*self.handle.shared.tasks);
        }
    }

    #[inline(always)]
    fn feed_idle(&self) {
        if !self.core.hooks.is_empty() && self.core.agenda.ready.borrow().is_empty() {
            self.core.hooks.for_each(Hook::Idle, |key| self.core.feed(key));
        }
    }

    /// Runs everything that is ready now. Anything that is fed meanwhile waits for the next tick.
    /// Returns the number of callbacks and tasks that ran.
    #[inline(always)]
    fn run_batch<const INSTRUMENTED: bool>(&mut self) -> Result<usize> {
        self.core.agenda.ready.borrow_mut().take_batch(&mut self.batch);
        let queued = self.batch.len();
        if INSTRUMENTED && let Some(tape) = self.core.tape.get() {
            tape.begin_batch(queued);
        }
        let is_only_clocked = INSTRUMENTED && self.is_only_clocked();
        self.core.page.begin_batch(queued);
        let mut missed = 0;
        let process = self.core.process.get();
        let guard = CallGuard(self);
        let el = &mut *guard.0;
        while let Some(ready) = el.batch.pop() {
            let has_run = match INSTRUMENTED {
                false => el.dispatch(ready),
                true if is_only_clocked => el.dispatch_clocked(ready),
                true => el.dispatch_instrumented(ready),
            };
            // Most entries run, so the others are counted.
            if !has_run {
                missed += 1;
            }
            // A local copy: two instructions for each callback. It is out of date after
            // `after_fork_child` in a callback, so the loop's own number is decisive.
            if !process.is_current() && el.core.is_forked() {
                return Err(Error::Forked);
            }
        }
        mem::forget(guard); // The batch is empty, and the drop would check that in each tick.
        self.core.current.set(Key::NONE);
        self.core.interest_changed.set(false);
        if self.core.agenda.has_failures() {
            self.end_failures();
        }
        Ok(queued - missed)
    }

    #[inline]
    fn run_hooks(&mut self, hook: Hook) {
        if !self.core.hooks.is_empty() {
            self.run_hooks_of(hook);
        }
    }

    #[cold]
    fn run_hooks_of(&mut self, hook: Hook) {
        self.handle.shared.soon.borrow_mut().note_hooks(self.core.tick());
        // A separate list, because hooks add and remove hooks. It is kept for its memory.
        let mut due = mem::take(&mut self.due_hooks);
        self.core.hooks.for_each(hook, |key| due.push(key));
        let guard = CallGuard(self);
        for key in due.drain(..) {
            // Even in a loop without instruments: hooks are too rare for another copy of the call.
            guard.0.dispatch_instrumented(Ready { key, readiness: Readiness::empty() });
        }
        drop(guard);
        self.due_hooks = due;
        self.core.mark_sources();
    }
}

/// A tick that calls callbacks. If a panic or a fork ends the calls, the drop leaves no callback
/// current, and puts the rest of the batch back into the ready deque. `interest_changed` stays set
/// then, so the rest is checked again before it runs.
struct CallGuard<'a, S>(&'a mut EventLoop<S>);

impl<S> Drop for CallGuard<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.0.core.current.set(Key::NONE);
        if !self.0.batch.is_empty() {
            put_back(self.0);
        }
    }
}

#[cold]
fn put_back<S>(el: &mut EventLoop<S>) {
    if let Some(tape) = el.core.tape.get() {
        tape.forget_causes();
    }
    el.core.agenda.ready.borrow_mut().put_back(&mut el.batch);
}

//! A tick: one pass of the loop, as the picture shows it.

use std::mem;
use std::time::Duration;

use mainspring_sys::Readiness;

use super::EventLoop;
use super::loop_core::{INBOX, SIGNALS};
use super::loop_handle::Shared;
use super::source::Hook;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::ready::Ready;
use crate::watchers::{FeedResult, Watchers, wakeup_bit};

/// The condition under which a tick may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Until its limit.
    Always,
    /// Only if something is alive after the prepare hooks, which may have ended the last of it.
    WhileAlive,
}

impl<S> EventLoop<S> {
    #[inline]
    pub(crate) fn run_once(&mut self, limit: Option<Duration>) -> Result<usize> {
        self.run_tick(limit, Sleep::Always)
    }

    pub(crate) fn run_tick(&mut self, limit: Option<Duration>, sleep: Sleep) -> Result<usize> {
        self.begin_tick()?;
        let limit = self.prepare(limit, sleep);
        let timeout = self.time_to_sleep(limit); // zero if anything is ready
        self.select(timeout)?; // the only place that sleeps
        self.feed_watchers()?; // before a hook removes a watcher: its event would look like a stranger's
        self.run_hooks(Hook::Check);
        self.feed_signals()?;
        self.feed_inbox()?;
        self.feed_timers();
        self.feed_idle();
        let ran = self.run_batch(); // calls user code, as do the hooks, by `call` only
        self.recheck_inbox();
        Ok(ran)
    }

    fn begin_tick(&mut self) -> Result<()> {
        let core = &self.core;
        core.check_open()?;
        core.tick.set(core.tick.get().wrapping_add(1));
        if core.batch_left.get() > 0 {
            self.resume_batch();
        }
        Ok(())
    }

    /// Without hooks, [`run`](EventLoop::run) has just asked whether anything is alive.
    #[inline]
    fn prepare(&mut self, limit: Option<Duration>, sleep: Sleep) -> Option<Duration> {
        if self.core.hooks.get() == 0 { limit } else { self.prepare_by_hooks(limit, sleep) }
    }

    #[cold]
    fn prepare_by_hooks(&mut self, limit: Option<Duration>, sleep: Sleep) -> Option<Duration> {
        self.run_hooks_of(Hook::Prepare);
        let may_sleep = sleep == Sleep::Always || self.is_alive();
        if may_sleep { limit } else { Some(Duration::ZERO) }
    }

    /// Zero if anything is ready, else the time to the first deadline; `None` is "until an event".
    fn time_to_sleep(&self, limit: Option<Duration>) -> Option<Duration> {
        if self.has_work() {
            return Some(Duration::ZERO);
        }
        match (self.core.time_to_deadline(), limit) {
            (Some(deadline), Some(limit)) => Some(deadline.min(limit)),
            (deadline, limit) => deadline.or(limit),
        }
    }

    fn select(&mut self, timeout: Option<Duration>) -> Result<()> {
        let core = &self.core;
        let clock = core.timeline.clock();
        let allowed = clock.max_wait(timeout);
        let mut watchers = core.watchers.borrow_mut();
        watchers.selector().select(&mut self.events, allowed).map_err(Error::Select)?;
        drop(watchers);
        if self.events.is_empty() && timeout != Some(Duration::ZERO) {
            clock.on_timeout(timeout);
        }
        Ok(())
    }

    fn feed_watchers(&mut self) -> Result<()> {
        let core = &self.core;
        let FeedResult { wakeups, unknown_tokens } =
            core.watchers.borrow().feed(&self.events, &mut core.ready.borrow_mut());
        core.pending_wakeups.set(core.pending_wakeups.get() | wakeups);
        if unknown_tokens || core.saw_unknown_key.take() && self.has_unknown_keys() {
            core.rebuild()?;
        }
        Ok(())
    }

    /// Whether there is an event for nobody. Not so if its callback was removed by another one of
    /// its batch, which is the usual reason for a miss; then no more of them come.
    #[cold]
    fn has_unknown_keys(&self) -> bool {
        let Shared { callbacks, tasks, .. } = &*self.handle.shared;
        Watchers::has_unknown_keys(&self.events, |key| match key.is_task_layer() {
            true => tasks.is_watching(key),
            false => callbacks.borrow_mut().get(key).is_some(),
        })
    }

    fn feed_signals(&self) -> Result<()> {
        let core = &self.core;
        if core.pending_wakeups.get() & wakeup_bit(SIGNALS) == 0 {
            return Ok(());
        }
        let fed = core.signals.borrow_mut().feed(&mut core.ready.borrow_mut());
        fed.map_err(Error::Select)?;
        core.pending_wakeups.set(core.pending_wakeups.get() & !wakeup_bit(SIGNALS));
        Ok(())
    }

    /// Takes a bite of what other threads have sent.
    #[inline]
    fn feed_inbox(&mut self) -> Result<()> {
        let (core, inbox) = (&self.core, &self.handle.shared.inbox);
        let pending_wakeups = core.pending_wakeups.get() & wakeup_bit(INBOX) != 0;
        if pending_wakeups {
            inbox.drain_wakeup()?;
            core.pending_wakeups.set(core.pending_wakeups.get() & !wakeup_bit(INBOX));
        }
        if pending_wakeups || core.check_inbox.get() || inbox.take_wake_failed() {
            self.drain_inbox();
        }
        Ok(())
    }

    fn drain_inbox(&mut self) {
        // Also if a panic keeps the tick from its end, the next one looks again.
        self.core.check_inbox.set(true);
        self.handle.shared.tasks.drain_inbox();
        if self.bite.is_empty() {
            self.handle.shared.inbox.take(&mut self.bite);
        }
        let bite = (self.bite.len() - self.bite_fed).min(self.core.limits.inbox_batch);
        self.bite_fed += bite;
        let mut ready = self.core.ready.borrow_mut();
        (0..bite).for_each(|_| ready.feed(Key::INBOX, Readiness::empty()));
    }

    #[inline]
    fn recheck_inbox(&mut self) {
        if self.core.check_inbox.get() {
            self.recheck_messages();
        }
    }

    /// The end of a tick that has looked into the inbox: if nothing came meanwhile, whoever sends
    /// from now on rings; else the next tick does not sleep.
    fn recheck_messages(&mut self) {
        let Shared { inbox, tasks, .. } = &*self.handle.shared;
        if self.bite.is_empty() && inbox.is_notified() {
            inbox.take(&mut self.bite);
        }
        if tasks.has_messages() {
            tasks.drain_inbox();
        }
        let waits = !self.bite.is_empty() || inbox.is_notified() || tasks.has_messages();
        self.core.check_inbox.set(waits);
    }

    fn feed_timers(&self) {
        self.core.feed_timers(&*self.handle.shared.tasks);
    }

    fn feed_idle(&self) {
        if self.core.hooks.get() > 0 && self.core.ready.borrow().is_empty() {
            self.handle.feed_hooks(Hook::Idle, |key| self.core.feed(key));
        }
    }

    /// Runs what is ready now; what is added meanwhile waits for the next tick.
    fn run_batch(&mut self) -> usize {
        self.core.ready.borrow_mut().take_batch(&mut self.batch);
        let mut ran = 0;
        while let Some(ready) = self.batch.pop() {
            self.core.batch_left.set(self.batch.len());
            ran += usize::from(self.call(ready));
        }
        self.end_calls();
        if self.core.has_failures() {
            self.end_failures();
        }
        ran
    }

    #[inline]
    fn run_hooks(&mut self, hook: Hook) {
        if self.core.hooks.get() > 0 {
            self.run_hooks_of(hook);
        }
    }

    #[cold]
    fn run_hooks_of(&mut self, hook: Hook) {
        let mut due = mem::take(&mut self.due_hooks);
        self.handle.feed_hooks(hook, |key| due.push(key));
        for key in due.drain(..) {
            self.call(Ready { key, readiness: Readiness::empty() });
        }
        self.due_hooks = due;
        self.core.current.set(Key::NONE);
    }

    fn end_calls(&self) {
        self.core.interest_changed.set(false);
        self.core.current.set(Key::NONE);
    }

    /// A callback has panicked in the last tick: the rest of its batch is still to run.
    #[cold]
    fn resume_batch(&mut self) {
        self.core.ready.borrow_mut().put_back(&mut self.batch);
        self.core.batch_left.set(0); // What its interests have become is still to be looked at.
    }
}

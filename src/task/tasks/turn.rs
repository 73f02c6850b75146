//! A turn of a task: its future is polled, and dropped if it was cancelled and still waits.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Flags, Polled, Tasks};
use crate::handle::Key;
use crate::panic::{drop_caught, quietly};
use crate::task::budget;
use crate::task::ending::{JoinError, TaskEnding};
use crate::task::job::{Boxed, Failed};
use crate::task::waker::{Bell, TaskWaker};

impl Tasks {
    /// A turn of a task.
    #[inline]
    pub(super) fn run(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return false };
        let flags = &mut task.slot.flags;
        if flags.intersects(Flags::CANCELLING | Flags::MAIN | Flags::RUNNING | Flags::DONE) {
            drop(slots);
            return self.run_otherwise(key);
        }
        flags.remove(Flags::QUEUED);
        let Some(future) = task.slot.content.take() else { return false };
        task.slot.flags.insert(Flags::STARTED | Flags::RUNNING);
        let own = task.take_waker();
        drop(slots);
        self.turn(key, future, own);
        true
    }

    /// A turn of a task that was cancelled, or whose future is elsewhere. If something has woken a
    /// cancelled task, it is polled once more: an output that is ready by then wins. One that has not
    /// begun never begins.
    #[cold]
    fn run_otherwise(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return false };
        let was_woken = task.slot.flags.contains(Flags::QUEUED);
        task.slot.flags.remove(Flags::QUEUED);
        if task.slot.flags.contains(Flags::MAIN) {
            self.main_due.set(true);
            return true;
        }
        let is_done = task.slot.flags.contains(Flags::DONE);
        let Some(future) = task.slot.content.take_if(|_| !is_done) else { return false };
        let had_last_poll = task.extras().is_some_and(|extras| extras.had_last_poll);
        let may_end = !was_woken || had_last_poll;
        if !task.slot.flags.contains(Flags::STARTED) || may_end && !task.is_guarded() {
            task.slot.content = Some(future);
            drop(slots);
            self.drop_cancelled(key);
            return true;
        }
        task.slot.flags.insert(Flags::RUNNING);
        let own = task.take_waker();
        drop(slots);
        self.turn(key, future, own);
        self.drop_cancelled(key);
        true
    }

    /// Ends a cancelled task that waits, unless a guard inside of it keeps that off.
    fn drop_cancelled(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        if task.slot.flags.contains(Flags::DONE) || task.is_guarded() {
            return;
        }
        let Some(future) = task.slot.content.take() else { return };
        task.slot.flags.insert(Flags::RUNNING);
        let reason = task.extras_or_new().reason.clone().unwrap_or_default();
        drop(slots);
        match drop_caught(future) {
            Ok(()) => self.fail(key, JoinError::Cancelled(reason)),
            Err(payload) => self.fail(key, JoinError::panicked(payload)),
        }
    }

    /// Polls a task's future and sees what comes of it.
    #[inline]
    fn turn(&self, key: Key, future: Boxed, own: Option<Arc<TaskWaker>>) {
        match own {
            None => {
                let bell = self.lend(key);
                self.turn_with(key, future, &bell);
                self.take_back(key, bell);
            }
            Some(own) => self.turn_with_own(key, future, own),
        }
    }

    #[cold]
    fn turn_with_own(&self, key: Key, future: Boxed, own: Arc<TaskWaker>) {
        let bell = Bell::of(own);
        self.turn_with(key, future, &bell);
        self.keep_waker(key, bell);
    }

    #[inline]
    fn turn_with(&self, key: Key, future: Boxed, bell: &Bell) {
        let turn = self.begin_turn(key, bell);
        let mut cx = Context::from_waker(bell.waker());
        let mut life = Life { future: Some(future), output: None };
        // What the future leaves half-changed is dropped with it.
        let polled = catch_unwind(AssertUnwindSafe(|| life.poll(&mut cx)));
        drop(turn);
        match (polled, life) {
            (Err(payload), life) => self.unwound(key, payload, life),
            (Ok(()), Life { output: Some(output), .. }) => {
                self.finish(key, output, TaskEnding::Result);
            }
            (Ok(()), Life { future, .. }) => self.suspend(key, future),
        }
    }

    /// A poll has panicked, or the drop of the future after it: then the output is lost to that.
    #[cold]
    fn unwound(&self, key: Key, payload: Box<dyn Any + Send>, life: Life) {
        // The first panic is the one to tell of.
        quietly(|| drop(life.future));
        quietly(|| drop(life.output));
        self.fail(key, JoinError::panicked(payload));
    }

    #[cold]
    fn fail(&self, key: Key, failure: JoinError) {
        let ending = failure.ending();
        self.finish(key, Box::pin(Failed(failure)), ending);
    }

    /// Puts a future back that waits for something.
    #[inline]
    fn suspend(&self, key: Key, future: Option<Boxed>) {
        if let Some(task) = self.slots.borrow_mut().get(key) {
            task.slot.content = future;
            task.slot.flags.remove(Flags::RUNNING);
        }
    }

    /// Runs `poll` as a turn of the main task.
    pub(in crate::task) fn poll_main<T>(
        &self,
        key: Key,
        poll: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        let poll = |bell: &Bell| {
            let _turn = self.begin_turn(key, bell);
            poll(&mut Context::from_waker(bell.waker()))
        };
        match self.own_waker(key) {
            None => {
                let bell = self.lend(key);
                let polled = poll(&bell);
                self.take_back(key, bell);
                polled
            }
            Some(own) => {
                let bell = Bell::of(own);
                let polled = poll(&bell);
                self.keep_waker(key, bell);
                polled
            }
        }
    }

    fn own_waker(&self, key: Key) -> Option<Arc<TaskWaker>> {
        self.slots.borrow_mut().get(key)?.take_waker()
    }

    #[inline]
    fn begin_turn(&self, key: Key, bell: &Bell) -> Turn<'_> {
        let before = self.polled.replace(Polled { key, waker: bell.waker().data() });
        Turn { tasks: self, before, _budget: budget::Outer::begin_poll() }
    }

    /// A waker for a task that has none.
    #[inline]
    fn lend(&self, key: Key) -> Box<Bell> {
        let bell = self.spare.take().unwrap_or_else(|| self.make_bell());
        bell.assign(key);
        bell
    }

    #[cold]
    fn make_bell(&self) -> Box<Bell> {
        Box::new(Bell::new(self.loop_id(), self.inbox.clone()))
    }

    /// Keeps a waker for the next task, unless somebody else has it or there is one.
    #[inline]
    fn take_back(&self, key: Key, bell: Box<Bell>) {
        if !bell.is_free() {
            return self.keep_waker(key, *bell);
        }
        let other = self.spare.replace(Some(bell));
        drop(other);
    }

    /// A waker that somebody has kept becomes the task's own, as long as the task lives.
    #[cold]
    fn keep_waker(&self, key: Key, bell: Bell) {
        if let Some(task) = self.slots.borrow_mut().get(key)
            && !task.slot.flags.contains(Flags::DONE)
        {
            task.keep_waker(bell.into_inside());
        }
    }
}

/// What there is of a task while it has its turn.
struct Life {
    future: Option<Boxed>,
    output: Option<Boxed>,
}

impl Life {
    /// A future that is over is dropped before anybody sees its output.
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(future) = &mut self.future else { return };
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            self.output = Some(output);
            self.future = None;
        }
    }
}

/// A poll under way: ends also by a panic.
struct Turn<'a> {
    tasks: &'a Tasks,
    before: Polled,
    _budget: budget::Outer,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.tasks.polled.set(self.before);
    }
}

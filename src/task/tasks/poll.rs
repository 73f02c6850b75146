//! One poll of a task. A cancelled task is dropped if it is still pending after the poll.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

#[cfg(feature = "tracing")]
use super::spans;
use super::state::Flags;
use super::{Polling, Tasks};
use crate::awaits::Turn;
use crate::handle::Key;
use crate::metrics::TurnCounter;
use crate::panic::{drop_caught, ignoring_panic};
use crate::task::any_task::{BoxedTask, Failed};
use crate::task::budget;
use crate::task::outcome::{JoinError, TaskEnding};
use crate::task::waker::{PolledWaker, TaskWaker};

impl Tasks {
    /// Polls the task `key`, which the loop has reached in the ready deque. Returns false if there
    /// was nothing to poll.
    #[inline]
    pub(super) fn run(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return false };
        let flags = &mut task.slot.flags;
        // One test for everything unusual keeps the way from task to task short.
        if flags.intersects(Flags::CANCELLING | Flags::MAIN | Flags::RUNNING | Flags::DONE) {
            drop(slots);
            return self.run_unusual(key);
        }
        flags.remove(Flags::QUEUED);
        let Some(future) = task.slot.content.take() else { return false };
        task.slot.flags.insert(Flags::STARTED | Flags::RUNNING);
        let own = task.take_waker();
        drop(slots);
        self.core.page.count_turn(TurnCounter::Task);
        self.poll(key, future, own);
        true
    }

    /// Runs a task that is cancelled, or that has no future in the table.
    ///
    /// A cancelled task that something has woken is polled once more: if its output is ready then,
    /// the output wins. A task that was never polled is dropped without a poll.
    #[cold]
    fn run_unusual(&self, key: Key) -> bool {
        #[cfg(feature = "tracing")]
        self.record_pending();
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return false };
        let was_woken = task.slot.flags.contains(Flags::QUEUED);
        task.slot.flags.remove(Flags::QUEUED);
        if task.slot.flags.contains(Flags::MAIN) {
            // The run polls it after the batch: only the caller has the future.
            self.main_due.set(true);
            return true;
        }
        let is_done = task.slot.flags.contains(Flags::DONE);
        let Some(future) = task.slot.content.take_if(|_| !is_done) else { return false };
        self.core.page.count_turn(TurnCounter::Task);
        let details = task.details();
        let had_last_poll = details.is_some_and(|details| {
            details.is_queued_to_end = false;
            details.had_last_poll
        });
        let may_end = !was_woken || had_last_poll;
        if !task.slot.flags.contains(Flags::STARTED) || may_end && !task.is_guarded() {
            // Back into the slot: `drop_cancelled` takes it from there.
            task.slot.content = Some(future);
            drop(slots);
            self.drop_cancelled(key);
            return true;
        }
        task.slot.flags.insert(Flags::RUNNING);
        let own = task.take_waker();
        drop(slots);
        self.poll(key, future, own);
        self.drop_cancelled(key);
        true
    }

    /// Drops the future of a cancelled task that waits, unless a guard inside it delays that.
    fn drop_cancelled(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        if task.slot.flags.contains(Flags::DONE) || task.is_guarded() {
            return;
        }
        let Some(future) = task.slot.content.take() else { return };
        // `RUNNING`: the `Drop` of the future may cancel the task again, or wake it.
        task.slot.flags.insert(Flags::RUNNING);
        let reason = task.details_or_new().reason.clone().unwrap_or_default();
        drop(slots);
        match drop_caught(future) {
            Ok(()) => self.fail(key, JoinError::Cancelled(reason)),
            Err(payload) => self.fail(key, JoinError::panicked(payload)),
        }
    }

    /// Polls a task's future with the task's waker, or with the spare one.
    #[inline]
    fn poll(&self, key: Key, future: BoxedTask, own: Option<Arc<TaskWaker>>) {
        match own {
            None => {
                let waker = self.borrow_waker(key);
                self.poll_with(key, future, &waker);
                self.return_waker(key, waker);
            }
            Some(own) => self.poll_with_own(key, future, own),
        }
    }

    #[cold]
    fn poll_with_own(&self, key: Key, future: BoxedTask, own: Arc<TaskWaker>) {
        let waker = PolledWaker::of(own);
        self.poll_with(key, future, &waker);
        self.keep_waker(key, waker);
    }

    #[inline]
    fn poll_with(&self, key: Key, future: BoxedTask, waker: &PolledWaker) {
        let guard = self.begin_poll(key, waker);
        let mut cx = Context::from_waker(waker.waker());
        let mut result = PollResult { future: Some(future), output: None };
        // Unwind safe: a future that panics is dropped, with all state that it has left
        // half-changed. One catch for the poll and the drop of the future: a second one cost
        // each poll a measurable time.
        let polled = catch_unwind(AssertUnwindSafe(|| result.poll(&mut cx)));
        drop(guard);
        #[cfg(feature = "tracing")]
        self.exit_span();
        match (polled, result) {
            (Err(payload), result) => self.unwound(key, payload, result),
            (Ok(()), PollResult { output: Some(output), .. }) => {
                self.finish(key, output, TaskEnding::Result);
            }
            (Ok(()), PollResult { future, .. }) => self.suspend(key, future),
        }
    }

    /// Ends a task after a panic of its poll, or of the drop of its future after the poll. In the
    /// second case its output is lost.
    #[cold]
    fn unwound(&self, key: Key, payload: Box<dyn Any + Send>, result: PollResult) {
        // Only the first panic is reported.
        ignoring_panic(|| drop(result.future));
        ignoring_panic(|| drop(result.output));
        self.fail(key, JoinError::panicked(payload));
    }

    #[cold]
    fn fail(&self, key: Key, failure: JoinError) {
        let ending = failure.ending();
        self.finish(key, Box::pin(Failed(failure)), ending);
    }

    /// Puts a pending future back into its slot.
    #[inline]
    fn suspend(&self, key: Key, future: Option<BoxedTask>) {
        if let Some(task) = self.slots.borrow_mut().get(key) {
            task.slot.content = future;
            task.slot.flags.remove(Flags::RUNNING);
        }
    }

    /// Calls `poll` as a poll of the main task.
    pub(in crate::task) fn poll_main<T>(
        &self,
        key: Key,
        poll: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        self.core.page.count_turn(TurnCounter::Task);
        match self.take_own_waker(key) {
            None => {
                let waker = self.borrow_waker(key);
                let polled = self.poll_main_with(key, &waker, poll);
                self.return_waker(key, waker);
                polled
            }
            Some(own) => {
                let waker = PolledWaker::of(own);
                let polled = self.poll_main_with(key, &waker, poll);
                self.keep_waker(key, waker);
                polled
            }
        }
    }

    #[inline(always)]
    fn poll_main_with<T>(
        &self,
        key: Key,
        waker: &PolledWaker,
        poll: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        #[cfg(feature = "tracing")]
        let _span = spans::ExitGuard(self);
        let _guard = self.begin_poll(key, waker);
        let turn = self.core.settings.await_lines.then(Turn::begin);
        let polled = poll(&mut Context::from_waker(waker.waker()));
        if let Some(turn) = turn {
            self.end_main_turn(key, turn);
        }
        polled
    }

    fn take_own_waker(&self, key: Key) -> Option<Arc<TaskWaker>> {
        self.slots.borrow_mut().get(key)?.take_waker()
    }

    #[inline]
    fn begin_poll(&self, key: Key, waker: &PolledWaker) -> PollGuard<'_> {
        #[cfg(feature = "tracing")]
        self.enter_span(key);
        let before = self.polling.replace(Polling { key, waker: waker.waker().data() });
        PollGuard { tasks: self, before, _budget: budget::Outer::begin_poll() }
    }

    /// Returns the spare waker, with the key of a task that has stored no waker.
    #[inline]
    fn borrow_waker(&self, key: Key) -> Box<PolledWaker> {
        // The spare one is boxed, so that a poll moves one word.
        let waker = self.spare_waker.take().unwrap_or_else(|| self.new_waker());
        waker.set_key(key);
        waker
    }

    #[cold]
    fn new_waker(&self) -> Box<PolledWaker> {
        Box::new(PolledWaker::new(self.loop_id(), self.inbox.clone()))
    }

    /// Makes a waker the spare one, unless the task has kept a clone of it.
    #[inline(always)]
    fn return_waker(&self, key: Key, waker: Box<PolledWaker>) {
        if !waker.is_unshared() {
            return self.keep_waker(key, *waker);
        }
        let other = self.spare_waker.replace(Some(waker));
        drop(other);
    }

    /// Stores a waker that the task has cloned: it belongs to the task as long as the task lives.
    #[cold]
    fn keep_waker(&self, key: Key, waker: PolledWaker) {
        #[cfg(feature = "tracing")]
        if !waker.is_unshared() {
            self.record_kept_waker(key);
        }
        if let Some(task) = self.slots.borrow_mut().get(key)
            && !task.slot.flags.contains(Flags::DONE)
        {
            task.keep_waker(waker.into_data());
        }
    }
}

/// The future of a task during a poll, and the output after it.
struct PollResult {
    future: Option<BoxedTask>,
    output: Option<BoxedTask>,
}

impl PollResult {
    /// Polls the future. A future that is ready is dropped before its output can be seen.
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(future) = &mut self.future else { return };
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            self.output = Some(output);
            self.future = None;
        }
    }
}

/// A poll in progress: restores the state of the code around it, even if the poll unwinds.
struct PollGuard<'a> {
    tasks: &'a Tasks,
    before: Polling,
    _budget: budget::Outer,
}

impl Drop for PollGuard<'_> {
    fn drop(&mut self) {
        self.tasks.polling.set(self.before);
    }
}

//! The end of a task: its joiner, its done-callbacks, and its output.

use std::any::TypeId;
use std::cell::Cell;
use std::mem;
use std::panic::Location;
use std::ptr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::Tasks;
use super::state::Flags;
use super::table::{DoneCallback, RemovedTask};
use crate::error::Result;
use crate::event_loop::{Report, ReportKind};
use crate::handle::Key;
use crate::panic::drop_caught;
use crate::task::any_task::BoxedTask;
use crate::task::failure::{FailureOf, drop_output, find_failure, of_known_types};
use crate::task::outcome::{JoinError, TaskEnding};

impl Tasks {
    /// Stores the output of a task, and wakes the joiner. The future is dropped already.
    pub(super) fn finish(&self, key: Key, output: BoxedTask, ending: TaskEnding) {
        #[cfg(feature = "tracing")]
        self.close_span(key);
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        let flags = &mut task.slot.flags;
        flags.remove(Flags::RUNNING | Flags::QUEUED);
        flags.insert(Flags::ended(ending));
        if !flags.contains(Flags::BACKGROUND) {
            self.remove_alive();
        }
        let detached = flags.contains(Flags::DETACHED);
        task.slot.content = Some(output);
        let has_callbacks = task.has_callbacks();
        let joiner = match detached {
            true => Key::NONE,
            false => mem::replace(task.joiner(), Key::NONE),
        };
        drop(slots);
        // The callbacks see the output first, because the joiner takes it away.
        if has_callbacks {
            self.spawn_callbacks(key);
        } else if detached {
            self.discard(key);
        }
        if joiner != Key::NONE {
            self.wake(joiner);
        }
    }

    /// Queues the done-callbacks of a task that is done.
    #[cold]
    fn spawn_callbacks(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        let details = task.details();
        let callbacks = details.map_or(Vec::new(), |details| mem::take(&mut details.callbacks));
        drop(slots);
        for (callback, location) in callbacks {
            self.spawn_callback(callback, location);
        }
    }

    fn spawn_callback(&self, callback: Box<dyn FnOnce()>, location: &'static Location<'static>) {
        // The callback is a task, so it runs through the deque, and its panic is reported.
        let key = self.spawn(async move { callback() }, location);
        self.detach(key, Key::NONE);
    }

    /// Removes a detached task that is done. Reports a failure that no done-callback has seen.
    fn discard(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(removed) = slots.remove(key) else { return };
        let location = slots.site_of(&removed);
        drop(slots);
        let RemovedTask { content: Some(output), details, joiner, .. } = removed else { return };
        let failure = match &details {
            Some(details) if details.seen => drop_output(output),
            _ => find_failure(output, self.failure_fn(joiner)),
        };
        self.report_failure(failure, location, details.and_then(|details| details.name));
    }

    /// Reports the failure of a detached task, if there is one.
    pub(in crate::task) fn report_failure(
        &self,
        failure: Result<()>,
        location: &'static Location<'static>,
        name: Option<Rc<str>>,
    ) {
        if let Err(error) = failure
            && !self.core.is_unreported(&error)
        {
            self.report(Report { kind: ReportKind::Task, error, location, name });
        }
    }

    /// Returns the number of a [`FailureOf`] function for outputs of type `T`, as a key, so that it
    /// fits into the joiner's field.
    #[inline]
    pub(in crate::task) fn failure_fn_number<T: 'static>(&self, failure_of: FailureOf) -> Key {
        // A list: a program detaches tasks of few output types.
        let mut known = self.failure_fns.borrow_mut();
        let position = known.iter().position(|(output, function)| {
            *output == TypeId::of::<T>() && ptr::fn_addr_eq(*function, failure_of)
        });
        let slot = position.unwrap_or_else(|| {
            known.push((TypeId::of::<T>(), failure_of));
            known.len() - 1
        });
        Key { slot: slot as u32, generation: 0 }
    }

    fn failure_fn(&self, number: Key) -> FailureOf {
        let known = self.failure_fns.borrow();
        let function = known.get(number.slot as usize).filter(|_| number != Key::NONE);
        function.map_or(of_known_types, |(_, function)| *function)
    }

    /// Ends a task with its loop. A panic of a dropped value is reported.
    pub(super) fn end(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        if slots.get(key).is_some_and(|task| task.slot.flags.contains(Flags::DONE)) {
            drop(slots);
            return self.discard(key);
        }
        let Some(removed) = slots.remove(key) else { return };
        let location = slots.site_of(&removed);
        drop(slots);
        let RemovedTask { content, details, .. } = removed;
        let name = details.as_ref().and_then(|details| details.name.clone());
        for dropped in [drop_caught(content), drop_caught(details.map(|details| details.callbacks))]
        {
            let Err(payload) = dropped else { continue };
            let (error, name) = (JoinError::panicked(payload).into(), name.clone());
            self.report(Report { kind: ReportKind::Task, error, location, name });
        }
        #[cfg(feature = "tracing")]
        self.close_span(key);
    }

    /// Marks a task as detached: its output will not be taken. `failure_fn` is a
    /// [`failure_fn_number`](Tasks::failure_fn_number), or [`Key::NONE`] for outputs of the
    /// known types.
    pub(crate) fn detach(&self, key: Key, failure_fn: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        task.slot.flags.insert(Flags::DETACHED);
        let waiter = mem::replace(task.joiner(), failure_fn);
        let is_over = task.slot.flags.contains(Flags::DONE) && !task.has_callbacks();
        drop(slots);
        if is_over {
            self.discard(key);
        }
        self.forget_waiter(waiter);
    }

    /// Takes the output of a task that is done and has no rare state, and removes the task: the
    /// short way of a join. [`join`](Tasks::join) handles every task.
    #[inline]
    pub(in crate::task) fn take_output(&self, key: Key) -> Option<BoxedTask> {
        self.slots.borrow_mut().take_output(key)
    }

    /// Takes the output of a task that is done, and removes the task. Before that, stores `waker`.
    /// Returns `None` if there is no such task.
    pub(in crate::task) fn join(&self, key: Key, waker: &Waker) -> Option<Poll<BoxedTask>> {
        let mut slots = self.slots.borrow_mut();
        let mut task = slots.get(key)?;
        if task.slot.flags.contains(Flags::DONE) && !task.has_callbacks() {
            let removed = slots.remove(key)?;
            drop(slots);
            return removed.content.map(Poll::Ready);
        }
        let joiner = Cell::new(*task.joiner());
        drop(slots);
        // Not borrowed: `wait` may clone and drop wakers of other executors.
        self.wait(&joiner, waker);
        if let Some(mut task) = self.slots.borrow_mut().get(key) {
            *task.joiner() = joiner.get();
        }
        Some(Poll::Pending)
    }

    /// Adds a callback that runs when the task is done. Nothing runs if there is no such task.
    pub(in crate::task) fn add_done_callback(&self, key: Key, callback: DoneCallback) {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return };
        let is_done = task.slot.flags.contains(Flags::DONE);
        let details = task.details_or_new();
        details.outstanding += 1;
        if is_done {
            drop(slots);
            self.spawn_callback(callback.0, callback.1);
        } else {
            details.callbacks.push(callback);
        }
    }

    /// Takes the output out of its slot, to show it to a done-callback. Follow it by
    /// [`return_output`](Tasks::return_output).
    pub(in crate::task) fn borrow_output(&self, key: Key) -> Option<BoxedTask> {
        self.slots.borrow_mut().get(key)?.slot.content.take()
    }

    /// Puts back an output that was only read, outside a done-callback.
    pub(in crate::task) fn restore_output(&self, key: Key, output: BoxedTask) {
        if let Some(task) = self.slots.borrow_mut().get(key) {
            task.slot.content = Some(output);
        }
    }

    /// Puts the output back after a done-callback. After the last one, the joiner is woken.
    pub(in crate::task) fn return_output(&self, key: Key, output: BoxedTask) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        task.slot.content = Some(output);
        let is_detached = task.slot.flags.contains(Flags::DETACHED);
        if let Some(details) = task.details() {
            details.seen = true;
            details.outstanding -= 1;
        }
        if task.has_callbacks() {
            return;
        }
        if is_detached {
            drop(slots);
            return self.discard(key);
        }
        let joiner = mem::replace(task.joiner(), Key::NONE);
        drop(slots);
        self.wake(joiner);
    }
}

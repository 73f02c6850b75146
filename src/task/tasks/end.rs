//! The end of a task: who is told, and what becomes of its output.

use std::any::TypeId;
use std::cell::Cell;
use std::mem;
use std::panic::Location;
use std::ptr;
use std::task::{Poll, Waker};

use super::table::Removed;
use super::{DoneCallback, Flags, Tasks};
use crate::event_loop::{Report, ReportKind};
use crate::handle::Key;
use crate::panic::drop_caught;
use crate::task::ending::{JoinError, TaskEnding};
use crate::task::job::{Boxed, Judge, drop_observed, judge_known, observe};

impl Tasks {
    /// A task has ended, and its future is gone.
    pub(super) fn finish(&self, key: Key, output: Boxed, ending: TaskEnding) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        let flags = &mut task.slot.flags;
        flags.remove(Flags::RUNNING | Flags::QUEUED);
        flags.insert(Flags::ended(ending));
        if !flags.contains(Flags::BACKGROUND) {
            self.alive.set(self.alive.get() - 1);
        }
        let detached = flags.contains(Flags::DETACHED);
        task.slot.content = Some(output);
        let outstanding = task.outstanding();
        let joiner = match detached {
            true => Key::NOWHERE,
            false => mem::replace(task.joiner(), Key::NOWHERE),
        };
        drop(slots);
        if outstanding {
            self.spawn_callbacks(key);
        } else if detached {
            self.discard(key);
        }
        if joiner != Key::NOWHERE {
            self.wake(joiner);
        }
    }

    /// Queues what is to be done now that the task is done.
    #[cold]
    fn spawn_callbacks(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        let extras = task.extras();
        let callbacks = extras.map_or(Vec::new(), |extras| mem::take(&mut extras.callbacks));
        drop(slots);
        for (callback, location) in callbacks {
            self.spawn_callback(callback, location);
        }
    }

    fn spawn_callback(&self, callback: Box<dyn FnOnce()>, location: &'static Location<'static>) {
        let key = self.spawn(async move { callback() }, location);
        self.detach(key, Key::NOWHERE);
    }

    /// Ends the tenancy of a task that is done; a failure that nobody has seen is reported.
    fn discard(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(removed) = slots.remove(key) else { return };
        let location = slots.place_of(&removed);
        drop(slots);
        let Removed { content: Some(output), extras, joiner, .. } = removed else { return };
        let observed = match &extras {
            Some(extras) if extras.seen => drop_observed(output),
            _ => observe(output, self.judge(joiner)),
        };
        if let Err(error) = observed
            && !self.core.is_everyday(&error)
        {
            let name = extras.and_then(|extras| extras.name);
            self.report(Report { kind: ReportKind::Task, error, location, name });
        }
    }

    /// Returns the number of the judge for outputs of type `T`, in the form of a key.
    #[inline]
    pub(in crate::task) fn judge_number<T: 'static>(&self, judge: Judge) -> Key {
        let mut judges = self.judges.borrow_mut();
        let known = judges.iter().position(|(output, known)| {
            *output == TypeId::of::<T>() && ptr::fn_addr_eq(*known, judge)
        });
        let slot = known.unwrap_or_else(|| {
            judges.push((TypeId::of::<T>(), judge));
            judges.len() - 1
        });
        Key { slot: slot as u32, generation: 0 }
    }

    fn judge(&self, number: Key) -> Judge {
        let judges = self.judges.borrow();
        let judge = judges.get(number.slot as usize).filter(|_| number != Key::NOWHERE);
        judge.map_or(judge_known, |(_, judge)| *judge)
    }

    /// Ends a task with its loop. A panic of what is dropped then is reported.
    pub(super) fn end(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        if slots.get(key).is_some_and(|task| task.slot.flags.contains(Flags::DONE)) {
            drop(slots);
            return self.discard(key);
        }
        let Some(removed) = slots.remove(key) else { return };
        let location = slots.place_of(&removed);
        drop(slots);
        let Removed { content, extras, .. } = removed;
        let name = extras.as_ref().and_then(|extras| extras.name.clone());
        for dropped in [drop_caught(content), drop_caught(extras.map(|it| it.callbacks))] {
            let Err(payload) = dropped else { continue };
            let (error, name) = (JoinError::panicked(payload).into(), name.clone());
            self.report(Report { kind: ReportKind::Task, error, location, name });
        }
    }

    /// Marks a task whose output will not be asked for. `judge` is a
    /// [`judge_number`](Tasks::judge_number), or [`Key::NOWHERE`] for outputs of the usual forms.
    pub(in crate::task) fn detach(&self, key: Key, judge: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        task.slot.flags.insert(Flags::DETACHED);
        let waiter = mem::replace(task.joiner(), judge);
        let over = task.slot.flags.contains(Flags::DONE) && !task.outstanding();
        drop(slots);
        if over {
            self.discard(key);
        }
        self.forget_waiter(waiter);
    }

    /// The output of a task that is done, in most cases: [`join`](Tasks::join) knows all of them.
    #[inline]
    pub(in crate::task) fn take_output(&self, key: Key) -> Option<Boxed> {
        self.slots.borrow_mut().take_output(key)
    }

    /// The output of a task that is done; until then `waker` is kept. None if there is no such task.
    pub(in crate::task) fn join(&self, key: Key, waker: &Waker) -> Option<Poll<Boxed>> {
        let mut slots = self.slots.borrow_mut();
        let mut task = slots.get(key)?;
        if task.slot.flags.contains(Flags::DONE) && !task.outstanding() {
            let removed = slots.remove(key)?;
            drop(slots);
            return removed.content.map(Poll::Ready);
        }
        let place = Cell::new(*task.joiner());
        drop(slots);
        self.wait(&place, waker);
        if let Some(mut task) = self.slots.borrow_mut().get(key) {
            *task.joiner() = place.get();
        }
        Some(Poll::Pending)
    }

    /// Adds what is to be done when the task is done. False if there is no such task.
    pub(in crate::task) fn add_done_callback(&self, key: Key, callback: DoneCallback) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return false };
        let done = task.slot.flags.contains(Flags::DONE);
        let extras = task.extras_or_new();
        extras.outstanding += 1;
        if done {
            drop(slots);
            self.spawn_callback(callback.0, callback.1);
        } else {
            extras.callbacks.push(callback);
        }
        true
    }

    /// Takes the output out, to show it to a done-callback.
    pub(in crate::task) fn borrow_output(&self, key: Key) -> Option<Boxed> {
        self.slots.borrow_mut().get(key)?.slot.content.take()
    }

    /// A done-callback has run: puts the output back.
    pub(in crate::task) fn return_output(&self, key: Key, output: Boxed) {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return };
        task.slot.content = Some(output);
        let unwanted = task.slot.flags.contains(Flags::DETACHED);
        if let Some(extras) = task.extras() {
            extras.seen = true;
            extras.outstanding -= 1;
        }
        if task.outstanding() {
            return;
        }
        if unwanted {
            drop(slots);
            return self.discard(key);
        }
        let joiner = mem::replace(task.joiner(), Key::NOWHERE);
        drop(slots);
        self.wake(joiner);
    }
}

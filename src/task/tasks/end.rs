//! The end of a task: who is told, and what becomes of its output.

use std::cell::Cell;
use std::mem;
use std::panic::Location;
use std::task::{Poll, Waker};

use super::{DoneCallback, Flags, Slot, Tasks};
use crate::event_loop::{Kind, Report};
use crate::handle::Key;
use crate::task::job::{Boxed, drop_observed, observe};
use crate::task::join::{Ending, drop_caught};

impl Tasks {
    /// A task has ended, and its future is gone.
    pub(super) fn finish(&self, key: Key, output: Boxed, ending: Ending) {
        let mut slots = self.slots.borrow_mut();
        let Some((slot, flags)) = slots.marked(key) else { return };
        flags.remove(Flags::RUNNING | Flags::QUEUED);
        flags.insert(Flags::ended(ending));
        if !flags.contains(Flags::BACKGROUND) {
            self.alive.set(self.alive.get() - 1);
        }
        slot.content = Some(output);
        let joiner = mem::replace(&mut slot.joiner, Key::NOWHERE);
        let outstanding = slot.outstanding();
        let detached = flags.contains(Flags::DETACHED);
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
        let extras = slots.get(key).and_then(|slot| slot.extras.as_mut());
        let callbacks = extras.map_or(Vec::new(), |extras| mem::take(&mut extras.callbacks));
        drop(slots);
        for (callback, location) in callbacks {
            self.spawn_callback(callback, location);
        }
    }

    fn spawn_callback(&self, callback: Box<dyn FnOnce()>, location: &'static Location<'static>) {
        let key = self.spawn(async move { callback() }, location);
        self.detach(key);
    }

    /// Ends the tenancy of a task that is done; a failure that nobody has seen is reported.
    fn discard(&self, key: Key) {
        let slot = self.slots.borrow_mut().remove(key);
        let Some(Slot { content: Some(output), location, extras, .. }) = slot else { return };
        let observed = match &extras {
            Some(extras) if extras.seen => drop_observed(output),
            _ => observe(output),
        };
        if let Err(error) = observed {
            let name = extras.and_then(|extras| extras.name);
            self.report(Report { kind: Kind::Task, error, location, name });
        }
    }

    /// Ends a task with its loop. Whatever panics then has nobody to be told of it but the panic
    /// hook, which has printed it.
    pub(super) fn end(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        if slots.marked(key).is_some_and(|(_, flags)| flags.contains(Flags::DONE)) {
            drop(slots);
            return self.discard(key);
        }
        let slot = slots.remove(key);
        drop(slots);
        let Some(slot) = slot else { return };
        let _ = slot.content.map(drop_caught);
        let _ = slot.extras.map(|extras| drop_caught(extras.callbacks));
    }

    /// Nobody will ask for the output of this task.
    pub(in crate::task) fn detach(&self, key: Key) {
        let mut slots = self.slots.borrow_mut();
        let Some((slot, flags)) = slots.marked(key) else { return };
        flags.insert(Flags::DETACHED);
        let waiter = mem::replace(&mut slot.joiner, Key::NOWHERE);
        let over = flags.contains(Flags::DONE) && !slot.outstanding();
        drop(slots);
        self.forget_waiter(waiter);
        if over {
            self.discard(key);
        }
    }

    /// The output of a task that is done; until then `waker` is kept. None if there is no such task.
    #[inline]
    pub(in crate::task) fn join(&self, key: Key, waker: &Waker) -> Option<Poll<Boxed>> {
        let mut slots = self.slots.borrow_mut();
        let (slot, flags) = slots.marked(key)?;
        if flags.contains(Flags::DONE) && !slot.outstanding() {
            return slots.remove(key)?.content.map(Poll::Ready);
        }
        let place = Cell::new(slot.joiner);
        drop(slots);
        self.wait(&place, waker);
        if let Some(slot) = self.slots.borrow_mut().get(key) {
            slot.joiner = place.get();
        }
        Some(Poll::Pending)
    }

    /// Adds what is to be done when the task is done. False if there is no such task.
    pub(in crate::task) fn add_done_callback(&self, key: Key, callback: DoneCallback) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some((slot, flags)) = slots.marked(key) else { return false };
        let done = flags.contains(Flags::DONE);
        let extras = slot.extras();
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
        self.slots.borrow_mut().get(key)?.content.take()
    }

    /// A done-callback has run: puts the output back.
    pub(in crate::task) fn return_output(&self, key: Key, output: Boxed) {
        let mut slots = self.slots.borrow_mut();
        let Some((slot, flags)) = slots.marked(key) else { return };
        slot.content = Some(output);
        let extras = slot.extras();
        extras.seen = true;
        extras.outstanding -= 1;
        if slot.outstanding() {
            return;
        }
        let joiner = mem::replace(&mut slot.joiner, Key::NOWHERE);
        let unwanted = flags.contains(Flags::DETACHED);
        drop(slots);
        if unwanted {
            self.discard(key);
        }
        self.wake(joiner);
    }
}

//! The tasks as a guest of the loop.

use std::rc::Rc;

use mainspring_sys::Readiness;

use super::{Flags, Tasks};
use crate::error::Error;
use crate::event_loop::task_port::TaskLayer;
use crate::event_loop::{Report, ReportKind};
use crate::handle::Key;
use crate::ready::{Ready, ReadyDeque};
use crate::task::current;
use crate::task::ending::CancelReason;
use crate::task::slab::Kind;

impl TaskLayer for Tasks {
    fn enter(self: Rc<Tasks>) {
        let tasks = self.clone();
        tasks.around.set(current::enter(Some(self)));
    }

    fn leave(&self) {
        drop(current::enter(self.around.take()));
    }

    #[inline]
    fn dispatch(&self, ready: Ready) -> bool {
        match Kind::of(ready.key) {
            Kind::Task => self.run(ready.key),
            Kind::Waker => {
                self.wake(ready.key);
                true
            }
            Kind::Io => self.deliver(ready),
            Kind::Aside => false,
        }
    }

    fn is_watching(&self, key: Key) -> bool {
        Kind::of(key) == Kind::Io && self.io_readiness(key).is_some()
    }

    fn feed_timer(&self, key: Key, ready: &mut ReadyDeque) {
        if Kind::of(key) != Kind::Task || self.mark_queued(key) {
            ready.feed(key, Readiness::empty());
        }
    }

    fn drain_inbox(&self) {
        let mut wakes = self.wakes.take();
        self.inbox.take(&mut wakes);
        for waker in wakes.drain(..) {
            waker.received();
            self.wake(waker.key());
        }
        self.wakes.set(wakes);
    }

    fn has_messages(&self) -> bool {
        self.inbox.is_told()
    }

    fn is_alive(&self) -> bool {
        self.alive.get() > 0
    }

    fn cancel(&self, key: Key) -> bool {
        self.cancel_task(key, CancelReason::default())
    }

    fn is_foreground(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let over = Flags::DONE | Flags::BACKGROUND | Flags::VACANT;
        slots.get(key).is_some_and(|task| !task.slot.flags.intersects(over))
    }

    fn set_background(&self, key: Key, background: bool) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return false };
        let flags = &mut task.slot.flags;
        if flags.contains(Flags::DONE) {
            return false;
        }
        let was = flags.contains(Flags::BACKGROUND);
        flags.set(Flags::BACKGROUND, background);
        match (was, background) {
            // Whoever runs the loop for it does not ask.
            _ if flags.contains(Flags::MAIN) => {}
            (false, true) => self.alive.set(self.alive.get() - 1),
            (true, false) => self.alive.set(self.alive.get() + 1),
            _ => {}
        }
        true
    }

    fn set_name(&self, key: Key, name: &str) -> bool {
        let name = Some(name.into());
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return false };
        task.extras_or_new().name = name;
        true
    }

    fn report_of(&self, key: Key, error: Error) -> Option<Report> {
        let key = if Kind::of(key) == Kind::Io { self.io_waiter(key)? } else { key };
        let mut slots = self.slots.borrow_mut();
        let name = slots.get(key)?.extras().and_then(|extras| extras.name.clone());
        let location = slots.location(key)?;
        Some(Report { kind: ReportKind::Task, error, location, name })
    }

    fn after_fork(&self) {
        self.inbox.after_fork();
        let keys = self.slots.borrow().keys();
        for key in keys {
            let mut slots = self.slots.borrow_mut();
            let Some(mut task) = slots.get(key) else { continue };
            // A wake on its way from a thread of the parent is lost.
            if let Some(waker) = task.take_waker() {
                waker.received();
                task.keep_waker(waker);
            }
            drop(slots);
            self.wake(key);
        }
    }

    fn close(&self) {
        drop(self.inbox.close());
        let keys = self.slots.borrow().keys();
        for key in keys {
            self.end(key);
        }
        self.alive.set(0);
        self.unwatch_ios();
        let wakers = self.wakers.borrow().keys();
        for key in wakers {
            self.wake(key); // Those who wait from outside see that the loop is gone.
        }
        drop(self.spare.take());
        current::remove(self.loop_id());
    }
}

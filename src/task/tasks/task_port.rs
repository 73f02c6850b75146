//! The interface of the tasks to the loop: keys to run, feed and cancel.

use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;

use mainspring_sys::Readiness;

use super::Tasks;
use super::state::Flags;
use crate::awaits;
use crate::clock::Times;
use crate::error::Error;
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::task_port::{TaskLayer, TaskOrigin};
use crate::event_loop::{Report, ReportKind};
use crate::handle::Key;
use crate::ready::{Ready, ReadyDeque};
use crate::snapshot::{Entry, Places};
use crate::task::current;
use crate::task::keyed_arena::KeyKind;
use crate::task::outcome::CancelReason;
use crate::task::waker::WakeInbox;

impl Tasks {
    /// Creates the tasks of a new loop, which is one of this thread's loops from now on.
    pub(crate) fn open(core: Rc<LoopCore>, inbox: WakeInbox) -> Rc<Tasks> {
        let tasks = Rc::new(Tasks::new(core, inbox));
        current::add(&tasks);
        tasks
    }

    /// Returns the task that `ready` runs. For an fd it is the one that has waited longest for the
    /// readiness.
    #[inline]
    fn task_of(&self, ready: Ready) -> Option<Key> {
        match KeyKind::of(ready.key) {
            KeyKind::Io => self.io_waiter_for(ready),
            _ => Some(ready.key),
        }
    }

    /// Dispatches a key that is not a task.
    // Never inlined: a task would save the registers that this uses.
    #[inline(never)]
    fn dispatch_other(&self, ready: Ready) -> bool {
        match KeyKind::of(ready.key) {
            KeyKind::Waker => {
                self.wake(ready.key);
                true
            }
            KeyKind::Io => self.deliver(ready),
            KeyKind::Task | KeyKind::Rare => false,
        }
    }
}

impl TaskLayer for Tasks {
    fn enter(self: Rc<Tasks>) {
        if awaits::pause() {
            self.outer_is_recorded.set(true);
        }
        current::enter(self);
    }

    fn leave(&self) {
        drop(current::leave(self));
        if self.outer_is_recorded.take() {
            awaits::resume();
        }
    }

    #[inline]
    fn dispatch(&self, ready: Ready) -> bool {
        match KeyKind::of(ready.key) {
            KeyKind::Task => self.run(ready.key),
            _ => self.dispatch_other(ready),
        }
    }

    fn dispatch_traced(&self, ready: Ready) -> bool {
        match self.task_of(ready).filter(|task| self.is_traced(*task)) {
            Some(task) => self.traced(task, || self.dispatch(ready)),
            None => self.dispatch(ready),
        }
    }

    fn has_descriptor_waiter(&self) -> bool {
        self.is_descriptor_awaited()
    }

    fn has_foreign_wakers(&self) -> bool {
        self.is_waker_shared()
    }

    fn count(&self) -> usize {
        self.slots.borrow().count()
    }

    fn is_watching(&self, key: Key) -> bool {
        KeyKind::of(key) == KeyKind::Io && self.io_readiness(key).is_some()
    }

    fn feed_timer(&self, key: Key, ready: &mut ReadyDeque) -> bool {
        let feeds = KeyKind::of(key) != KeyKind::Task || self.mark_queued(key);
        if feeds {
            ready.feed(key, Readiness::empty());
        }
        #[cfg(feature = "tracing")]
        self.note_timer(key);
        feeds
    }

    #[cfg(feature = "tracing")]
    fn record_timers(&self) {
        self.record_pending();
    }

    fn drain_inbox(&self) {
        let mut wakes = self.wakes.take();
        self.inbox.take(&mut wakes);
        // A flag is cleared before its task is woken: a wake during the poll sends the waker again.
        for waker in wakes.drain(..) {
            waker.received();
            self.wake(waker.key());
        }
        self.wakes.set(wakes);
    }

    fn has_messages(&self) -> bool {
        self.inbox.is_notified()
    }

    fn list(&self, times: Times, entries: &mut Vec<Entry>) {
        self.list_all(times, entries);
    }

    fn count_by_place(&self, places: &mut Places) {
        self.count_places(places);
    }

    fn refresh_ages(&self) {
        self.refresh_ios();
    }

    fn cancel(&self, key: Key) -> bool {
        self.cancel_task(key, CancelReason::default())
    }

    fn is_foreground(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let not_alive = Flags::DONE | Flags::BACKGROUND | Flags::VACANT;
        slots.get(key).is_some_and(|task| !task.slot.flags.intersects(not_alive))
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
            // The main task is not counted: its run ends with it.
            _ if flags.contains(Flags::MAIN) => {}
            (false, true) => self.remove_alive(),
            (true, false) => self.add_alive(),
            _ => {}
        }
        true
    }

    fn set_name(&self, key: Key, name: &str) -> bool {
        let name = Some(name.into());
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return false };
        task.details_or_new().name = name;
        #[cfg(feature = "tracing")]
        {
            drop(slots);
            self.record_name(key);
        }
        true
    }

    fn report_of(&self, key: Key, error: Error) -> Option<Report> {
        let (_, location, name) = self.slots.borrow_mut().origin(key)?;
        Some(Report { kind: ReportKind::Task, error, location, name })
    }

    fn origin_of(&self, ready: Ready) -> Option<TaskOrigin> {
        let key = self.task_of(ready)?;
        self.slots.borrow_mut().origin(key)
    }

    fn spawn_line(&self, key: Key) -> Option<&'static Location<'static>> {
        match KeyKind::of(key) {
            KeyKind::Task => self.slots.borrow_mut().spawn_line(key),
            _ => None,
        }
    }

    fn for_each_fd(&self, visit: &mut dyn FnMut(RawFd)) {
        let keys = self.ios.borrow().keys();
        keys.into_iter().filter_map(|key| self.fd_of(key)).for_each(visit);
    }

    fn fd_of(&self, key: Key) -> Option<RawFd> {
        let watcher = self.ios.borrow_mut().get(key)?.watcher?;
        self.core.watchers.borrow().fd_of(watcher, key)
    }

    fn after_fork(&self) {
        self.inbox.after_fork();
        let keys = self.slots.borrow().keys();
        for key in keys {
            let mut slots = self.slots.borrow_mut();
            let Some(mut task) = slots.get(key) else { continue };
            // A wake in flight from a thread of the parent is lost, so every task is woken.
            if let Some(waker) = task.take_waker() {
                waker.received();
                task.keep_waker(waker);
            }
            drop(slots);
            self.wake(key);
        }
    }

    fn close(&self) {
        #[cfg(feature = "tracing")]
        self.record_pending();
        drop(self.inbox.close());
        // The table may change meanwhile: dropped values can call the loop.
        let keys = self.slots.borrow().keys();
        for key in keys {
            self.end(key);
        }
        self.core.tasks_alive.set(0);
        self.unwatch_ios();
        let wakers = self.wakers.borrow().keys();
        for key in wakers {
            self.wake(key); // Tasks of other executors then see that the loop is closed.
        }
        drop(self.spare_waker.take());
        current::remove(self.loop_id());
    }
}

//! The tasks of one loop.
//!
//! A task is a slot of a table, with its future in a box. When the task is done, the box has its
//! output instead. The task's key is queued in the ready deque, like a callback's.
//!
//! | file | contents |
//! |---|---|
//! | `state` | the flags of a task, and their legal combinations |
//! | `table/`, `spawn_sites` | the slots, and the lines that spawned the tasks |
//! | `poll` | one poll of a task |
//! | `completion` | the end of a task: joiners, done-callbacks, reports |
//! | `cancel` | cancellation of a task |
//! | `io_slot`, `ticket`, `io_waiters` | descriptors that tasks wait for |
//! | `task_port` | the interface of the tasks to the loop |
//! | `snapshot`, `traces` | the tasks in a snapshot, and their histories |
//! | `stall` | waits that other code can end |
//! | `spans/` | the spans of the tasks, with the feature `tracing` |
//!
//! # Invariants
//!
//! * A task that was woken is in the ready deque once, and has the flag `QUEUED`. A cancellation
//!   may queue it a second time, without that flag, so a missing flag means that nothing has woken
//!   it.
//! * A future is polled and dropped only in this module, on the loop's thread, with nothing
//!   borrowed. It is dropped before the joiner of the task is woken.
//! * `DONE` is final.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::any_task::{AnyTask, BoxedTask};
use super::failure::FailureOf;
use super::keyed_arena::{KeyKind, KeyedArena};
use super::outcome::{TaskEnding, TaskState};
use super::waker::{PolledWaker, TaskWaker, WakeInbox};
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::report::internal;
use crate::event_loop::{Report, ReportKind};
use crate::handle::{Handle, Key};

mod cancel;
mod completion;
mod io_slot;
mod io_waiters;
mod poll;
mod snapshot;
#[cfg(feature = "tracing")]
mod spans;
mod spawn_sites;
mod stall;
mod state;
mod table;
mod task_port;
#[cfg(all(not(loom), test))]
mod tests;
pub(crate) mod ticket;
mod traces;

use self::io_slot::IoSlot;
use self::state::Flags;
use self::table::Table;
use self::traces::Traces;

/// Stands for the waker while no task is polled: the data pointer of a real waker is never the
/// address of this static.
static NO_WAKER: u8 = 0;

/// The task that is being polled, and the data pointer of its waker.
#[derive(Clone, Copy)]
struct Polling {
    key: Key,
    waker: *const (),
}

/// The tasks of a loop.
pub(crate) struct Tasks {
    pub(crate) core: Rc<LoopCore>,
    inbox: Arc<WakeInbox>,
    slots: RefCell<Table>,
    /// Histories of the tasks, if the loop keeps them.
    traces: RefCell<Traces>,
    /// One function for each output type of detached tasks; a task holds its number.
    failure_fns: RefCell<Vec<(TypeId, FailureOf)>>,
    /// Wakers that do not belong to tasks of this loop, and wait for something of this loop.
    wakers: RefCell<KeyedArena<Waker>>,
    /// Descriptors that tasks wait for.
    ios: RefCell<KeyedArena<IoSlot>>,
    /// The waker that the next poll borrows if its task has stored no waker.
    spare_waker: Cell<Option<Box<PolledWaker>>>,
    polling: Cell<Polling>,
    /// True if the future of the main task must be polled.
    main_due: Cell<bool>,
    /// The loop that was running when this one began to run inside it.
    outer_loop: Cell<Option<Rc<Tasks>>>,
    /// True if a turn of that loop was recorded.
    outer_is_recorded: Cell<bool>,
    /// Index of the descriptor that had a waiter at the last check.
    last_awaited: Cell<u32>,
    /// An empty queue that is kept for its memory; see `drain_inbox`.
    wakes: Cell<VecDeque<Arc<TaskWaker>>>,
    #[cfg(feature = "tracing")]
    spans: spans::Spans,
}

impl Tasks {
    fn new(core: Rc<LoopCore>, inbox: WakeInbox) -> Tasks {
        Tasks {
            core,
            inbox: Arc::new(inbox),
            slots: RefCell::new(Table::new()),
            traces: RefCell::default(),
            failure_fns: RefCell::default(),
            wakers: RefCell::new(KeyedArena::new(KeyKind::Waker)),
            ios: RefCell::new(KeyedArena::new(KeyKind::Io)),
            spare_waker: Cell::new(None),
            polling: Cell::new(Polling { key: Key::NONE, waker: (&raw const NO_WAKER).cast() }),
            main_due: Cell::new(false),
            outer_loop: Cell::new(None),
            outer_is_recorded: Cell::new(false),
            last_awaited: Cell::new(0),
            wakes: Cell::default(),
            #[cfg(feature = "tracing")]
            spans: spans::Spans::default(),
        }
    }

    pub(super) fn set_outer_loop(&self, outer: Option<Rc<Tasks>>) {
        self.outer_loop.set(outer);
    }

    pub(super) fn take_outer_loop(&self) -> Option<Rc<Tasks>> {
        self.outer_loop.take()
    }

    #[inline]
    pub(crate) fn loop_id(&self) -> u32 {
        self.core.loop_id
    }

    pub(crate) fn handle(&self, key: Key) -> Handle {
        Handle { key, loop_id: self.loop_id() }
    }

    /// Returns the task that is being polled.
    pub(crate) fn current(&self) -> Option<Handle> {
        let key = self.polling.get().key;
        (key != Key::NONE).then(|| self.handle(key))
    }

    /// Adds a task and queues its first poll. A closed loop drops the future, and returns
    /// [`Key::NONE`].
    #[inline]
    pub(crate) fn spawn(
        &self,
        task: impl AnyTask + 'static,
        location: &'static Location<'static>,
    ) -> Key {
        if self.core.closed.get() {
            return Key::NONE;
        }
        let future: BoxedTask = Box::pin(task);
        let key = self.slots.borrow_mut().insert(Some(future), Flags::QUEUED, location);
        if self.core.settings.await_lines {
            self.begin_trace(key);
        }
        self.add_alive();
        self.core.feed(key);
        #[cfg(feature = "tracing")]
        self.note_spawn(key);
        key
    }

    /// Counts a task that keeps the loop running.
    #[inline]
    fn add_alive(&self) {
        self.core.tasks_alive.set(self.core.tasks_alive.get() + 1);
    }

    /// Counts a task that no longer keeps the loop running.
    #[inline]
    fn remove_alive(&self) {
        self.core.tasks_alive.set(self.core.tasks_alive.get() - 1);
    }

    /// Queues the task `key`. A waker that does not belong to a task of this loop is woken at once.
    #[inline]
    pub(crate) fn wake(&self, key: Key) {
        #[cfg(feature = "tracing")]
        if self.spans.is_active() {
            return self.wake_recorded(key);
        }
        self.wake_unrecorded(key);
    }

    #[inline]
    fn wake_unrecorded(&self, key: Key) {
        match KeyKind::of(key) {
            KeyKind::Task => {
                if self.mark_queued(key) {
                    self.core.feed(key);
                }
            }
            KeyKind::Waker => self.wake_foreign(key),
            KeyKind::Io | KeyKind::Rare => {}
        }
    }

    /// Returns true if the caller must put the task into the ready deque.
    fn mark_queued(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(key) else { return false };
        let before = task.slot.flags;
        task.slot.flags.insert(Flags::QUEUED);
        // One test for everything unusual keeps a wake short.
        !before.intersects(Flags::QUEUED | Flags::DONE | Flags::CANCELLING)
            || !before.intersects(Flags::QUEUED | Flags::DONE) && !task.is_queued_to_end()
    }

    #[cold]
    fn wake_foreign(&self, key: Key) {
        let waker = self.wakers.borrow_mut().remove(key);
        if let Some(waker) = waker {
            self.wake_contained(waker);
        }
    }

    /// Stores in `waiter` the key to wake: that of the task that is being polled, if `waker` is its
    /// waker, and otherwise the key of a clone of `waker`.
    #[inline]
    pub(crate) fn wait(&self, waiter: &Cell<Key>, waker: &Waker) {
        let polling = self.polling.get();
        // While the task is polled, no other waker has this address.
        if waker.data() == polling.waker {
            #[cfg(feature = "tracing")]
            self.spans.note_waiter();
            let old = waiter.replace(polling.key);
            if old != polling.key {
                self.forget_waiter(old);
            }
        } else {
            self.wait_foreign(waiter, waker);
        }
    }

    #[cold]
    fn wait_foreign(&self, waiter: &Cell<Key>, waker: &Waker) {
        let is_stored = match self.wakers.borrow_mut().get(waiter.get()) {
            Some(stored) => KeyKind::of(waiter.get()) == KeyKind::Waker && stored.will_wake(waker),
            None => false,
        };
        if !is_stored {
            // The clone may run user code, so nothing is borrowed during it.
            let clone = waker.clone();
            let key = self.wakers.borrow_mut().insert(clone);
            self.forget_waiter(waiter.replace(key));
        }
    }

    /// Drops the stored waker of a waiter that no longer waits.
    #[inline]
    pub(crate) fn forget_waiter(&self, key: Key) {
        if key != Key::NONE && KeyKind::of(key) == KeyKind::Waker {
            let waker = self.wakers.borrow_mut().remove(key);
            self.discard_waker(waker);
        }
    }

    /// Like [`forget_waiter`](Tasks::forget_waiter), for one of several: a panic waits until all
    /// are dropped.
    pub(crate) fn forget_waiter_later(&self, key: Key) {
        self.core.contain_later(
            |error| internal(ReportKind::Waker, error),
            || {
                self.forget_waiter(key);
            },
        );
    }

    pub(crate) fn report(&self, report: Report) {
        self.core.report(report);
    }

    /// Adds the main task, which is due at once. The caller of the run holds and polls its future.
    pub(super) fn begin_main(&self, location: &'static Location<'static>) -> Key {
        self.main_due.set(true);
        let flags = Flags::MAIN | Flags::STARTED;
        let key = self.slots.borrow_mut().insert(None, flags, location);
        if self.core.settings.await_lines {
            self.begin_trace(key);
        }
        #[cfg(feature = "tracing")]
        self.note_spawn(key);
        key
    }

    pub(super) fn end_main(&self, key: Key) {
        #[cfg(feature = "tracing")]
        self.close_span(key);
        let slot = self.slots.borrow_mut().remove(key);
        drop(slot);
    }

    /// Returns true, once for each wake, if the main future must be polled.
    pub(super) fn take_main_due(&self) -> bool {
        self.main_due.take()
    }

    /// Returns the state of a task, or `None` if it is gone.
    pub(super) fn state(&self, key: Key) -> Option<TaskState> {
        let mut slots = self.slots.borrow_mut();
        let flags = slots.get(key)?.slot.flags;
        Some(match () {
            () if flags.contains(Flags::PANICKED) => TaskState::Done(TaskEnding::Panicked),
            () if flags.contains(Flags::CANCELLED) => TaskState::Done(TaskEnding::Cancelled),
            () if flags.contains(Flags::DONE) => TaskState::Done(TaskEnding::Result),
            () if flags.contains(Flags::RUNNING) => TaskState::Running,
            () if flags.contains(Flags::STARTED) => TaskState::Waiting,
            () => TaskState::Pending,
        })
    }

    pub(super) fn location(&self, key: Key) -> Option<&'static Location<'static>> {
        self.slots.borrow_mut().location(key)
    }

    pub(super) fn name(&self, key: Key) -> Option<Rc<str>> {
        self.slots.borrow_mut().get(key)?.details()?.name.clone()
    }
}

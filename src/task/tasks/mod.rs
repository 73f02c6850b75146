//! The tasks of a loop: their futures, who waits for them, and their turns.
//!
//! A task is a slot with a box in it: first the future, later its output. Its key takes its turn in
//! the ready deque like a callback's.
//!
//! # Invariants
//!
//! * A task that was woken is in the ready deque once, and has `QUEUED`. A cancellation may add it
//!   once more, without that flag: so it is seen whether something has woken the task as well.
//! * A future is polled and dropped here only, on the loop's thread, with nothing borrowed. It is
//!   dropped before whoever waits for the task is woken.
//! * `DONE` is final.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::current;
use super::ending::{CancelReason, TaskEnding, TaskState};
use super::extent::Extent;
use super::job::{Boxed, Job, Judge};
use super::slab::{Kind, Slab};
use super::waker::{Bell, TaskWaker, WakeInbox};
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::report::internal;
use crate::event_loop::{Report, ReportKind};
use crate::handle::{Handle, Key};

mod end;
mod guest;
mod ios;
mod places;
mod table;
mod turn;

use self::ios::IoSlot;
pub(super) use self::ios::Place;
use self::table::{Flags, Table};

/// A done-callback, and where it was added.
pub(super) type DoneCallback = (Box<dyn FnOnce()>, &'static Location<'static>);

/// Its address is the waker's while no task is polled: nobody's waker has it.
static NOBODY: u8 = 0;

/// Who is polled now: the task, and the address of its waker.
#[derive(Clone, Copy)]
struct Polled {
    key: Key,
    waker: *const (),
}

/// The tasks of a loop.
pub(crate) struct Tasks {
    pub(crate) core: Rc<LoopCore>,
    inbox: Arc<WakeInbox>,
    slots: RefCell<Table>,
    /// Judges of the outputs of detached tasks, one for each type.
    judges: RefCell<Vec<(TypeId, Judge)>>,
    /// Wakers that are not a task's of this loop, waiting for something that is.
    wakers: RefCell<Slab<Waker>>,
    ios: RefCell<Slab<IoSlot>>,
    /// The waker to lend to the next task that has none of its own.
    spare: Cell<Option<Box<Bell>>>,
    polled: Cell<Polled>,
    /// How many tasks keep the loop running.
    alive: Cell<usize>,
    /// Whether the future of the main task is to be polled.
    main_due: Cell<bool>,
    /// The loop in one of whose turns this one runs.
    around: Cell<Option<Rc<Tasks>>>,
    /// What was in the inbox: a list that is kept for its memory.
    wakes: Cell<VecDeque<Arc<TaskWaker>>>,
}

impl Tasks {
    pub(crate) fn new(core: Rc<LoopCore>, inbox: WakeInbox) -> Rc<Tasks> {
        let tasks = Rc::new(Tasks {
            core,
            inbox: Arc::new(inbox),
            slots: RefCell::new(Table::new()),
            judges: RefCell::default(),
            wakers: RefCell::new(Slab::new(Kind::Waker)),
            ios: RefCell::new(Slab::new(Kind::Io)),
            spare: Cell::new(None),
            polled: Cell::new(Polled { key: Key::NOWHERE, waker: (&raw const NOBODY).cast() }),
            alive: Cell::new(0),
            main_due: Cell::new(false),
            around: Cell::new(None),
            wakes: Cell::default(),
        });
        current::add(&tasks);
        tasks
    }

    #[inline]
    pub(crate) fn loop_id(&self) -> u32 {
        self.core.loop_id
    }

    pub(crate) fn handle(&self, key: Key) -> Handle {
        Handle { key, loop_id: self.loop_id() }
    }

    /// The task that is polled now.
    pub(crate) fn current(&self) -> Option<Handle> {
        let key = self.polled.get().key;
        (key != Key::NOWHERE).then(|| self.handle(key))
    }

    /// Takes a future in and feeds it. A closed loop drops it.
    #[inline]
    pub(super) fn spawn(
        &self,
        job: impl Job + 'static,
        location: &'static Location<'static>,
    ) -> Key {
        if self.core.closed.get() {
            return Key::NOWHERE;
        }
        let future: Boxed = Box::pin(job);
        let key = self.slots.borrow_mut().insert(Some(future), Flags::QUEUED, location);
        self.alive.set(self.alive.get() + 1);
        self.core.feed(key);
        key
    }

    /// Sees to it that `key` gets a turn; a waker that is not a task's is woken at once.
    #[inline]
    pub(crate) fn wake(&self, key: Key) {
        match Kind::of(key) {
            Kind::Task => {
                if self.mark_queued(key) {
                    self.core.feed(key);
                }
            }
            Kind::Waker => self.wake_foreign(key),
            Kind::Io | Kind::Aside => {}
        }
    }

    /// Whether the task was not in the ready deque and now has to be.
    fn mark_queued(&self, key: Key) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return false };
        let wakes = !task.slot.flags.intersects(Flags::QUEUED | Flags::DONE);
        task.slot.flags.insert(Flags::QUEUED);
        wakes
    }

    #[cold]
    fn wake_foreign(&self, key: Key) {
        let waker = self.wakers.borrow_mut().remove(key);
        if let Some(waker) = waker {
            self.wake_contained(waker);
        }
    }

    /// Keeps in `place` whom to wake: the task that is polled, if the waker is its own.
    #[inline]
    pub(crate) fn wait(&self, place: &Cell<Key>, waker: &Waker) {
        let polled = self.polled.get();
        // The address is the task's as long as it is polled, so nobody else's waker has it.
        if waker.data() == polled.waker {
            let old = place.replace(polled.key);
            if old != polled.key {
                self.forget_waiter(old);
            }
        } else {
            self.wait_foreign(place, waker);
        }
    }

    #[cold]
    fn wait_foreign(&self, place: &Cell<Key>, waker: &Waker) {
        let known = match self.wakers.borrow_mut().get(place.get()) {
            Some(known) => Kind::of(place.get()) == Kind::Waker && known.will_wake(waker),
            None => false,
        };
        if !known {
            let clone = waker.clone();
            let key = self.wakers.borrow_mut().insert(clone);
            self.forget_waiter(place.replace(key));
        }
    }

    /// Whoever waited under this key does so no more.
    #[inline]
    pub(crate) fn forget_waiter(&self, key: Key) {
        if key != Key::NOWHERE && Kind::of(key) == Kind::Waker {
            let waker = self.wakers.borrow_mut().remove(key);
            self.discard_waker(waker);
        }
    }

    /// Like [`forget_waiter`](Tasks::forget_waiter), but for one of several.
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

    /// Keeps a slot for a future that whoever runs the loop polls himself; it is due at once.
    pub(super) fn begin_main(&self, location: &'static Location<'static>) -> Key {
        self.main_due.set(true);
        let flags = Flags::MAIN | Flags::STARTED;
        self.slots.borrow_mut().insert(None, flags, location)
    }

    pub(super) fn end_main(&self, key: Key) {
        let slot = self.slots.borrow_mut().remove(key);
        drop(slot);
    }

    /// Whether the main future is to be polled; asked once for each wake.
    pub(super) fn take_main_due(&self) -> bool {
        self.main_due.take()
    }

    /// Asks a task to end. False if it is done, or was asked before.
    pub(crate) fn cancel_task(&self, key: Key, reason: CancelReason) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(task) = slots.get(key) else { return false };
        if task.slot.flags.intersects(Flags::DONE | Flags::CANCELLING | Flags::MAIN) {
            return false;
        }
        task.slot.flags.insert(Flags::CANCELLING);
        let is_running = task.slot.flags.contains(Flags::RUNNING);
        let extras = task.extras_or_new();
        extras.reason = Some(reason);
        extras.had_last_poll = is_running;
        let extent = extras.extent.clone();
        drop(slots);
        match extent {
            Some(extent) => extent.cancel(),
            None => self.core.feed(key),
        }
        true
    }

    /// Puts an output back that was only looked at.
    pub(super) fn restore_output(&self, key: Key, output: Boxed) {
        if let Some(task) = self.slots.borrow_mut().get(key) {
            task.slot.content = Some(output);
        }
    }

    /// The extent of a task, if there was a need for it.
    pub(super) fn extent(&self, task: Handle) -> Option<Rc<Extent>> {
        self.slots.borrow_mut().get(task.key)?.extras()?.extent.clone()
    }

    /// The extent of a task, for something that keeps a cancellation off.
    pub(super) fn extent_or_new(&self, task: Handle) -> Option<Rc<Extent>> {
        let mut slots = self.slots.borrow_mut();
        let entry = slots.get(task.key)?;
        let is_due = entry.slot.flags.contains(Flags::CANCELLING);
        let new = || Extent::of_task(task, is_due);
        Some(entry.extras_or_new().extent.get_or_insert_with(new).clone())
    }

    /// Whether the task is cancelled at its next turn, as things are.
    pub(super) fn ends_next(&self, task: Handle) -> bool {
        let mut slots = self.slots.borrow_mut();
        let Some(mut task) = slots.get(task.key) else { return false };
        task.slot.flags.contains(Flags::CANCELLING) && !task.is_guarded()
    }

    /// Where a task is in its life; none if it is gone.
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
        self.slots.borrow_mut().get(key)?.extras()?.name.clone()
    }
}

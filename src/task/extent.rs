//! Extents: stretches of a task that can be ended from outside, and what keeps that off.
//!
//! The run of a scope, a timeout and a task group each have one. Whoever polls is inside of the
//! innermost, so they form a tree, with the task's own extent as its root. To end one is to drop its
//! future, and all the extents inside of it go with that: so an outer cancellation cannot be
//! swallowed by anything inside.
//!
//! What is to be kept off is known outside: each extent has a list of the guards inside of it, and
//! does not end while there are any. A shield also hides the wish; a group lets itself be told of it,
//! ends its children, and gives way.
//!
//! # Invariants
//!
//! * A guard is in the list of every extent around it, the root's included, and in no other.
//! * Who ends is decided when it happens, after a poll: the outermost extent that is due and
//!   unguarded, and nobody inside of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::task::Waker;

use super::tasks::Tasks;
use super::{current, foreign};
use crate::handle::Handle;
use crate::steps::step;

thread_local! {
    /// The innermost extent that is being polled.
    static CURRENT: RefCell<Option<Rc<Extent>>> = const { RefCell::new(None) };
    /// The number of the next extent.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// What an extent does to the wish that something around it should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing: it is dropped with the rest.
    None,
    /// It goes on, and those inside do not know.
    Shield,
    /// It hears of it, and goes on until it is in order.
    Group,
}

/// A stretch of a task that can be ended from outside.
pub(crate) struct Extent {
    /// Tells it apart in the lists of guards.
    number: u64,
    outer: RefCell<Option<Rc<Extent>>>,
    /// The task that polls it.
    task: Cell<Option<Handle>>,
    guard: Cell<Guard>,
    /// Whether somebody wants it to end.
    due: Cell<bool>,
    /// The guards inside, by number: any of them may leave first.
    guards: RefCell<BTreeMap<u64, Rc<Extent>>>,
    waker: WakerCell,
}

impl Extent {
    fn new(guard: Guard, task: Option<Handle>) -> Rc<Extent> {
        Rc::new(Extent {
            number: NEXT.replace(NEXT.get() + 1),
            outer: RefCell::default(),
            task: Cell::new(task),
            guard: Cell::new(guard),
            due: Cell::new(false),
            guards: RefCell::default(),
            waker: WakerCell::default(),
        })
    }

    /// The extent of a whole task. Polls do not go through it.
    pub(super) fn of_task(task: Handle, is_due: bool) -> Rc<Extent> {
        let extent = Extent::new(Guard::None, Some(task));
        extent.due.set(is_due);
        extent
    }

    /// Polls something inside of this.
    pub(super) fn enter<T>(self: &Rc<Self>, poll: impl FnOnce() -> T) -> T {
        self.link();
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        poll()
    }

    /// Finds its place: inside of what polls it now.
    pub(super) fn link(self: &Rc<Self>) {
        let task = current::running().and_then(|tasks| tasks.current());
        // A loop that runs inside of a task of another loop has a tree of its own.
        let outer = CURRENT.with_borrow(Clone::clone).filter(|outer| outer.task.get() == task);
        let known = self.outer.borrow().as_ref().map(Rc::as_ptr);
        if known == outer.as_ref().map(Rc::as_ptr) && self.task.get() == task {
            return;
        }
        if !self.is_guard() && !self.is_guarded() {
            self.move_to(outer, task);
            return;
        }
        let mut guards = self.guards();
        guards.extend(self.is_guard().then(|| self.clone()));
        guards.iter().for_each(|guard| self.withdraw(guard));
        self.move_to(outer, task);
        guards.iter().for_each(|guard| self.announce(guard));
    }

    fn move_to(&self, outer: Option<Rc<Extent>>, task: Option<Handle>) {
        let left = self.outer.replace(outer);
        self.task.set(task);
        drop(left);
    }

    /// This is to end; the groups inside are told.
    pub(super) fn set_due(&self) {
        if self.due.replace(true) {
            return;
        }
        for group in self.guards().iter().filter(|guard| guard.guard.get() == Guard::Group) {
            step();
            group.wake();
        }
    }

    fn guards(&self) -> Vec<Rc<Extent>> {
        self.guards.borrow().values().cloned().collect()
    }

    /// Somebody else wants this to end.
    pub(super) fn cancel(&self) {
        self.set_due();
        self.wake();
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.get()
    }

    /// Whether something inside keeps this from ending.
    pub(super) fn is_guarded(&self) -> bool {
        !self.guards.borrow().is_empty()
    }

    /// Whether this is the one to end now, asked after a poll.
    pub(super) fn ends(&self) -> bool {
        self.is_due() && !self.is_guarded() && !self.outer_ends()
    }

    /// Whether something around this ends with the poll that is going on.
    fn outer_ends(&self) -> bool {
        let outer = |extent: &Rc<Extent>| extent.is_due() && !extent.is_guarded();
        self.around().any(|extent| outer(&extent)) || self.root(Tasks::ends_next).unwrap_or(false)
    }

    /// Whether something around this is to end, as far as shields let it be seen.
    pub(super) fn is_outer_due(&self) -> bool {
        for extent in self.around() {
            if extent.is_due() {
                return true;
            }
            if extent.guard.get() == Guard::Shield {
                return false;
            }
        }
        self.root(Tasks::extent).flatten().is_some_and(|root| root.is_due())
    }

    pub(super) fn set_guard(self: &Rc<Self>, guard: Guard) {
        let was = self.is_guard();
        self.guard.set(guard);
        match (was, self.is_guard()) {
            (false, true) => self.announce(self),
            (true, false) => self.withdraw(self),
            _ => {}
        }
    }

    fn is_guard(&self) -> bool {
        self.guard.get() != Guard::None
    }

    /// Keeps the waker to be woken by when something changes.
    pub(super) fn wait(&self, waker: &Waker) {
        self.waker.keep(waker);
    }

    /// Sees to it that this is polled.
    pub(super) fn wake(&self) {
        if !self.waker.wake() && self.outer.borrow().is_none() {
            self.root(|tasks, task| tasks.wake(task.key));
        }
    }

    /// The extents around this one, from the inside out; not the task's.
    fn around(&self) -> impl Iterator<Item = Rc<Extent>> + use<> {
        let first = self.outer.borrow().clone();
        std::iter::successors(first, |extent| extent.outer.borrow().clone())
    }

    /// Asks the loop about the task.
    fn root<T>(&self, ask: impl FnOnce(&Tasks, Handle) -> T) -> Option<T> {
        let task = self.task.get()?;
        Some(ask(&*current::find(task.loop_id)?, task))
    }

    /// Adds a guard to the lists of those around this.
    fn announce(&self, guard: &Rc<Extent>) {
        let root = self.root(Tasks::extent_or_new).flatten();
        for extent in self.around().chain(root) {
            step();
            extent.guards.borrow_mut().insert(guard.number, guard.clone());
        }
    }

    /// Takes a guard off the lists of those around this, and wakes those who waited for that.
    fn withdraw(&self, guard: &Rc<Extent>) {
        let root = self.root(Tasks::extent).flatten();
        for extent in self.around().chain(root) {
            let mut guards = extent.guards.borrow_mut();
            step();
            let left = guards.remove(&guard.number);
            let free = guards.is_empty();
            drop((guards, left));
            if free && extent.is_due() {
                extent.wake();
            }
        }
    }
}

/// Puts the current extent back, also when the poll unwinds.
struct Restore(Option<Rc<Extent>>);

impl Drop for Restore {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.0.take());
        drop(left);
    }
}

/// An extent as its future holds it: it ends when this is dropped.
pub(super) struct Owned(Rc<Extent>);

impl Owned {
    /// An extent that takes its place when it is first polled.
    pub(super) fn new(guard: Guard) -> Owned {
        Owned(Extent::new(guard, None))
    }
}

impl Deref for Owned {
    type Target = Rc<Extent>;

    fn deref(&self) -> &Rc<Extent> {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.set_guard(Guard::None);
    }
}

/// The waker of one who waits.
#[derive(Default)]
pub(super) struct WakerCell(Cell<Option<Waker>>);

impl WakerCell {
    /// Keeps a clone of `waker`, unless it has one that does the same.
    pub(super) fn keep(&self, waker: &Waker) {
        let kept = self.0.take();
        if kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return self.0.set(kept);
        }
        self.0.set(Some(waker.clone()));
        foreign::discard(kept);
    }

    /// Wakes, once. False if nobody waits.
    pub(super) fn wake(&self) -> bool {
        self.0.take().map(foreign::wake).is_some()
    }
}

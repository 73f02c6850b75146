//! The tree of the regions of a task: polling inside a region, requests to end, guards.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::task::Waker;

use super::live::{self, LiveIndex};
use super::region::{Guard, Region, RegionCall};
use crate::handle::Handle;
use crate::step_counter::step;
use crate::task::tasks::Tasks;
use crate::task::{current, foreign};

thread_local! {
    /// The innermost region that is being polled.
    static CURRENT: RefCell<Option<Rc<Region>>> = const { RefCell::new(None) };
}

impl Region {
    /// Calls `poll` inside this region.
    pub(crate) fn enter<T>(self: &Rc<Self>, poll: impl FnOnce() -> T) -> T {
        self.attach();
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        poll()
    }

    /// Moves this region into the one that is being polled now, with the guards inside it.
    pub(crate) fn attach(self: &Rc<Self>) {
        let task = current::running().and_then(|tasks| tasks.current());
        // A loop that runs inside a task of another loop has a separate tree.
        let outer = CURRENT.with_borrow(Clone::clone).filter(|outer| outer.task.get() == task);
        let known = self.outer.borrow().as_ref().map(Rc::as_ptr);
        // The usual case: a region is polled where it was before.
        if known == outer.as_ref().map(Rc::as_ptr) && self.task.get() == task {
            return;
        }
        // Without guards there is no list to change: entering a scope takes 100 instructions less.
        if !self.is_guard() && !self.is_guarded() {
            self.move_to(outer, task);
            return;
        }
        // Each guard leaves the lists of the old place and enters those of the new one.
        let mut guards = self.guards();
        guards.extend(self.is_guard().then(|| self.clone()));
        guards.iter().for_each(|guard| self.unregister_guard(guard));
        self.move_to(outer, task);
        guards.iter().for_each(|guard| self.register_guard(guard));
    }

    fn move_to(&self, outer: Option<Rc<Region>>, task: Option<Handle>) {
        let loop_of = |task: Option<Handle>| task.map(|task| task.loop_id);
        if loop_of(self.task.get()) != loop_of(task) {
            let tick = current::with_running(|tasks| tasks.core.tick());
            self.entered_in.set(tick.unwrap_or(0));
        }
        let left = self.outer.replace(outer);
        self.task.set(task);
        drop(left);
    }

    /// Requests the end of this region, and wakes the groups inside it.
    pub(crate) fn request(&self) {
        if self.requested.replace(true) {
            return;
        }
        for group in self.guards().iter().filter(|guard| guard.guard.get() == Guard::Group) {
            step();
            group.wake();
        }
    }

    /// Requests the end of this region from outside, so its task must be polled.
    pub(crate) fn cancel(&self) {
        self.request();
        self.wake();
    }

    /// Returns true if this is the region that ends now. Call it after a poll.
    pub(crate) fn should_end_now(&self) -> bool {
        self.is_requested() && !self.is_guarded() && !self.outer_should_end()
    }

    /// Returns true if a region around this one ends with the current poll.
    fn outer_should_end(&self) -> bool {
        let ends = |region: &Rc<Region>| region.is_requested() && !region.is_guarded();
        self.enclosing().any(|region| ends(&region))
            || self.with_tasks(Tasks::ends_next).unwrap_or(false)
    }

    /// Returns true if an enclosing region is requested to end and no shield lies in between.
    pub(crate) fn is_outer_requested(&self) -> bool {
        for region in self.enclosing() {
            if region.is_requested() {
                return true;
            }
            if region.guard.get() == Guard::Shield {
                return false;
            }
        }
        self.with_tasks(Tasks::region).flatten().is_some_and(|root| root.is_requested())
    }

    /// Makes this region a guard of another kind, or no guard.
    pub(crate) fn set_guard(self: &Rc<Self>, guard: Guard) {
        let was = self.is_guard();
        self.guard.set(guard);
        match (was, self.is_guard()) {
            (false, true) => self.register_guard(self),
            (true, false) => self.unregister_guard(self),
            _ => {}
        }
    }

    /// Stores the waker for the next [`wake`](Region::wake).
    pub(crate) fn wait(&self, waker: &Waker) {
        foreign::store(&self.waker, waker);
    }

    /// Causes a poll of this region: by its waker, or else by its task.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            foreign::wake(waker);
        } else if self.outer.borrow().is_none() {
            self.with_tasks(|tasks, task| tasks.wake(task.key));
        }
    }

    /// Calls `read` with the loop of this region's task, if the loop still exists.
    fn with_tasks<T>(&self, read: impl FnOnce(&Tasks, Handle) -> T) -> Option<T> {
        let task = self.task.get()?;
        Some(read(&*current::find(task.loop_id)?, task))
    }

    /// Adds a guard to the lists of the regions around this one.
    fn register_guard(&self, guard: &Rc<Region>) {
        let root = self.with_tasks(Tasks::region_or_new).flatten();
        for region in self.enclosing().chain(root) {
            step();
            region.guards.borrow_mut().insert(guard.number, guard.clone());
        }
    }

    /// Removes a guard from the lists of the regions around this one. Wakes the regions that can
    /// end now.
    fn unregister_guard(&self, guard: &Rc<Region>) {
        let root = self.with_tasks(Tasks::region).flatten();
        for region in self.enclosing().chain(root) {
            let mut guards = region.guards.borrow_mut();
            step();
            let left = guards.remove(&guard.number);
            let is_free = guards.is_empty();
            drop((guards, left));
            if is_free && region.is_requested() {
                region.wake();
            }
        }
    }
}

/// Returns true if the region is being polled.
pub(super) fn is_polled(region: &Region) -> bool {
    let innermost = CURRENT.with_borrow(Clone::clone);
    let mut polled =
        innermost.iter().cloned().chain(innermost.iter().flat_map(|inner| inner.enclosing()));
    polled.any(|inner| inner.number == region.number)
}

/// Restores the current region when a poll returns or unwinds.
struct Restore(Option<Rc<Region>>);

impl Drop for Restore {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.0.take());
        drop(left);
    }
}

/// A region that its future holds: when this is dropped, the region stops being a guard.
pub(crate) struct OwnedRegion {
    region: Rc<Region>,
    live: LiveIndex,
}

impl OwnedRegion {
    /// Creates a region. The first poll gives it a place in the tree.
    pub(crate) fn new(guard: Guard, call: RegionCall) -> OwnedRegion {
        let region = Region::new(guard, None, Some(call));
        let live = live::add(&region);
        OwnedRegion { region, live }
    }
}

impl Deref for OwnedRegion {
    type Target = Rc<Region>;

    fn deref(&self) -> &Rc<Region> {
        &self.region
    }
}

impl Drop for OwnedRegion {
    fn drop(&mut self) {
        self.region.set_guard(Guard::None);
        live::remove(self.live);
    }
}

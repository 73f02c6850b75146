//! Which loops there are on this thread, and which of them runs.
//!
//! Tasks, promises and wakers name their loop by a number, so they are small and keep nothing alive;
//! here the number becomes the loop again, as long as there is one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::tasks::Tasks;

thread_local! {
    /// The loop that runs; it knows the one around it.
    static RUNNING: RefCell<Option<Rc<Tasks>>> = const { RefCell::new(None) };
    /// All loops of this thread.
    static LOOPS: RefCell<BTreeMap<u32, Weak<Tasks>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The loop that runs on this thread.
#[inline]
pub(crate) fn running() -> Option<Rc<Tasks>> {
    RUNNING.try_with(|running| running.borrow().clone()).ok().flatten()
}

/// Asks the loop that runs on this thread, with no other code between: `ask` must not let go of
/// anything of the user's.
#[inline]
pub(crate) fn ask<T>(ask: impl FnOnce(&Tasks) -> T) -> Option<T> {
    RUNNING.try_with(|running| running.borrow().as_deref().map(ask)).ok().flatten()
}

/// The loop with this number, if it is one of this thread and is not gone.
#[inline]
pub(crate) fn find(loop_id: u32) -> Option<Rc<Tasks>> {
    match running() {
        Some(tasks) if tasks.loop_id() == loop_id => Some(tasks),
        _ => find_idle(loop_id),
    }
}

/// Also those that do not run now.
#[cold]
fn find_idle(loop_id: u32) -> Option<Rc<Tasks>> {
    let found = LOOPS.try_with(|loops| loops.borrow().get(&loop_id)?.upgrade());
    found.ok().flatten()
}

/// From now on `tasks` is the loop that runs; the answer is the one around it.
#[inline]
pub(super) fn enter(tasks: Option<Rc<Tasks>>) -> Option<Rc<Tasks>> {
    // Without thread-locals the thread ends, and so does everything on it.
    RUNNING.try_with(|running| running.replace(tasks)).ok().flatten()
}

/// A loop is made.
pub(super) fn add(tasks: &Rc<Tasks>) {
    let (loop_id, tasks) = (tasks.loop_id(), Rc::downgrade(tasks));
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().insert(loop_id, tasks));
}

/// A loop is gone.
pub(super) fn remove(loop_id: u32) {
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().remove(&loop_id));
}

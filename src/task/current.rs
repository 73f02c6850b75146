//! The loops of this thread: which of them exist, and which one runs.
//!
//! Tasks, promises and wakers hold the number of their loop, not a pointer. So they are small and
//! keep no loop alive. This module maps the number back to the loop, as long as it exists.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::{Rc, Weak};

use super::tasks::Tasks;
use crate::error::{Error, Result};
use crate::event_loop::task_port::TaskLayer;

thread_local! {
    /// The running loop. If it runs inside another loop, it holds that one.
    static RUNNING: RefCell<Option<Rc<Tasks>>> = const { RefCell::new(None) };
    /// All loops of this thread, by number.
    static LOOPS: RefCell<BTreeMap<u32, Weak<Tasks>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Returns the loop that runs on this thread.
#[inline]
pub(crate) fn running() -> Option<Rc<Tasks>> {
    RUNNING.try_with(|running| running.borrow().clone()).ok().flatten()
}

/// Calls `read` with the loop that runs on this thread, without touching its reference count.
///
/// `read` must not run or drop user code, because the thread-local is borrowed meanwhile.
#[inline]
pub(crate) fn with_running<T>(read: impl FnOnce(&Tasks) -> T) -> Option<T> {
    RUNNING.try_with(|running| running.borrow().as_deref().map(read)).ok().flatten()
}

/// Returns the loop with this number, if it belongs to this thread and still exists.
#[inline]
pub(crate) fn find(loop_id: u32) -> Option<Rc<Tasks>> {
    match running() {
        Some(tasks) if tasks.loop_id() == loop_id => Some(tasks),
        _ => find_idle(loop_id),
    }
}

/// Looks among all loops of the thread, including those that do not run now.
#[cold]
fn find_idle(loop_id: u32) -> Option<Rc<Tasks>> {
    let found = LOOPS.try_with(|loops| loops.borrow().get(&loop_id)?.upgrade());
    found.ok().flatten()
}

/// Makes `tasks` the running loop, which holds the one that ran before.
#[inline]
pub(super) fn enter(tasks: Rc<Tasks>) {
    // Without thread-locals the thread is ending, and every loop of it with it.
    let _ = RUNNING.try_with(|running| {
        let mut running = running.borrow_mut();
        tasks.set_outer_loop(running.take());
        *running = Some(tasks);
    });
}

/// Makes the loop that ran before `tasks` the running one again. Returns `tasks`.
#[inline]
pub(super) fn leave(tasks: &Tasks) -> Option<Rc<Tasks>> {
    RUNNING.try_with(|running| running.replace(tasks.take_outer_loop())).ok().flatten()
}

/// Adds a new loop to those of this thread.
pub(super) fn add(tasks: &Rc<Tasks>) {
    let (loop_id, tasks) = (tasks.loop_id(), Rc::downgrade(tasks));
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().insert(loop_id, tasks));
}

/// Removes a closed loop from those of this thread.
pub(super) fn remove(loop_id: u32) {
    let _ = LOOPS.try_with(|loops| loops.borrow_mut().remove(&loop_id));
}

/// Returns the running loop.
///
/// # Errors
///
/// [`Error::NoLoop`] names `call`.
pub(crate) fn running_for(call: &'static str) -> Result<Rc<Tasks>> {
    running().ok_or(Error::NoLoop { call })
}

/// Returns the running loop, and panics at the caller's line where none runs.
#[track_caller]
#[inline]
pub(super) fn expect(call: &'static str) -> Rc<Tasks> {
    match running() {
        Some(tasks) => tasks,
        None => no_loop(call),
    }
}

#[cold]
#[track_caller]
fn no_loop(call: &'static str) -> ! {
    panic!("{}", Error::NoLoop { call })
}

/// Panics outside a running loop. The message has `location`, because the future of this call is
/// awaited elsewhere.
#[inline]
pub(crate) fn check_running(call: &'static str, location: &'static Location<'static>) {
    if running().is_none() {
        no_loop_at(call, location);
    }
}

/// Panics with the line of the call that made the future.
#[cold]
pub(crate) fn no_loop_at(call: &'static str, location: &'static Location<'static>) -> ! {
    panic!("{}; the future was made at {location}", Error::NoLoop { call })
}

/// Reports an error to the exception handler, with the name and line of the current task. The task
/// itself continues.
pub(crate) fn report(error: Error) {
    let tasks = running();
    let report = tasks.as_ref().and_then(|tasks| tasks.report_of(tasks.current()?.key, error));
    if let (Some(tasks), Some(report)) = (tasks, report) {
        tasks.report(report);
    }
}

//! The task layer, as the loop uses it.
//!
//! Tasks share the ready deque with callbacks. The loop handles their keys, but has no notion of
//! futures: the layer above implements [`TaskLayer`].

use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;

use super::report::Report;
use crate::clock::Times;
use crate::error::Error;
use crate::handle::Key;
use crate::ready::{Ready, ReadyDeque};
use crate::snapshot::{Entry, Places};

/// A task that is about to run: its key, the place where it was spawned, its name.
pub(crate) type TaskOrigin = (Key, &'static Location<'static>, Option<Rc<str>>);

/// Owner of the keys that are not callbacks ([`Key::is_task_layer`]): tasks, wakers, and
/// descriptors that tasks wait for.
pub(crate) trait TaskLayer {
    /// Notes that the loop runs on this thread from now on.
    fn enter(self: Rc<Self>);
    /// Notes that the loop has stopped running.
    fn leave(&self);
    /// Polls the task of `ready`, or wakes the waiters of its fd. Returns false if it has ended.
    fn dispatch(&self, ready: Ready) -> bool;
    /// Like [`dispatch`](TaskLayer::dispatch), and keeps the lines where the task waits then.
    fn dispatch_traced(&self, ready: Ready) -> bool;
    /// Returns true if `key` is that of a watched fd.
    fn is_watching(&self, key: Key) -> bool;
    /// Feeds `key` at its deadline. Returns false if it is in the ready deque already.
    fn feed_timer(&self, key: Key, ready: &mut ReadyDeque) -> bool;
    /// Records the wakes of the timers that were fed, when nothing is borrowed.
    #[cfg(feature = "tracing")]
    fn record_timers(&self);
    /// Takes the wakes that other threads have sent, and feeds their tasks.
    fn drain_inbox(&self);
    /// Returns true if the inbox may hold wakes that did not wake the loop.
    fn has_messages(&self) -> bool;
    /// Returns the number of tasks, including those that are done but not joined.
    fn count(&self) -> usize;
    /// Returns true if a task or another waiter waits for a descriptor.
    fn has_descriptor_waiter(&self) -> bool;
    /// Returns true if other code has kept a waker of a task.
    fn has_foreign_wakers(&self) -> bool;
    /// Adds the tasks to the entries of a snapshot taken at `times`.
    fn list(&self, times: Times, entries: &mut Vec<Entry>);
    /// Adds the numbers of tasks by place.
    fn count_by_place(&self, places: &mut Places);
    /// Keeps the ages of descriptors. Called in one of 2^30 ticks.
    fn refresh_ages(&self);
    /// Cancels a task. Returns false if it has ended, or was cancelled before.
    fn cancel(&self, key: Key) -> bool;
    /// Returns true if `key` keeps [`run`](crate::EventLoop::run) going.
    fn is_foreground(&self, key: Key) -> bool;
    /// Moves a task to the background, or back. Returns false if it has ended.
    fn set_background(&self, key: Key, background: bool) -> bool;
    /// Names a task in reports. Returns false if it has ended.
    fn set_name(&self, key: Key, name: &str) -> bool;
    /// Returns a report about a task, or `None` if it has ended.
    fn report_of(&self, key: Key, error: Error) -> Option<Report>;
    /// Returns the task that `ready` runs, or `None` if it has ended. For an fd this is the task
    /// that has waited longest for the readiness.
    fn origin_of(&self, ready: Ready) -> Option<TaskOrigin>;
    /// Returns the line that spawned a task without a name; `None` for other keys.
    fn spawn_line(&self, key: Key) -> Option<&'static Location<'static>>;
    /// Passes the descriptors that tasks wait for to `visit`.
    fn for_each_fd(&self, visit: &mut dyn FnMut(RawFd));
    /// Returns the descriptor that has the key `key`.
    fn fd_of(&self, key: Key) -> Option<RawFd>;
    /// Wakes every task in a forked child. A wake from a thread of the parent may be lost.
    fn after_fork(&self);
    /// Drops all tasks. The values that are dropped may call the loop, which is closed.
    fn close(&self);
}

/// A loop that runs on this thread, until the guard is dropped.
pub(crate) struct RunGuard(Rc<dyn TaskLayer>);

impl RunGuard {
    #[inline]
    pub(crate) fn enter(tasks: &Rc<dyn TaskLayer>) -> RunGuard {
        tasks.clone().enter();
        RunGuard(tasks.clone())
    }
}

impl Drop for RunGuard {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
    }
}

//! What shares the ready deque with the callbacks: the tasks, as the loop sees them.
//!
//! The loop knows keys, not futures. A key of the tasks takes its turn like any other.

use std::rc::Rc;

use super::report::Report;
use crate::error::Error;
use crate::handle::Key;
use crate::ready::{Ready, ReadyDeque};

/// Owner of the keys that are not callbacks ([`Key::is_task_layer`]).
pub(crate) trait TaskLayer {
    /// The loop begins to run on this thread.
    fn enter(self: Rc<Self>);
    /// The loop has ended to run.
    fn leave(&self);
    /// Runs what is due. False if it is gone.
    fn dispatch(&self, ready: Ready) -> bool;
    /// Whether `key` is that of an fd.
    fn is_watching(&self, key: Key) -> bool;
    /// A deadline of `key` has come.
    fn feed_timer(&self, key: Key, ready: &mut ReadyDeque);
    /// Other threads may have sent something.
    fn drain_inbox(&self);
    /// Whether they may have sent something again, and nobody will ring for it.
    fn has_messages(&self) -> bool;
    /// Whether anything keeps [`run`](crate::EventLoop::run) going.
    fn is_alive(&self) -> bool;
    fn cancel(&self, key: Key) -> bool;
    /// Returns true if `key` keeps [`run`](crate::EventLoop::run) going.
    fn is_foreground(&self, key: Key) -> bool;
    fn set_background(&self, key: Key, background: bool) -> bool;
    fn set_name(&self, key: Key, name: &str) -> bool;
    fn report_of(&self, key: Key, error: Error) -> Option<Report>;
    /// The loop is a forked child's own from now on: what waits for a thread of the parent looks
    /// again.
    fn after_fork(&self);
    /// Ends everything; what is dropped may call the loop, which is closed to it.
    fn close(&self);
}

/// A loop that runs on this thread, until this is dropped.
pub(crate) struct RunGuard(Rc<dyn TaskLayer>);

impl RunGuard {
    pub(crate) fn enter(tasks: &Rc<dyn TaskLayer>) -> RunGuard {
        tasks.clone().enter();
        RunGuard(tasks.clone())
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.0.leave();
    }
}

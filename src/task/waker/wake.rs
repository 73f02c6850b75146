//! `impl Wake`: the way from a waker to its task. Separate from the type, because it needs the
//! running loop, which itself holds wakers.

use std::sync::Arc;
use std::task::Wake;

use super::TaskWaker;
use crate::task::current;

impl Wake for TaskWaker {
    fn wake(self: Arc<TaskWaker>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<TaskWaker>) {
        match current::running() {
            Some(tasks) if tasks.loop_id() == self.loop_id => tasks.wake(self.key()),
            // Another thread, or a loop that does not run now.
            _ => self.in_inbox.send(&self.inbox, || self.clone()),
        }
    }
}

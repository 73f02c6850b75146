//! Processes of a loop: watching them, and feeding the callbacks that wait for their exit.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mainspring_sys::Signal;
use mainspring_sys::child::{ExitWatchKind, WatchedProcess, reap_abandoned};

use super::loop_core::{CHILDREN, LoopCore};
use super::report::{ReportKind, internal};
use crate::children::{KillTarget, ProcessEntry};
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::watchers::wakeup_bit;

impl LoopCore {
    /// Opens the watch of processes, unless it is open, and returns its kind. Called before a
    /// spawn, so that nothing can fail after it.
    pub(crate) fn open_children(&self) -> Result<ExitWatchKind> {
        self.check_open()?;
        let kind = self.settings.exit_watch.unwrap_or(ExitWatchKind::available()[0]);
        let mut children = self.children.borrow_mut();
        let mut watchers = self.watchers.borrow_mut();
        if let Some((fd, mode)) = children.open(kind, &mut **watchers.selector(), CHILDREN)? {
            watchers.add_internal(fd, CHILDREN, mode);
        }
        reap_abandoned();
        Ok(kind)
    }

    /// Watches a process, after [`open_children`](LoopCore::open_children).
    pub(crate) fn watch_process(
        &self,
        process: Arc<WatchedProcess>,
        is_spawned: bool,
    ) -> Rc<ProcessEntry> {
        let mut ended = Vec::new();
        let entry = self.children.borrow_mut().add(process, is_spawned, &mut ended);
        self.feed_ended(ended);
        self.arm_children();
        entry
    }

    /// Removes a future that waited for the end of a process.
    pub(crate) fn remove_exit_future(&self, entry: &ProcessEntry, future: u64) {
        let waker = entry.remove_future(future);
        self.children.borrow_mut().release(entry.pid());
        self.contain(|error| internal(ReportKind::Waker, error), || drop(waker));
    }

    /// Sends TERM now, and kills after `delay` if the target still exists.
    pub(crate) fn kill_after(
        &self,
        entry: &Rc<ProcessEntry>,
        delay: Duration,
        target: KillTarget,
    ) -> io::Result<()> {
        let process = entry.held_process().ok_or_else(has_ended)?;
        match target {
            KillTarget::Process => process.signal(Signal::TERM)?,
            KillTarget::Group => process.signal_and_hold_group(Signal::TERM)?,
        }
        if self.closed.get() {
            // No timer of this loop will expire.
            match target {
                KillTarget::Process => process.signal(Signal::KILL)?,
                KillTarget::Group => process.kill_and_release_group(),
            }
            return Ok(());
        }
        let deadline = self.timeline.nanos_after(delay);
        self.children.borrow_mut().kill_at(entry, deadline, target);
        self.arm_children();
        Ok(())
    }

    /// Feeds the callbacks of the processes that the kernel has reported.
    #[cold]
    pub(super) fn feed_children(&self) -> Result<()> {
        if self.agenda.is_wakeup_pending(wakeup_bit(CHILDREN)) {
            let mut ended = Vec::new();
            let drained = self.children.borrow_mut().drain(&mut ended);
            self.feed_ended(ended);
            drained.map_err(Error::Select)?;
            // Last, so that after an error the next tick tries again.
            self.agenda.remove_wakeup(wakeup_bit(CHILDREN));
            self.arm_children();
        }
        Ok(())
    }

    /// Performs the kills and checks that are due.
    #[cold]
    pub(super) fn feed_due_children(&self, now: u64) {
        let mut ended = Vec::new();
        self.children.borrow_mut().on_deadline(now, &mut ended);
        self.feed_ended(ended);
        self.arm_children();
    }

    /// Queues the callbacks of processes that have ended, and wakes the futures. Wakers of other
    /// executors are user code, so nothing is borrowed.
    fn feed_ended(&self, ended: Vec<Rc<ProcessEntry>>) {
        for entry in ended {
            entry.take_keys().into_iter().for_each(|key| self.feed(key));
            self.wake_futures(&entry);
        }
    }

    fn wake_futures(&self, entry: &ProcessEntry) {
        for waker in entry.take_wakers().into_values() {
            self.contain_later(|error| internal(ReportKind::Waker, error), || waker.wake());
        }
    }

    fn arm_children(&self) {
        let deadline = self.children.borrow_mut().next_deadline(self.timeline.now_nanos());
        let mut timers = self.timers.borrow_mut();
        match (self.children_timer.get(), deadline) {
            (Some(timer), Some(deadline)) => timers.reset(timer, deadline),
            (Some(timer), None) => timers.disarm(timer),
            (None, Some(deadline)) => {
                self.children_timer.set(Some(timers.insert(deadline, Key::CHILDREN)));
            }
            (None, None) => {}
        }
    }

    /// Stops watching the descriptor of the processes, before
    /// [`close_children`](LoopCore::close_children) closes it.
    pub(super) fn unwatch_children(&self) {
        if let Some((fd, _)) = self.children.borrow().watched() {
            self.watchers.borrow_mut().remove_internal(fd);
        }
    }

    /// Ends the watch of all processes.
    pub(super) fn close_children(&self) {
        let entries = self.children.borrow_mut().close();
        for entry in entries {
            entry.close();
            self.wake_futures(&entry);
        }
        if let Some(timer) = self.children_timer.take() {
            self.timers.borrow_mut().remove(timer);
        }
    }
}

/// Returns the error for a signal to a process that has exited.
pub(crate) fn has_ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "it has ended")
}

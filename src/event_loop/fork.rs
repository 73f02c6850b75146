//! The loop in a child process created by fork(2).

use mainspring_sys::process::Process;

use super::LoopHandle;
use super::loop_core::LoopCore;
use super::loop_handle::Shared;
use crate::error::{Error, Result};

/// # Forked children
impl<S> LoopHandle<S> {
    /// Makes the loop usable in a child process created by fork(2), with all its registrations.
    ///
    /// The kernel objects of a loop are shared with the parent, so the loop is unusable in the
    /// child at first. Calls that can fail return [`Error::Forked`]. Dropping the loop closes the
    /// child's copies of descriptors, and changes nothing in the parent. This call makes a new
    /// selector and new wakeups, and registers every watcher again. Both loops then watch the same
    /// files, so each process should close or cancel what the other one serves.
    ///
    /// * Callbacks, timers and tasks exist in both processes. Every task is polled once.
    /// * Closures that were sent before the fork run in both processes, except one that was being
    ///   sent at that time. A [`Remote`](super::Remote) reaches the loop of its process.
    /// * The blocking pool starts again without threads, and lookups with it. Awaiting a job of the
    ///   parent is an error in the child.
    /// * Signals that the child received since the fork are delivered now. A child that drops the
    ///   loop instead restores the dispositions.
    ///
    /// If a callback forks, the child's batch ends when the callback returns, and the run returns
    /// [`Error::Forked`]. If the callback makes this call first, the child continues normally. The
    /// rest of an interrupted batch runs after this call.
    ///
    /// A child that calls [`exec`](std::os::unix::process::CommandExt::exec), or was started by
    /// [`std::process::Command`], inherits no descriptor of the loop.
    ///
    /// In the process that created the loop, the call does nothing. Call it before the child opens
    /// other files: where a child does not inherit the selector (kqueue(2)), another file could
    /// take its number, which is an error.
    ///
    /// # Errors
    ///
    /// [`Error::Create`] if a descriptor cannot be created: the loop is still unusable, and the
    /// call can be repeated. [`Error::Closed`].
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// el.call_soon(|_, calls| *calls += 1);
    /// // if fork() == 0 {
    /// el.after_fork_child()?;
    /// el.run()?;
    /// assert_eq!(*el.state(), 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn after_fork_child(&self) -> Result<()> {
        let (core, Shared { inbox, tasks, .. }) = (self.core(), &*self.shared);
        if core.closed.get() {
            return Err(Error::Closed);
        }
        if !core.is_forked() {
            return Ok(());
        }
        // The wakeup first: the selector registers it again, and the inboxes are checked last.
        let renewed = inbox.wakeup().after_fork();
        renewed.map_err(|source| Error::Create { part: "wakeup", source })?;
        core.after_fork()?;
        if let Some(tape) = core.tape.get() {
            tape.after_fork();
        }
        if let Some(history) = core.history.borrow_mut().as_mut() {
            history.forget_turns();
        }
        core.heartbeat.take(); // It reads the tape of the parent.
        inbox.after_fork();
        tasks.after_fork();
        Ok(())
    }
}

impl LoopCore {
    /// Makes a forked child's copy usable, with kernel objects of the child that watch everything
    /// registered.
    fn after_fork(&self) -> Result<()> {
        let refused = |source| Error::Create { part: "copy after a fork", source };
        self.signals.borrow_mut().after_fork().map_err(refused)?;
        self.children.borrow_mut().after_fork().map_err(refused)?;
        self.forget_kernel_timers();
        let ready = &mut self.agenda.ready.borrow_mut();
        self.watchers.borrow_mut().rebuild(ready).map_err(refused)?;
        self.agenda.after_fork();
        self.take_unknown_key();
        self.process.set(Process::current());
        self.rearm_timebases();
        Ok(())
    }
}

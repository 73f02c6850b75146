//! The exit of processes that the loop has not started.

use std::borrow::Cow;
use std::panic::Location;
use std::process::ExitStatus;
use std::rc::Rc;

use mainspring_sys::child::WatchedProcess;
use mainspring_sys::closure::CallOnce;

use super::wait::PidWait;
use crate::children::{ProcessEnd, ProcessEntry};
use crate::error::{Error, Result};
use crate::event_loop::callback::once_result;
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::{CallbackResult, LoopHandle};
use crate::handle::Handle;
use crate::task::current;

/// # Other processes
impl<S> LoopHandle<S> {
    /// Calls `callback` when the process `pid` has exited, exactly once. It may be any process: a
    /// daemon with a pid file, the parent, or a child that other code has started.
    ///
    /// The status is available if the process is a child of this one, or if the kernel reports it
    /// anyway (the BSDs). Otherwise it is `None`, as for a child that other code has reaped. The
    /// loop reaps a child, so other code must not wait for it.
    ///
    /// On Linux before 5.4 and on systems without kqueue(2), a process that is not a child is
    /// polled by a timer, every 20 ms.
    ///
    /// # Errors
    ///
    /// [`Error::Process`]: `ESRCH` if there is no such process, `InvalidInput` if the number is
    /// that of no process, `EMFILE` without a free descriptor; [`Error::Create`],
    /// [`Error::Closed`].
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::process::Command;
    ///
    /// let child = Command::new("true").spawn()?;
    /// let mut el = EventLoop::with_state(None)?;
    /// el.watch_pid(child.id(), |_, ended, status| *ended = status)?;
    /// el.run()?;
    /// assert!(el.state().is_some_and(|status| status.success()));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn watch_pid<F, R>(&self, pid: u32, callback: F) -> Result<Handle>
    where
        F: FnOnce(&LoopHandle<S>, &mut S, Option<ExitStatus>) -> R + 'static,
        R: CallbackResult,
    {
        let entry = watch(self.core(), pid)?;
        let shared = entry.clone();
        let once = CallOnce::new(move |el: &LoopHandle<S>, state: &mut S| {
            let status = match shared.end() {
                Some(ProcessEnd::Status(status)) => Some(status),
                Some(ProcessEnd::Gone | ProcessEnd::LoopClosed) | None => None,
            };
            once_result(callback(el, state, status))
        });
        Ok(self.add_exit_callback(&entry, once, Location::caller()))
    }
}

/// Waits until the process `pid` exits, like [`watch_pid`](LoopHandle::watch_pid). It is watched
/// from this call on, in the running loop.
///
/// ```
/// use mainspring::{EventLoop, process::wait_pid};
/// use std::process::Command;
///
/// let status = EventLoop::new()?.run_until_complete(async {
///     let child = Command::new("true").spawn()?;
///     wait_pid(child.id())?.await
/// })??;
/// assert!(status.is_some_and(|status| status.success()));
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// # Errors
///
/// The errors of [`watch_pid`](LoopHandle::watch_pid), and [`Error::NoLoop`]. The future returns
/// [`Error::Closed`] if the loop is closed first.
pub fn wait_pid(pid: u32) -> Result<PidWait> {
    let tasks = current::running_for("mainspring::process::wait_pid")?;
    let entry = watch(&tasks.core, pid)?;
    Ok(PidWait::new(tasks.core.clone(), entry))
}

fn watch(core: &LoopCore, pid: u32) -> Result<Rc<ProcessEntry>> {
    let kind = core.open_children()?;
    let process = WatchedProcess::find(pid, kind);
    let refused = |source| Error::Process { operation: Cow::Borrowed("watch"), pid, source };
    Ok(core.watch_process(process.map_err(refused)?, false))
}

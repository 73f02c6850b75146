//! Starting a program.

use std::borrow::BorrowMut;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::process::{Command, ExitStatus};
use std::rc::Rc;

use mainspring_sys::child::{WatchedProcess, reset_signal_mask};
use mainspring_sys::closure::CallOnce;

use super::child::Child;
use crate::children::ProcessEntry;
use crate::error::{Error, Result};
use crate::event_loop::callback::{Callback, Once, once_result};
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::source::Source;
use crate::event_loop::{CallbackResult, LoopHandle};
use crate::handle::Handle;
use crate::task::current;

/// # Child processes
impl<S> LoopHandle<S> {
    /// Starts a program, and calls `callback` with its exit status when it has exited, exactly
    /// once.
    ///
    /// The [`Child`] has its id and its pipes, and sends signals to it. Dropping it changes
    /// nothing: the callback is still called. [`cancel`](LoopHandle::cancel) with [`Child::handle`]
    /// drops the callback; the program keeps running, and the loop reaps it.
    ///
    /// The callback is called when the program exits, not when its pipes end: output may be left in
    /// a pipe, and processes that the program has started may still write.
    ///
    /// The call blocks until the child has called exec(2), see [`process`](crate::process).
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if the program cannot be started; [`Error::Create`] if no descriptor is
    /// left for the first child of a loop; [`Error::Closed`]. The callback gets
    /// [`Error::StatusUnavailable`] if other code has reaped the child.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::process::Command;
    ///
    /// let mut el = EventLoop::with_state(None)?;
    /// el.spawn_child(Command::new("sh").args(["-c", "exit 7"]), |_, code, status| {
    ///     *code = status?.code();
    ///     Ok(())
    /// })?;
    /// el.run()?;
    /// assert_eq!(*el.state(), Some(7));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_child<F, R>(
        &self,
        mut command: impl BorrowMut<Command>,
        callback: F,
    ) -> Result<Child>
    where
        F: FnOnce(&LoopHandle<S>, &mut S, Result<ExitStatus>) -> R + 'static,
        R: CallbackResult,
    {
        let mut child = launch(self.core(), command.borrow_mut())?;
        let entry = child.entry.clone();
        let once = CallOnce::new(move |el: &LoopHandle<S>, state: &mut S| {
            // Set before the callback is queued.
            let Some(status) = entry.status() else { return Ok(()) };
            once_result(callback(el, state, status))
        });
        child.handle = Some(self.add_exit_callback(&child.entry, once, Location::caller()));
        Ok(child)
    }

    /// Adds a callback for the end of a process.
    pub(super) fn add_exit_callback(
        &self,
        entry: &ProcessEntry,
        once: Once<S>,
        location: &'static Location<'static>,
    ) -> Handle {
        let callback = Some(Callback::Once(once));
        let source = Source::Child(entry.pid());
        let key = self.shared.callbacks.borrow_mut().insert(
            source,
            location,
            self.core().tick(),
            callback,
        );
        match entry.end() {
            None => entry.add_key(key),
            Some(_) => self.core().feed(key),
        }
        self.handle(key)
    }
}

impl Child {
    /// Starts a program as a child of the running loop.
    ///
    /// The call blocks until the child has called exec(2), see [`process`](crate::process).
    ///
    /// # Errors
    ///
    /// [`Error::Spawn`] if the program cannot be started; [`Error::Create`] if no descriptor is
    /// left for the first child of a loop; [`Error::NoLoop`] if no loop is running.
    pub fn spawn(mut command: impl BorrowMut<Command>) -> Result<Child> {
        let tasks = current::running_for("mainspring::process::Child::spawn")?;
        launch(&tasks.core, command.borrow_mut())
    }
}

/// Starts a program, and watches it.
pub(super) fn launch(core: &Rc<LoopCore>, command: &mut Command) -> Result<Child> {
    // First: after the spawn nothing may fail that would lose the child.
    let kind = core.open_children()?;
    let spawned = reset_signal_mask(command).and_then(|()| command.spawn());
    let mut child = spawned.map_err(|source| refused(command, source))?;
    let process = WatchedProcess::spawned(child.id(), kind);
    let entry = core.watch_process(process, true);
    let mut started = Child::new(core.clone(), entry);
    started.stdin = child.stdin.take().map(|pipe| OwnedFd::from(pipe).into());
    started.stdout = child.stdout.take().map(|pipe| OwnedFd::from(pipe).into());
    started.stderr = child.stderr.take().map(|pipe| OwnedFd::from(pipe).into());
    Ok(started)
}

fn refused(command: &Command, source: io::Error) -> Error {
    Error::Spawn { program: command.get_program().to_string_lossy().into_owned(), source }
}

//! [`Child`]: a program that was started.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, PipeReader, PipeWriter};
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Signal;

use super::wait::Wait;
use crate::children::{KillTarget, ProcessEntry};
use crate::error::{Error, Result};
use crate::event_loop::children::has_ended;
use crate::event_loop::loop_core::LoopCore;
use crate::handle::Handle;

/// A program started by a loop: its id, its exit status, its pipes, and signals to it.
///
/// Dropping it neither stops the program nor leaves a zombie: the loop reaps it. With
/// [`kill_on_drop`](Child::kill_on_drop) the drop kills it. When the loop is closed, the program
/// keeps running; a later loop of this process reaps it.
///
/// A signal never reaches another process: a pid is not reused before the child is reaped, and
/// signalling a child that has exited is an error.
///
/// ```
/// use mainspring::{EventLoop, process::Child};
/// use std::process::Command;
///
/// let status = EventLoop::new()?.run_until_complete(async {
///     let child = Child::spawn(Command::new("sleep").arg("1000"))?;
///     child.kill()?;
///     child.wait().await
/// })??;
/// assert!(!status.success());
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct Child {
    core: Rc<LoopCore>,
    pub(super) entry: Rc<ProcessEntry>,
    /// The callback, for a child of `spawn_child`.
    pub(super) handle: Option<Handle>,
    pub(super) stdin: Option<PipeWriter>,
    pub(super) stdout: Option<PipeReader>,
    pub(super) stderr: Option<PipeReader>,
    kill_on_drop: bool,
}

impl Child {
    pub(super) fn new(core: Rc<LoopCore>, entry: Rc<ProcessEntry>) -> Child {
        let (stdin, stdout, stderr) = (None, None, None);
        Child { core, entry, handle: None, stdin, stdout, stderr, kill_on_drop: false }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.entry.pid()
    }

    /// Returns the handle of the callback of [`spawn_child`](crate::LoopHandle::spawn_child), to
    /// cancel it, to name it, or to move it to the background. `None` for a child of
    /// [`spawn`](Child::spawn).
    pub fn handle(&self) -> Option<Handle> {
        self.handle
    }

    /// Sets whether dropping this value kills the program (`SIGKILL`). The loop then reaps it.
    ///
    /// ```
    /// use mainspring::{EventLoop, process::{Child, wait_pid}};
    /// use std::process::Command;
    ///
    /// let ended = EventLoop::new()?.run_until_complete(async {
    ///     let child = Child::spawn(Command::new("sleep").arg("1000"))?.kill_on_drop(true);
    ///     let end = wait_pid(child.id())?;
    ///     drop(child);
    ///     end.await
    /// })??;
    /// assert!(ended.is_some_and(|status| !status.success()));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[must_use = "the setting belongs to the returned child"]
    pub fn kill_on_drop(mut self, kill: bool) -> Child {
        self.kill_on_drop = kill;
        self
    }

    /// Completes with the exit status when the program has ended. Several futures of one child get
    /// the same status. Cancel safe.
    ///
    /// It does not close the pipes. A program that reads its standard input to the end waits until
    /// the pipe of [`take_stdin`](Child::take_stdin) is dropped.
    ///
    /// # Errors
    ///
    /// The future returns [`Error::StatusUnavailable`] if other code has reaped the child, and
    /// [`Error::Closed`] if the loop was closed first.
    pub fn wait(&self) -> Wait {
        Wait::new(self.core.clone(), self.entry.clone())
    }

    /// Returns the exit status if the loop has noticed that the program exited.
    ///
    /// # Errors
    ///
    /// Same as [`wait`](Child::wait).
    pub fn status(&self) -> Result<Option<ExitStatus>> {
        self.entry.status().transpose()
    }

    /// Takes the pipe to standard input, if the command has [`Stdio::piped`].
    ///
    /// It can be written by callbacks ([`add_writer`](crate::LoopHandle::add_writer)), by tasks
    /// ([`Io::new`](crate::Io::new)) and as a transport ([`WriteOnly`](crate::net::WriteOnly), or
    /// with the output as [`PipePair`](crate::net::PipePair)).
    ///
    /// ```
    /// use mainspring::{EventLoop, Io, process::Child};
    /// use std::process::{Command, Stdio};
    ///
    /// let line = EventLoop::new()?.run_until_complete(async {
    ///     let mut cat = Command::new("cat");
    ///     let mut cat = Child::spawn(cat.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    ///     let (stdin, stdout) = (Io::new(cat.take_stdin().unwrap())?, cat.take_stdout().unwrap());
    ///     stdin.write_all(b"hello").await?;
    ///     drop(stdin); // the end of its input ends `cat`
    ///     let chunk = Io::new(stdout)?.read_chunk().await?;
    ///     assert!(cat.wait().await?.success());
    ///     Ok::<_, mainspring::Error>(chunk.to_vec())
    /// })??;
    /// assert_eq!(line, b"hello");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// [`Stdio::piped`]: std::process::Stdio::piped
    pub fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.stdin.take()
    }

    /// Takes the pipe from standard output. It can be read by callbacks
    /// ([`add_reader`](crate::LoopHandle::add_reader)), by tasks ([`Io::new`](crate::Io::new)) and
    /// as a transport ([`ReadOnly`](crate::net::ReadOnly)).
    pub fn take_stdout(&mut self) -> Option<PipeReader> {
        self.stdout.take()
    }

    /// Takes the pipe from standard error. See [`take_stdout`](Child::take_stdout).
    pub fn take_stderr(&mut self) -> Option<PipeReader> {
        self.stderr.take()
    }

    /// Sends a signal to the program.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] of the kind `NotFound` if the program has exited, even if the loop has
    /// not noticed it yet; `PermissionDenied` if it runs as another user, and in a forked child of
    /// the process that started it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let sent =
            self.entry.process().ok_or_else(has_ended).and_then(|process| process.signal(signal));
        sent.map_err(|source| self.failed(signal, "", source))
    }

    /// Kills the program (`SIGKILL`).
    ///
    /// # Errors
    ///
    /// Same as [`signal`](Child::signal).
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends `SIGTERM` to the program, and kills it (`SIGKILL`) if it has not exited after `delay`.
    /// A later call sets a new time. If the loop is closed earlier, it kills the program then.
    ///
    /// ```
    /// use mainspring::{EventLoop, process::Child};
    /// use std::os::unix::process::ExitStatusExt;
    /// use std::{process::Command, time::Duration};
    ///
    /// let status = EventLoop::new()?.run_until_complete(async {
    ///     let child = Child::spawn(Command::new("sleep").arg("1000"))?;
    ///     child.kill_after(Duration::from_secs(5))?;
    ///     child.wait().await
    /// })??;
    /// assert_eq!(status.signal(), Some(15), "it has ended in time");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`signal`](Child::signal).
    pub fn kill_after(&self, delay: Duration) -> Result<()> {
        let sent = self.core.kill_after(&self.entry, delay, KillTarget::Process);
        sent.map_err(|source| self.failed(Signal::TERM, "", source))
    }

    /// Sends `SIGTERM` to the process group of the program, and kills the rest of the group
    /// (`SIGKILL`) after `delay`. The program must lead a group, see
    /// [`process_group(0)`](std::os::unix::process::CommandExt::process_group).
    ///
    /// If the leader exits first, its status is delivered at once. It stays a zombie until the
    /// group is killed, so that its pid, which is also the id of the group, cannot be reused. If
    /// the leader exits without this call, the group can no longer be signalled.
    ///
    /// A later call sets a new time. If the loop is closed earlier, it kills the group then.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] of the kind `InvalidInput` if the program leads no group; the errors of
    /// [`signal`](Child::signal).
    pub fn kill_group_after(&self, delay: Duration) -> Result<()> {
        let sent = self.core.kill_after(&self.entry, delay, KillTarget::Group);
        sent.map_err(|source| self.failed(Signal::TERM, " the group of", source))
    }

    fn failed(&self, signal: Signal, target: &str, source: io::Error) -> Error {
        let operation = Cow::Owned(format!("send {signal} to{target}"));
        Error::Process { operation, pid: self.id(), source }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.kill_on_drop {
            let _ = self.kill(); // The only error is that it has ended.
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("end", &self.entry.end())
            .field("kill_on_drop", &self.kill_on_drop)
            .finish_non_exhaustive()
    }
}

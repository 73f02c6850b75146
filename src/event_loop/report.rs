//! What the exception handler is told.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::LoopHandle;
use super::source::{Hook, Source};
use crate::error::Error;

type HandleReport<S> = dyn FnMut(&LoopHandle<S>, &mut S, &Report);

/// The exception handler, and where it was set.
pub(crate) struct ExceptionHandler<S> {
    pub(crate) call: Box<HandleReport<S>>,
    pub(crate) location: &'static Location<'static>,
}

/// The fate of a panic of user code.
///
/// The loop runs user code in many places, and the policy is the same for all of them. Whatever
/// panics, the loop stays whole: everything else is called, dropped and closed as usual. "Ends"
/// means that the callback is dropped, and its source closed.
///
/// | a panic in | ends | reported as |
/// |---|---|---|
/// | a callback, a hook, a signal handler | that callback | its registration |
/// | a method of a [`Protocol`], a [`TransportStream`] | that connection | [`ReportKind::Stream`] |
/// | the factory of [`serve_with`] | the new connection; the server goes on | [`ReportKind::Stream`] |
/// | the exception handler | nothing, it is kept | printed, after the report that it was called with |
/// | the `Drop` of captures, of a source, of a protocol | nothing more: it is dropped | its registration |
/// | a waker of another executor: `wake`, `drop` | nothing, the other tasks are woken | [`ReportKind::Waker`] |
/// | a custom selector or clock, during a tick | the run, with [`Error::Panicked`] | |
///
/// Some panics have a place of their own, whatever the policy: that of a task or of a done-callback
/// of a task goes to the [`JoinError`](crate::JoinError), or is reported if the task is detached.
/// That of a job goes to the [`JobError`](crate::JobError). That of the future that
/// [`run_until_complete`](crate::EventLoop::run_until_complete) was called with unwinds out of it.
///
/// [`close`](crate::EventLoop::close), and the drop of a loop, first drop everything and give signals
/// back; a panic then follows the policy.
///
/// Rust itself aborts the process if a value panics in its `Drop` while another panic unwinds
/// through the same code. The loop prevents that for what it owns, but not inside a callback.
///
/// [`Protocol`]: crate::net::Protocol
/// [`TransportStream`]: crate::net::TransportStream
/// [`serve_with`]: LoopHandle::serve_with
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// It unwinds out of `run_*`, or out of the call that dropped the value, such as
    /// [`cancel`](LoopHandle::cancel). The rest of the batch is kept for the next run, and the loop is
    /// as usable as before. Of several panics in one batch the first one unwinds.
    #[default]
    Propagate,
    /// It goes to the exception handler, and the loop goes on.
    Report,
    /// The panic hook prints it, and the process ends by `abort`.
    Abort,
}

/// What a failing callback was registered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportKind {
    /// By `call_soon`, here or from another thread.
    Soon,
    /// By `call_later`, `call_at`, `call_every` or `add_timer`.
    Timer,
    /// As the callback of an fd.
    Watcher,
    /// As the protocol of a connection, or of a listener.
    Stream,
    /// As the handler of a signal.
    Signal,
    /// As a hook.
    Hook,
    /// By `spawn`.
    Task,
    /// As a promise.
    Promise,
    /// The exception handler itself.
    ExceptionHandler,
    /// The waker of another executor. Its location is in this library.
    Waker,
    /// A call of [`Transport::write`](crate::net::Transport::write), in the debug mode.
    Write,
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ReportKind::Soon => "callback",
            ReportKind::Timer => "timer",
            ReportKind::Watcher => "watcher",
            ReportKind::Stream => "stream",
            ReportKind::Signal => "signal handler",
            ReportKind::Hook => "hook",
            ReportKind::Task => "task",
            ReportKind::Promise => "promise",
            ReportKind::ExceptionHandler => "exception handler",
            ReportKind::Waker => "waker",
            ReportKind::Write => "write",
        })
    }
}

impl ReportKind {
    /// How it came to the loop.
    pub(super) fn verb(self) -> &'static str {
        match self {
            ReportKind::Task => "spawned",
            ReportKind::Promise => "failed",
            ReportKind::Write => "called",
            _ => "registered",
        }
    }
}

/// A failure, as the exception handler sees it.
///
/// Displayed, it is one line that says what failed, where it was registered, and why. Newlines and
/// other control characters of an error's text are escaped, because a peer may have chosen them.
///
/// ```
/// use mainspring::{Error, EventLoop};
///
/// let mut el = EventLoop::with_state(String::new())?;
/// el.set_exception_handler(|_, log, report| *log += &format!("{report}\n"));
/// el.call_soon(|_, _| Err(Error::other("bad name: \"x\nroot logged in\"")));
/// el.run()?;
/// assert_eq!(el.state().lines().count(), 1);
/// assert!(el.state().ends_with("bad name: \"x\\nroot logged in\"\n"));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// What failed.
    pub kind: ReportKind,
    /// Why.
    pub error: Error,
    /// Place of the registration; of a promise, where it failed; of a write, the call.
    pub location: &'static Location<'static>,
    /// The name it was given.
    pub name: Option<Rc<str>>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, " {} at {}: {}", self.kind.verb(), self.location, self.error.chain())
    }
}

/// A report about user code that has no registration.
#[track_caller]
pub(crate) fn internal(kind: ReportKind, error: Error) -> Report {
    Report { kind, error, location: Location::caller(), name: None }
}

/// Where a callback comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) location: &'static Location<'static>,
}

impl Origin {
    pub(crate) fn report(self, error: Error, name: Option<Rc<str>>) -> Report {
        let kind = match self.source {
            Source::Soon => ReportKind::Soon,
            Source::Timer(_) | Source::Interval(_) => ReportKind::Timer,
            Source::Watch(_) => ReportKind::Watcher,
            Source::Stream(_) => ReportKind::Stream,
            Source::Signal(_) => ReportKind::Signal,
            Source::Hook(Hook::Prepare | Hook::Check | Hook::Idle) => ReportKind::Hook,
        };
        Report { kind, error, location: self.location, name }
    }
}

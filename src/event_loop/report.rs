//! Reports: failures, as passed to the exception handler; and the policy for panics.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::source::{Hook, Source};
use crate::error::Error;

/// The effect of a panic in user code.
///
/// The loop runs user code in many places, and one policy applies to all of them. After any panic
/// the loop is intact: everything else is called, dropped and closed as usual. "Ends" means that
/// the callback is dropped and its source closed.
///
/// | a panic in | ends | reported as |
/// |---|---|---|
/// | a callback, a hook, a signal handler | that callback | its registration |
/// | a method of a [`Protocol`], a [`TransportStream`] | that connection | [`ReportKind::Stream`] |
/// | the factory of [`serve_with`] | the new connection; the server continues | [`ReportKind::Stream`] |
/// | the exception handler | nothing, it is kept | printed, after the report that it was called with |
/// | the `Drop` of captures, of a source, of a protocol | nothing more: it is dropped | its registration |
/// | a waker of another executor: `wake`, `drop` | nothing, the other tasks are woken | [`ReportKind::Waker`] |
/// | a custom selector or clock, during a tick | the run, with [`Error::Panicked`] | |
///
/// Some panics do not follow the policy. A panic of a task or of its done-callback goes to the
/// [`JoinError`](crate::JoinError), or is reported if the task is detached. A panic of a job goes
/// to the [`JobError`](crate::JobError). A panic of the future of
/// [`run_until_complete`](crate::EventLoop::run_until_complete) unwinds out of that call.
///
/// [`close`](crate::EventLoop::close), and the drop of a loop, first drop everything and restore
/// signals; a panic then follows the policy.
///
/// Rust aborts the process if a value panics in its `Drop` while another panic unwinds through the
/// same code. The loop prevents that for the values that it owns, but not inside a callback.
///
/// [`Protocol`]: crate::net::Protocol
/// [`TransportStream`]: crate::net::TransportStream
/// [`serve_with`]: crate::LoopHandle::serve_with
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// The panic unwinds out of `run_*`, or out of the call that dropped the value, such as
    /// [`cancel`](crate::LoopHandle::cancel). The rest of the batch is kept for the next run, and
    /// the loop stays usable. If several panics occur in one batch, the first one unwinds.
    #[default]
    Propagate,
    /// The panic goes to the exception handler, and the loop continues.
    Report,
    /// The panic hook prints the panic, and the process aborts.
    Abort,
}

/// The kind of registration that a [`Report`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportKind {
    /// `call_soon`, of the loop or from another thread.
    Soon,
    /// `call_later`, `call_at`, `call_every` or `add_timer`.
    Timer,
    /// The callback of an fd.
    Watcher,
    /// The protocol of a connection, or of a listener.
    Stream,
    /// The handler of a signal.
    Signal,
    /// The callback of a process.
    Child,
    /// A hook.
    Hook,
    /// A task.
    Task,
    /// A promise.
    Promise,
    /// The exception handler itself.
    ExceptionHandler,
    /// The waker of another executor. Its location is in this library.
    Waker,
    /// A [recorder](crate::EventLoopBuilder::record) that cannot be opened.
    Tape,
    /// A call of [`Transport::write`](crate::net::Transport::write), in debug mode.
    Write,
    /// A subscriber of the crate tracing, with the feature `tracing`. Its location is in this
    /// library.
    #[cfg(feature = "tracing")]
    Subscriber,
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ReportKind::Soon => "callback",
            ReportKind::Timer => "timer",
            ReportKind::Watcher => "watcher",
            ReportKind::Stream => "stream",
            ReportKind::Child => "process",
            ReportKind::Signal => "signal handler",
            ReportKind::Hook => "hook",
            ReportKind::Task => "task",
            ReportKind::Promise => "promise",
            ReportKind::ExceptionHandler => "exception handler",
            ReportKind::Waker => "waker",
            ReportKind::Tape => "tape",
            ReportKind::Write => "write",
            #[cfg(feature = "tracing")]
            ReportKind::Subscriber => "subscriber",
        })
    }
}

impl ReportKind {
    /// Returns the verb that goes with the location of a report.
    pub(super) fn verb(self) -> &'static str {
        match self {
            ReportKind::Task => "spawned",
            ReportKind::Promise => "failed",
            ReportKind::Tape => "configured",
            ReportKind::Write => "called",
            _ => "registered",
        }
    }
}

/// A failure, as passed to the exception handler.
///
/// `Display` writes one line: what failed, where it was registered, and why. Newlines and other
/// control characters in the text of an error are escaped, because a peer may have chosen them.
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
    /// The kind of registration that failed.
    pub kind: ReportKind,
    /// The reason.
    pub error: Error,
    /// Place of the registration. For a promise, the place where it failed; for a write, the call.
    pub location: &'static Location<'static>,
    /// Name of the registration, if [`set_name`](crate::LoopHandle::set_name) gave it one.
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

/// Returns a report about user code that has no registration.
#[track_caller]
pub(crate) fn internal(kind: ReportKind, error: Error) -> Report {
    Report { kind, error, location: Location::caller(), name: None }
}

/// Source of a callback, and the place where it was registered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) location: &'static Location<'static>,
}

impl Origin {
    pub(crate) fn report(self, error: Error, name: Option<Rc<str>>) -> Report {
        let kind = match self.source {
            Source::Soon => ReportKind::Soon,
            Source::Timer(_)
            | Source::Interval(_)
            | Source::WallTimer(_)
            | Source::BootTimer(_)
            | Source::Schedule(_) => ReportKind::Timer,
            Source::Watch(_) => ReportKind::Watcher,
            Source::Stream(_) => ReportKind::Stream,
            Source::Signal(_) => ReportKind::Signal,
            Source::Child(_) => ReportKind::Child,
            Source::Hook(Hook::Prepare | Hook::Check | Hook::Idle) => ReportKind::Hook,
        };
        Report { kind, error, location: self.location, name }
    }
}

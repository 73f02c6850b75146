//! What the exception handler is told.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::LoopHandle;
use super::source::{Hook, Source};
use crate::error::Error;

/// The user's exception handler.
pub(crate) type ExceptionHandler<S> = Box<dyn FnMut(&LoopHandle<S>, &mut S, &Report)>;

/// What becomes of a panic in a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// It unwinds out of `run_*`. The callback that panicked is dropped; the rest of the batch is
    /// kept for the next run, and the loop is as usable as before.
    #[default]
    Propagate,
    /// It goes to the exception handler, the callback is dropped, and the loop goes on.
    Report,
    /// It is printed, and the process ends by `abort`.
    Abort,
}

/// What a failing callback was registered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
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
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Soon => "callback",
            Kind::Timer => "timer",
            Kind::Watcher => "watcher",
            Kind::Stream => "stream",
            Kind::Signal => "signal handler",
            Kind::Hook => "hook",
            Kind::Task => "task",
            Kind::Promise => "promise",
        })
    }
}

impl Kind {
    /// How it came to the loop.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Kind::Task => "spawned",
            Kind::Promise => "failed",
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
    pub kind: Kind,
    /// Why.
    pub error: Error,
    /// Where it was registered; of a promise, where it failed.
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

/// Where a callback comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) location: &'static Location<'static>,
}

impl Origin {
    pub(crate) fn report(self, error: Error, name: Option<Rc<str>>) -> Report {
        let kind = match self.source {
            Source::Soon => Kind::Soon,
            Source::Timer(_) => Kind::Timer,
            Source::Watch(_) => Kind::Watcher,
            Source::Stream(_) => Kind::Stream,
            Source::Signal(_) => Kind::Signal,
            Source::Hook(Hook::Prepare | Hook::Check | Hook::Idle) => Kind::Hook,
        };
        Report { kind, error, location: self.location, name }
    }
}

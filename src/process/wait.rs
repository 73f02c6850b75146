//! Futures that wait until a process exits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitStatus;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::awaits::pending;
use crate::children::{ProcessEnd, ProcessEntry};
use crate::error::{Error, Result};
use crate::event_loop::loop_core::LoopCore;
use crate::task::{budget, foreign};

/// A future that waits. Dropping it ends the wait.
struct Waiter {
    core: Rc<LoopCore>,
    entry: Rc<ProcessEntry>,
    number: u64,
}

impl Waiter {
    fn new(core: Rc<LoopCore>, entry: Rc<ProcessEntry>) -> Waiter {
        let number = entry.add_future();
        Waiter { core, entry, number }
    }

    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        result: impl FnOnce(&ProcessEntry) -> Option<T>,
    ) -> Poll<T> {
        budget::metered(cx, |cx| match result(&self.entry) {
            Some(result) => Poll::Ready(result),
            None => {
                foreign::discard(self.entry.set_waker(self.number, cx.waker()));
                Poll::Pending
            }
        })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.core.remove_exit_future(&self.entry, self.number);
    }
}

/// The future of [`Child::wait`](super::Child::wait). It does not borrow the child.
#[must_use = "futures do nothing unless awaited"]
pub struct Wait(Waiter);

impl Wait {
    pub(super) fn new(core: Rc<LoopCore>, entry: Rc<ProcessEntry>) -> Wait {
        Wait(Waiter::new(core, entry))
    }
}

impl Future for Wait {
    type Output = Result<ExitStatus>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<ExitStatus>> {
        pending(|| "wait", self.0.poll(cx, ProcessEntry::status))
    }
}

/// The future of [`wait_pid`](super::wait_pid).
#[must_use = "futures do nothing unless awaited"]
pub struct PidWait(Waiter);

impl PidWait {
    pub(super) fn new(core: Rc<LoopCore>, entry: Rc<ProcessEntry>) -> PidWait {
        PidWait(Waiter::new(core, entry))
    }
}

impl Future for PidWait {
    type Output = Result<Option<ExitStatus>>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Option<ExitStatus>>> {
        let polled = self.0.poll(cx, |entry| {
            Some(match entry.end()? {
                ProcessEnd::Status(status) => Ok(Some(status)),
                ProcessEnd::Gone => Ok(None),
                ProcessEnd::LoopClosed => Err(Error::Closed),
            })
        });
        pending(|| "wait_pid", polled)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wait(process {})", self.0.entry.pid())
    }
}

impl fmt::Debug for PidWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PidWait(process {})", self.0.entry.pid())
    }
}

//! Runs: ticks until something ends them.
//!
//! [`drive`](EventLoop::drive) runs the ticks of every run. It takes the request of a
//! [`stop`](crate::LoopHandle::stop) after each tick; the callers differ in what else ends the run.

use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process;
use std::time::Duration;

use super::EventLoop;
use super::failure::Payload;
use super::report::PanicPolicy;
use super::task_port::RunGuard;
use super::tick::Sleep;
use crate::error::{Error, Result};
use crate::panic::message_of;

/// The last tick of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastTick {
    /// Number of callbacks and tasks that ran; `None` before the first tick of a run.
    pub(crate) ran: Option<usize>,
    /// True if a stop was requested.
    pub(crate) is_stopped: bool,
}

impl<S> EventLoop<S> {
    /// Runs until [`stop`](crate::LoopHandle::stop).
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]; [`Error::Forked`] in a child before
    /// [`after_fork_child`](crate::LoopHandle::after_fork_child); [`Error::Select`] if the selector
    /// has become unusable; [`Error::Panicked`] if a custom selector or clock has panicked, under
    /// [`PanicPolicy::Report`].
    pub fn run_forever(&mut self) -> Result<()> {
        let _running = self.enter();
        self.contained(|el| {
            el.drive(Sleep::AtMost(None), |_, last| match last.is_stopped {
                true => Break(()),
                false => Continue(()),
            })
        })
    }

    /// Runs until nothing is left that could ever call back, or until
    /// [`stop`](crate::LoopHandle::stop).
    ///
    /// A run continues while there are queued callbacks, tasks, armed timers, watchers that are not
    /// paused, signal handlers, idle hooks and [`Remote`](crate::Remote)s. Those in the
    /// [background](crate::LoopHandle::set_background) do not count. A tick checks again after its
    /// prepare hooks: if they have ended the last of these, it does not sleep.
    ///
    /// # Errors
    ///
    /// [`Error::Stalled`] if only tasks are left, and nothing can wake them: they wait for each
    /// other. Anything that could cause an event prevents this error: a descriptor, timer, signal,
    /// process or job, even in the background; a [`Remote`](crate::Remote) of any kind; a
    /// [`Waker`](std::task::Waker) that other code has kept. Otherwise like
    /// [`run_forever`](EventLoop::run_forever).
    ///
    /// ```
    /// use mainspring::{Error, EventLoop, promise};
    ///
    /// let mut el = EventLoop::new()?;
    /// let (promise, promised) = promise::<()>();
    /// let waiter = el.spawn(promised); // waits for the next task, which waits for this one
    /// el.spawn(async move {
    ///     let ended = waiter.await;
    ///     promise.set_result(());
    ///     drop(ended);
    /// })
    /// .detach();
    /// let Err(Error::Stalled(stalled)) = el.run() else { unreachable!() };
    /// assert_eq!(stalled.tasks().len(), 2);
    /// assert_eq!(stalled.tasks()[1].joins(), [0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn run(&mut self) -> Result<()> {
        self.core.check_open()?;
        let _running = self.enter();
        self.contained(|el| {
            el.drive(Sleep::WhileAlive, |el, last| {
                let goes_on = !last.is_stopped && (el.is_alive() || el.is_stopping());
                if goes_on { Continue(()) } else { Break(()) }
            })
        })
    }

    /// Runs one tick, which sleeps for at most `timeout` (`None`: until something happens). Returns
    /// the number of callbacks and tasks that ran; 0 if nothing was ready.
    ///
    /// This is for a loop inside another one: [`PollFd`](crate::PollFd) describes how. A requested
    /// stop stays requested, see [`is_stopping`](crate::LoopHandle::is_stopping).
    ///
    /// # Errors
    ///
    /// Same as [`run_forever`](EventLoop::run_forever).
    pub fn tick(&mut self, timeout: Option<Duration>) -> Result<usize> {
        let _running = self.enter();
        self.contained(|el| el.run_once(Sleep::AtMost(timeout)))
    }

    /// Runs ticks that do not sleep, until one finds nothing to do. Returns the number of callbacks
    /// and tasks that ran. For tests, and for a loop inside another one.
    ///
    /// It does not return while a callback or a task keeps making itself ready.
    ///
    /// # Errors
    ///
    /// Same as [`run_forever`](EventLoop::run_forever).
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// el.call_soon(|el, ran| {
    ///     *ran += 1;
    ///     el.call_soon(|_, ran| *ran += 1);
    /// });
    /// assert_eq!(el.run_until_stalled()?, 2);
    /// assert_eq!(*el.state(), 2);
    /// assert_eq!(el.run_until_stalled()?, 0);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn run_until_stalled(&mut self) -> Result<usize> {
        let _running = self.enter();
        self.contained(|el| {
            let mut ran = 0;
            el.drive(Sleep::AtMost(Some(Duration::ZERO)), |el, last| {
                ran += last.ran.unwrap_or(0);
                let is_stalled = last.ran == Some(0) && !el.core.has_work();
                if last.is_stopped || is_stalled { Break(ran) } else { Continue(()) }
            })
        })
    }

    /// Runs ticks until `decide` returns `Break`. It is called before each tick, with the last one.
    pub(crate) fn drive<T>(
        &mut self,
        sleep: Sleep,
        mut decide: impl FnMut(&mut EventLoop<S>, LastTick) -> ControlFlow<T>,
    ) -> Result<T> {
        let mut last = LastTick { ran: None, is_stopped: false };
        loop {
            if let Break(result) = decide(self, last) {
                return Ok(result);
            }
            let ran = Some(self.run_once(sleep)?);
            last = LastTick { ran, is_stopped: self.core.agenda.take_stop() };
        }
    }

    /// Makes this the loop that runs on this thread, until the guard is dropped.
    pub(crate) fn enter(&self) -> RunGuard {
        RunGuard::enter(&self.handle.shared.tasks)
    }

    /// Runs ticks. If a panic unwinds out of them under [`PanicPolicy::Report`], it comes from a
    /// custom selector or clock, and the run ends with an error.
    // Around a run rather than around each tick, which would cost every tick.
    pub(crate) fn contained<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let ran = catch_unwind(AssertUnwindSafe(|| run(self)));
        self.end_run();
        ran.unwrap_or_else(|payload| Err(self.unwound(payload)))
    }

    /// Converts a panic that unwound out of ticks to an error, or lets it unwind on.
    #[cold]
    pub(crate) fn unwound(&self, payload: Payload) -> Error {
        match self.core.panic_policy.get() {
            PanicPolicy::Propagate => resume_unwind(payload),
            PanicPolicy::Report => Error::Panicked(message_of(payload)),
            PanicPolicy::Abort => process::abort(),
        }
    }
}

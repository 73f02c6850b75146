//! `run_until_complete` and `run_until_stalled`: running the loop for a future, or until nothing is
//! left to do.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::current;
use super::tasks::Tasks;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::handle::Key;

impl<S> EventLoop<S> {
    /// Runs the loop until `future` is complete, and returns its output. All other callbacks and
    /// tasks stay registered, and go on in the next run.
    ///
    /// The future may borrow from the caller. It is polled between two batches.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] if [`stop`](crate::LoopHandle::stop) was called first, then the future is
    /// dropped; [`Error::Closed`]; [`Error::Select`].
    ///
    /// # Panics
    ///
    /// A panic of the future unwinds to the caller, whatever the panic policy is.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let name = String::from("world");
    /// let greeting = el.run_until_complete(async { format!("hello, {name}") })?;
    /// assert_eq!(greeting, "hello, world");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn run_until_complete<F: Future>(&mut self, future: F) -> Result<F::Output> {
        let tasks = current::find(self.core().loop_id).ok_or(Error::Closed)?;
        self.core().check_open()?;
        let _running = self.enter();
        let main = MainTask::new(&tasks, Location::caller());
        let future = pin!(future);
        let is_polled = Cell::new(false);
        let ran = catch_unwind(AssertUnwindSafe(|| self.run_main(&main, future, &is_polled)));
        ran.unwrap_or_else(|payload| match is_polled.get() {
            true => resume_unwind(payload), // The future belongs to the caller.
            false => Err(self.unwound(payload)),
        })
    }

    fn run_main<F: Future>(
        &mut self,
        main: &MainTask<'_>,
        mut future: Pin<&mut F>,
        is_polled: &Cell<bool>,
    ) -> Result<F::Output> {
        let mut ticked = false;
        loop {
            is_polled.set(true);
            let polled = self.run_timed(main.key, || main.poll_if_due(future.as_mut()));
            is_polled.set(false);
            if let Poll::Ready(output) = polled {
                self.core().stopping.set(false);
                return Ok(output);
            }
            if ticked && self.core().stopping.take() {
                return Err(Error::Stopped);
            }
            self.run_once(None)?;
            ticked = true;
        }
    }

    /// Runs ticks that do not sleep, until a tick has nothing to do. Returns the number of handles
    /// that they ran. It is meant for tests, and for a host with another loop.
    ///
    /// It does not return while a callback or a task makes itself ready in every tick.
    ///
    /// # Errors
    ///
    /// Those of [`run_forever`](EventLoop::run_forever).
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
            loop {
                let now = el.run_once(Some(Duration::ZERO))?;
                ran += now;
                if el.core().stopping.take() || (now == 0 && !el.has_work()) {
                    return Ok(ran);
                }
            }
        })
    }
}

/// The main task of a run. The caller of the run holds its future, so that it may borrow; the loop
/// has only its key.
struct MainTask<'a> {
    tasks: &'a Tasks,
    key: Key,
}

impl MainTask<'_> {
    fn new<'a>(tasks: &'a Tasks, location: &'static Location<'static>) -> MainTask<'a> {
        MainTask { key: tasks.begin_main(location), tasks }
    }

    fn poll_if_due<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        match self.tasks.take_main_due() {
            true => self.tasks.poll_main(self.key, |cx| future.poll(cx)),
            false => Poll::Pending,
        }
    }
}

impl Drop for MainTask<'_> {
    fn drop(&mut self) {
        self.tasks.end_main(self.key);
    }
}

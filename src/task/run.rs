//! `run_until_complete`: running the loop for a future.

use std::cell::Cell;
use std::future::Future;
use std::ops::ControlFlow::{Break, Continue};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use super::current;
use super::tasks::Tasks;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Sleep};
use crate::handle::Key;

impl<S> EventLoop<S> {
    /// Runs the loop until `future` is complete, and returns its output. All other callbacks and
    /// tasks stay registered, and continue in the next run.
    ///
    /// The future may borrow from the caller. It is polled between two batches.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] if [`stop`](crate::LoopHandle::stop) was called first (the future is then
    /// dropped); [`Error::Stalled`] if nothing can wake the future; [`Error::Closed`];
    /// [`Error::Select`].
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
        // A panic of a callback follows the policy; a panic of the future belongs to the caller.
        let is_polled = Cell::new(false);
        let ran = catch_unwind(AssertUnwindSafe(|| self.run_main(&main, future, &is_polled)));
        self.end_run();
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
        self.drive(Sleep::WhileWakeable, |el, last| {
            is_polled.set(true);
            let polled = match main.tasks.take_main_due() {
                true => el.run_timed(main.key, || main.poll(future.as_mut())),
                false => Poll::Pending,
            };
            is_polled.set(false);
            // A stop before the run does not count until a tick has run.
            let may_stop = last.ran.is_some();
            match polled {
                Poll::Ready(output) => {
                    el.core().agenda.take_stop();
                    Break(Ok(output))
                }
                // The future itself may have requested the stop.
                Poll::Pending if may_stop && (last.is_stopped || el.core().agenda.take_stop()) => {
                    Break(Err(Error::Stopped))
                }
                Poll::Pending => Continue(()),
            }
        })?
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

    fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        self.tasks.poll_main(self.key, |cx| future.poll(cx))
    }
}

impl Drop for MainTask<'_> {
    fn drop(&mut self) {
        self.tasks.end_main(self.key);
    }
}

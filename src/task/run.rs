//! The loop, as far as it runs futures: ways in, from its owner and its callbacks.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::current;
use super::join::Task;
use super::promise::promise;
use super::tasks::Tasks;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, LoopHandle};
use crate::handle::{Handle, Key};

impl<S> LoopHandle<S> {
    /// Spawns a task on this loop: it begins in the next tick. On a closed loop the future is
    /// dropped at once, and the task is cancelled.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// let handle = el.handle().clone();
    /// el.spawn(async move { handle.with(|_, sum| *sum += 42).await }).detach();
    /// el.run()?;
    /// assert_eq!(*el.state(), 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        match self.tasks() {
            Some(tasks) => Task::new(&tasks, tasks.spawn(future, Location::caller())),
            None => Task::closed(self.core().loop_id),
        }
    }

    /// Runs `callback` on the loop, with the state, and gives what it returns. It is queued by this
    /// call, as by [`call_soon`](LoopHandle::call_soon); if the future is dropped before its turn,
    /// it does not run.
    ///
    /// # Errors
    ///
    /// The future gives [`Error::Closed`] if the loop is closed before the callback has run.
    #[track_caller]
    pub fn with<F, T>(&self, callback: F) -> impl Future<Output = Result<T>> + use<F, T, S>
    where
        F: FnOnce(&LoopHandle<S>, &mut S) -> T + 'static,
        T: 'static,
    {
        let (promise, promised) = promise();
        self.call_soon(move |el, state| {
            if !promise.is_closed() {
                promise.set_result(callback(el, state));
            }
        });
        async move { promised.await.map_err(|_| Error::Closed) }
    }

    /// The tasks of this loop, unless it is closed.
    pub(super) fn tasks(&self) -> Option<Rc<Tasks>> {
        current::find(self.core().loop_id)
    }
}

impl<S> EventLoop<S> {
    /// Runs until `future` is complete, and gives its output. Everything else is left as it is: what
    /// was not done by then goes on in the next run.
    ///
    /// The future may borrow; it is polled between the batches, by a turn of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] if [`stop`](LoopHandle::stop) came first: the future is dropped;
    /// [`Error::Closed`]; [`Error::Select`].
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
        let main = Main::new(&tasks, Location::caller());
        let future = pin!(future);
        let is_polled = Cell::new(false);
        let ran = catch_unwind(AssertUnwindSafe(|| self.run_main(&main, future, &is_polled)));
        ran.unwrap_or_else(|payload| match is_polled.get() {
            true => resume_unwind(payload), // The future is a part of the caller.
            false => Err(self.unwound(payload)),
        })
    }

    fn run_main<F: Future>(
        &mut self,
        main: &Main<'_>,
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

    /// Runs ticks that do not sleep, until one has found nothing to do; says how many handles they
    /// ran. For tests, and for a host that has a loop of its own.
    ///
    /// A callback or a task that always makes itself ready again keeps it going for ever.
    ///
    /// # Errors
    ///
    /// As [`run_forever`](EventLoop::run_forever).
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

/// The task of whoever runs the loop. Its future stays with the runner; the loop has its key.
struct Main<'a> {
    tasks: &'a Tasks,
    key: Key,
}

impl Main<'_> {
    fn new<'a>(tasks: &'a Tasks, location: &'static Location<'static>) -> Main<'a> {
        Main { key: tasks.begin_main(location), tasks }
    }

    fn poll_if_due<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        match self.tasks.take_main_due() {
            true => self.tasks.poll_main(self.key, |cx| future.poll(cx)),
            false => Poll::Pending,
        }
    }
}

impl Drop for Main<'_> {
    fn drop(&mut self) {
        self.tasks.end_main(self.key);
    }
}

/// The loop that runs on this thread, as [`current_loop`](crate::current_loop) finds it. It does not
/// know the type of the state; for that, give a task the [`LoopHandle`].
#[derive(Clone)]
pub struct CurrentLoop {
    tasks: Rc<Tasks>,
}

impl CurrentLoop {
    pub(super) fn new(tasks: Rc<Tasks>) -> CurrentLoop {
        CurrentLoop { tasks }
    }

    /// Spawns a task. See [`LoopHandle::spawn`].
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Task::new(&self.tasks, self.tasks.spawn(future, Location::caller()))
    }

    /// The task that runs now; none in a callback.
    pub fn task(&self) -> Option<Handle> {
        self.tasks.current()
    }

    /// The time of the loop's clock, read now.
    pub fn now(&self) -> Instant {
        self.tasks.core.timeline.now()
    }

    /// Ends the run. See [`LoopHandle::stop`].
    pub fn stop(&self) {
        self.tasks.core.stopping.set(true);
    }
}

impl fmt::Debug for CurrentLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurrentLoop(loop {})", self.tasks.loop_id())
    }
}

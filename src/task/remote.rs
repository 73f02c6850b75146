//! Tasks that other threads send to the loop.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::budget;
use super::detached::DetachedOutput;
use super::ending::{CancelReason, JoinError};
use super::job::{self, Failed, Finished, Judge, judge_known, observe};
use super::join::Task;
use crate::error::Result;
use crate::event_loop::{Remote, Report, ReportKind, print_outside};
use crate::handle::Key;

impl<S> Remote<S> {
    /// Spawns a task on the loop, which begins in a tick after this.
    ///
    /// # Errors
    ///
    /// As [`call_soon`](Remote::call_soon); the future is dropped then, on this thread.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let remote = el.remote();
    /// let worker = std::thread::spawn(move || {
    ///     let task = remote.spawn(async { 6 * 7 })?;
    ///     Ok::<_, mainspring::Error>(task.join()?)
    /// });
    /// el.run()?;
    /// assert_eq!(worker.join().unwrap()?, 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Result<RemoteTask<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with(move || future)
    }

    /// Spawns the task that `make` makes on the loop's thread. Its future need not be [`Send`], so
    /// this is for whatever belongs to a loop, a [`sleep`](crate::sleep) for example.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Remote::spawn).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mut el = mainspring::EventLoop::new()?;
    /// let remote = el.remote();
    /// let worker = std::thread::spawn(move || {
    ///     let task = remote.spawn_with(|| mainspring::sleep(Duration::from_millis(1)))?;
    ///     Ok::<_, mainspring::Error>(task.join()?)
    /// });
    /// el.run()?;
    /// worker.join().unwrap()?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_with<M, F>(&self, make: M) -> Result<RemoteTask<F::Output>>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let location = Location::caller();
        let shared = Arc::new(Shared::new(location));
        let relay = Relay(Some(shared.clone()));
        self.call_soon(move |el, _| {
            let Some(tasks) = el.tasks() else { return };
            // Also a panic of `make` is the task's.
            let task = Task::new(&tasks, tasks.spawn(async move { make().await }, location));
            tasks.detach(tasks.spawn(relay.run(task), location), Key::NOWHERE);
        })?;
        Ok(RemoteTask { shared })
    }
}

/// A task on a loop of another thread: to be awaited there, in any executor, or to be joined.
///
/// Dropping it detaches the task, as dropping a [`Task`] does, with the same limits: prefer
/// [`detach`](RemoteTask::detach), which reports every error that can be shown.
#[must_use = "dropping a task detaches it; `detach` says so"]
pub struct RemoteTask<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    done: Condvar,
    /// Place of the spawn.
    location: &'static Location<'static>,
}

struct State<T> {
    output: Option<Result<T, JoinError>>,
    /// Whether there was an output, taken or not.
    done: bool,
    /// The one who awaits it.
    waker: Option<Waker>,
    cancelled: Option<CancelReason>,
    /// The relay's, to be told of a cancellation.
    relay: Option<Waker>,
    /// Set by `detach`: the failures in the output, and how to report them.
    judge: Option<Judge>,
}

impl<T> Shared<T> {
    fn new(location: &'static Location<'static>) -> Shared<T> {
        let (output, waker, cancelled, relay, judge) = Default::default();
        let state = State { output, done: false, waker, cancelled, relay, judge };
        Shared { state: Mutex::new(state), done: Condvar::new(), location }
    }

    /// Whatever panicked while the lock was held has not left it half-changed.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the relay told of a cancellation; the reason of one that came.
    fn listen(&self, relay: &Waker) -> Option<CancelReason> {
        let relay = relay.clone();
        let mut state = self.lock();
        let (old, reason) = (state.relay.replace(relay), state.cancelled.take());
        drop(state);
        drop(old);
        reason
    }
}

impl<T> RemoteTask<T> {
    /// Waits for the output, and blocks this thread meanwhile. Not for the loop's own thread, which
    /// would wait for itself.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task was cancelled, also by the end of its loop, or panicked.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let remote = el.remote();
    /// let other = std::thread::spawn(move || {
    ///     let task = remote.spawn(async { 6 * 7 })?;
    ///     task.join().map_err(mainspring::Error::from)
    /// });
    /// el.run()?; // until the thread has dropped its remote
    /// assert_eq!(other.join().unwrap()?, 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn join(self) -> Result<T, JoinError> {
        let mut state = self.shared.lock();
        loop {
            if let Some(output) = state.output.take() {
                return output;
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Asks the task to end. See [`Task::cancel`].
    pub fn cancel(&self, reason: impl Into<CancelReason>) {
        let reason = reason.into();
        let mut state = self.shared.lock();
        state.cancelled.get_or_insert(reason);
        let relay = state.relay.take();
        drop(state);
        if let Some(relay) = relay {
            relay.wake();
        }
    }

    /// Whether the task is done.
    pub fn is_finished(&self) -> bool {
        self.shared.lock().done
    }

    /// Lets the task go on without this handle. A panic or an error then goes to the exception handler
    /// of its loop, see [`DetachedOutput`](crate::DetachedOutput).
    pub fn detach(self)
    where
        T: DetachedOutput,
    {
        self.detach_as(job::judge_as::<T>);
    }

    /// Like [`detach`](RemoteTask::detach), but drops the output unseen, even an error.
    pub fn detach_discarding(self)
    where
        T: 'static,
    {
        self.detach_as(job::judge_none);
    }

    /// A failure that has arrived here before goes to standard error, since the loop has given it away.
    fn detach_as(self, judge: Judge)
    where
        T: 'static,
    {
        let mut state = self.shared.lock();
        state.judge = Some(judge);
        let output = state.output.take();
        drop(state);
        let judged = match output {
            None => Ok(()),
            Some(Ok(output)) => observe(Box::pin(Finished(output)), judge),
            Some(Err(error)) => observe(Box::pin(Failed(error)), judge),
        };
        if let Err(error) = judged
            && !error.is_disconnect()
        {
            let location = self.shared.location;
            print_outside(&Report { kind: ReportKind::Task, error, location, name: None });
        }
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        budget::metered(cx, |cx| self.poll_output(cx))
    }
}

impl<T> RemoteTask<T> {
    fn poll_output(&self, cx: &Context<'_>) -> Poll<Result<T, JoinError>> {
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        if let Some(output) = state.output.take() {
            return Poll::Ready(output);
        }
        if state.done {
            return Poll::Ready(Err(JoinError::Cancelled("its output was taken before".into())));
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTask").field("finished", &self.is_finished()).finish()
    }
}

/// Carries the output of a task to the other thread; if it never gets one, it says so.
struct Relay<T>(Option<Arc<Shared<T>>>);

impl<T: 'static> Relay<T> {
    async fn run(mut self, mut task: Task<T>) {
        let Some(shared) = self.0.clone() else { return };
        let output = poll_fn(|cx| {
            if let Some(reason) = shared.listen(cx.waker()) {
                task.cancel(reason);
            }
            // What nobody waits for, besides `shared` and this, is the loop's to report.
            if task.is_finished() && Arc::strong_count(&shared) == 2 {
                return Poll::Ready(None);
            }
            Pin::new(&mut task).poll(cx).map(Some)
        });
        match output.await {
            Some(output) => self.send(output),
            None => {
                let judge = shared.lock().judge;
                task.detach_as(judge.unwrap_or(judge_known));
            }
        }
    }
}

impl<T> Relay<T> {
    fn send(&mut self, output: Result<T, JoinError>) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        (state.output, state.done) = (Some(output), true);
        let (waker, relay) = (state.waker.take(), state.relay.take());
        drop(state);
        drop(relay);
        shared.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Relay<T> {
    fn drop(&mut self) {
        self.send(Err(JoinError::closed()));
    }
}

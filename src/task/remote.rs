//! Tasks that other threads spawn on the loop.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::any_task::{Failed, Finished};
use super::budget;
use super::current;
use super::detached::{DetachedOutput, of_output};
use super::failure::{FailureOf, find_failure, of_known_types, panic_only};
use super::join::Task;
use super::outcome::{CancelReason, JoinError};
use crate::awaits::pending;
use crate::error::Result;
use crate::event_loop::{Remote, Report, ReportKind, print_outside};
use crate::handle::Key;

impl<S> Remote<S> {
    /// Spawns a task on the loop. It is first polled in a later tick.
    ///
    /// # Errors
    ///
    /// Same as [`call_soon`](Remote::call_soon). The future is then dropped on this thread.
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

    /// Calls `make` on the loop's thread, and spawns the future that it returns. The future need
    /// not be [`Send`], so it may use objects of a loop, for example a [`sleep`](crate::sleep).
    ///
    /// # Errors
    ///
    /// Same as [`spawn`](Remote::spawn).
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
        let shared = Arc::new(RemoteShared::new(location));
        let relay = Relay(Some(shared.clone()));
        self.call_soon(move |el, _| {
            let Some(tasks) = el.tasks() else { return };
            // Inside the task, so that a panic of `make` is a panic of the task.
            let task = Task::new(&tasks, tasks.spawn(async move { make().await }, location));
            tasks.detach(tasks.spawn(relay.run(task), location), Key::NONE);
        })?;
        Ok(RemoteTask { shared })
    }
}

/// The handle of a task on another thread's loop. It can be awaited on any executor, or joined by a
/// thread.
///
/// Dropping it detaches the task, like dropping a [`Task`], with the same limits. Prefer
/// [`detach`](RemoteTask::detach), which reports every error that implements `Display`. If the
/// output has arrived before, its failure is a line on standard error.
///
/// # Errors
///
/// The future returns [`JoinError`] if the task panicked or was cancelled. The end of its loop
/// counts as a cancellation, and so does a second await after the output was returned.
#[must_use = "dropping a task detaches it; call `detach` to do that explicitly"]
pub struct RemoteTask<T> {
    shared: Arc<RemoteShared<T>>,
}

/// State that the handle and the relay share.
struct RemoteShared<T> {
    state: Mutex<RemoteState<T>>,
    done: Condvar,
    /// The line that spawned the task.
    location: &'static Location<'static>,
    /// [`failure_in`] for this type of output. A pointer, because `Drop` has no bounds for it.
    failure_in: fn(Result<T, JoinError>, FailureOf) -> Result<()>,
}

struct RemoteState<T> {
    /// The result; `None` before it arrives, and after it was taken.
    output: Option<Result<T, JoinError>>,
    /// True if the result has arrived, even if it was taken.
    done: bool,
    /// Waker of the task that awaits the handle.
    waker: Option<Waker>,
    /// Reason of a cancellation that the relay has not seen yet.
    cancelled: Option<CancelReason>,
    /// Waker of the relay, for a cancellation.
    relay: Option<Waker>,
    /// Set when the handle is gone: finds the failure in the output.
    failure_of: Option<FailureOf>,
}

impl<T> RemoteState<T> {
    /// Takes the result; `None` before it arrives. A second one is an error.
    fn take_output(&mut self) -> Option<Result<T, JoinError>> {
        let returned = || Err(JoinError::Cancelled("its output was returned before".into()));
        self.output.take().or_else(|| self.done.then(returned))
    }
}

/// Drops the output of a task without a handle. Returns its failure.
fn failure_in<T: 'static>(output: Result<T, JoinError>, failure_of: FailureOf) -> Result<()> {
    match output {
        Ok(output) => find_failure(Box::pin(Finished(output)), failure_of),
        Err(error) => find_failure(Box::pin(Failed(error)), failure_of),
    }
}

impl<T> RemoteShared<T> {
    fn new(location: &'static Location<'static>) -> RemoteShared<T>
    where
        T: 'static,
    {
        let (output, waker, cancelled, relay, failure_of) = Default::default();
        let state = RemoteState { output, done: false, waker, cancelled, relay, failure_of };
        RemoteShared {
            state: Mutex::new(state),
            done: Condvar::new(),
            location,
            failure_in: failure_in::<T>,
        }
    }

    /// Locks the state. A poisoned lock is fine: no code that can panic runs while it is held.
    fn lock(&self) -> MutexGuard<'_, RemoteState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the waker of the relay. Returns the reason of a cancellation, once.
    fn take_cancellation(&self, relay: &Waker) -> Option<CancelReason> {
        // Cloned and dropped outside the lock: both may run user code.
        let relay = relay.clone();
        let mut state = self.lock();
        let (old, reason) = (state.relay.replace(relay), state.cancelled.take());
        drop(state);
        drop(old);
        reason
    }
}

impl<T> RemoteTask<T> {
    /// Blocks this thread until the task is done, and returns its output. On the loop's thread it
    /// would never return.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task panicked or was cancelled. The end of its loop counts as a
    /// cancellation, and so does an output that an await has returned before.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let remote = el.remote();
    /// let other = std::thread::spawn(move || {
    ///     let task = remote.spawn(async { 6 * 7 })?;
    ///     task.join().map_err(mainspring::Error::from)
    /// });
    /// el.run()?; // returns when the thread has dropped its remote
    /// assert_eq!(other.join().unwrap()?, 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn join(self) -> Result<T, JoinError> {
        let mut state = self.shared.lock();
        loop {
            if let Some(output) = state.take_output() {
                return output;
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Cancels the task. See [`Task::cancel`].
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let remote = el.remote();
    /// let other = std::thread::spawn(move || {
    ///     let task = remote.spawn(std::future::pending::<()>())?;
    ///     task.cancel("no longer needed");
    ///     Ok::<_, mainspring::Error>(task.join())
    /// });
    /// el.run()?;
    /// assert!(other.join().unwrap()?.unwrap_err().is_cancelled());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
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

    /// Returns true if the task is done.
    pub fn is_finished(&self) -> bool {
        self.shared.lock().done
    }

    /// Detaches the task, which keeps running. A panic or an error goes to the exception handler of
    /// its loop; see [`DetachedOutput`].
    pub fn detach(self)
    where
        T: DetachedOutput,
    {
        self.detach_as(of_output::<T>);
    }

    /// Like [`detach`](RemoteTask::detach), but drops the output, even an error.
    pub fn detach_discarding(self)
    where
        T: 'static,
    {
        self.detach_as(panic_only);
    }

    /// Detaches the task, unless it is detached. If its output has already arrived here, its loop
    /// can no longer report a failure, so a failure is written to standard error.
    fn detach_as(&self, failure_of: FailureOf) {
        let RemoteShared { location, failure_in, .. } = *self.shared;
        let mut state = self.shared.lock();
        state.failure_of.get_or_insert(failure_of);
        let output = state.output.take();
        drop(state);
        if let Some(Err(error)) = output.map(|output| failure_in(output, failure_of))
            && !error.is_disconnect()
        {
            print_outside(&Report { kind: ReportKind::Task, error, location, name: None });
        }
    }
}

impl<T> Drop for RemoteTask<T> {
    fn drop(&mut self) {
        self.detach_as(of_known_types);
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, JoinError>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        pending(|| "remote task", budget::metered(cx, |cx| self.poll_output(cx)))
    }
}

impl<T> RemoteTask<T> {
    fn poll_output(&self, cx: &Context<'_>) -> Poll<Result<T, JoinError>> {
        let waker = cx.waker().clone();
        let mut state = self.shared.lock();
        if let Some(output) = state.take_output() {
            return Poll::Ready(output);
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

/// Sends the output of a task to the other thread. A relay that is dropped without an output sends
/// a cancellation.
struct Relay<T>(Option<Arc<RemoteShared<T>>>);

impl<T: 'static> Relay<T> {
    async fn run(mut self, mut task: Task<T>) {
        let Some(shared) = self.0.clone() else { return };
        let (output, name) = poll_fn(|cx| {
            if let Some(reason) = shared.take_cancellation(cx.waker()) {
                task.cancel(reason);
            }
            let name = task.name(); // Before the join, which removes the task.
            Pin::new(&mut task).poll(cx).map(|output| (output, name))
        })
        .await;
        if let Err((output, failure_of)) = self.send(output)
            && let Some(tasks) = current::running()
        {
            tasks.report_failure(failure_in(output, failure_of), shared.location, name);
        }
    }
}

impl<T> Relay<T> {
    /// Sends the output. Returns it if the handle is gone: the loop reports its failure then.
    fn send(
        &mut self,
        output: Result<T, JoinError>,
    ) -> Result<(), (Result<T, JoinError>, FailureOf)> {
        let Some(shared) = self.0.take() else { return Ok(()) };
        let mut state = shared.lock();
        state.done = true;
        let (waker, relay) = (state.waker.take(), state.relay.take());
        let sent = match state.failure_of {
            Some(failure_of) => Err((output, failure_of)),
            None => {
                state.output = Some(output);
                Ok(())
            }
        };
        drop(state);
        drop(relay);
        // After the unlock: the woken thread takes the lock at once.
        shared.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        sent
    }
}

impl<T> Drop for Relay<T> {
    fn drop(&mut self) {
        let _ = self.send(Err(JoinError::closed())); // A cancellation is no failure.
    }
}

//! [`Task`]: the handle of a spawned task, which can be awaited, cancelled or detached.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::any_task::{self, BoxedTask};
use super::detached::{DetachedOutput, of_output};
use super::failure::{FailureOf, panic_only};
use super::outcome::{CancelReason, JoinError, TaskEnding, TaskState};
use super::tasks::Tasks;
use super::{budget, current};
use crate::awaits::pending;
use crate::handle::{Handle, Key};

/// The handle of a spawned task, and a future of the task's output.
///
/// The loop owns the task: dropping the handle detaches the task, which keeps running. A panic is
/// then reported to the exception handler, and so is the error of a `Result<(), E>` of a known
/// type: `E` is [`mainspring::Error`](crate::Error), [`io::Error`](std::io::Error) or a `Box<dyn
/// Error>`, with or without `Send + Sync`. [`detach`](Task::detach) reports every failure, because
/// it accepts only outputs with errors that implement `Display`.
///
/// The task's future is dropped before the task counts as done, always on the loop's thread.
///
/// # Cancel safety
///
/// A [`timeout`](crate::timeout) around a handle drops it, which detaches the task. Poll `&mut
/// task` to keep the handle.
///
/// # Errors
///
/// The future returns [`JoinError`] if the task panicked or was cancelled. The end of its loop
/// counts as a cancellation.
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// let answer = el.run_until_complete(async {
///     let task = mainspring::spawn(async { 6 * 7 });
///     task.await
/// })?;
/// assert_eq!(answer.unwrap(), 42);
/// # Ok::<(), mainspring::Error>(())
/// ```
#[must_use = "dropping a task detaches it; call `detach` to do that explicitly"]
pub struct Task<T> {
    handle: Handle,
    output: PhantomData<Rc<T>>,
}

// The output is in the loop's table, not in here.
impl<T> Unpin for Task<T> {}

impl<T: 'static> Task<T> {
    pub(crate) fn new(tasks: &Tasks, key: Key) -> Task<T> {
        Task { handle: tasks.handle(key), output: PhantomData }
    }

    /// Creates the handle of a task that was not spawned, because its loop is closed.
    pub(super) fn closed(loop_id: u32) -> Task<T> {
        Task { handle: Handle { key: Key::NONE, loop_id }, output: PhantomData }
    }

    /// Returns the task's handle in its loop, for functions of [`LoopHandle`](crate::LoopHandle)
    /// such as [`set_background`](crate::LoopHandle::set_background) and
    /// [`cancel`](crate::LoopHandle::cancel).
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Detaches the task, which keeps running. A panic or an error goes to the exception handler,
    /// with the line that spawned the task; see [`DetachedOutput`].
    ///
    /// ```
    /// use mainspring::EventLoop;
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the queue is full")]
    /// struct Full;
    ///
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// el.set_exception_handler(|_, seen, report| seen.push(report.error.to_string()));
    /// el.spawn(async { Err::<u32, Full>(Full) }).detach();
    /// el.spawn(async { Err::<(), &str>("no luck") }).detach();
    /// el.run()?;
    /// assert_eq!(*el.state(), ["the queue is full", "no luck"]);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// An output that could hide a failure does not compile:
    ///
    /// ```compile_fail,E0277
    /// struct Unshowable;
    /// let el = mainspring::EventLoop::new()?;
    /// el.spawn(async { Err::<(), Unshowable>(Unshowable) }).detach();
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[inline]
    pub fn detach(self)
    where
        T: DetachedOutput,
    {
        self.detach_as(of_output::<T>);
    }

    /// Detaches the task and drops its output, even an error. A panic still goes to the exception
    /// handler.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// el.set_exception_handler(|_, reports, _| *reports += 1);
    /// el.spawn(async { vec![6, 7] }).detach_discarding();
    /// el.spawn(async { Err::<(), &str>("dropped") }).detach_discarding();
    /// el.run()?;
    /// assert_eq!(*el.state(), 0);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn detach_discarding(self) {
        self.detach_as(panic_only);
    }

    #[inline]
    pub(super) fn detach_as(mut self, failure_of: FailureOf) {
        let Handle { key, loop_id } = self.handle;
        self.handle.key = Key::NONE;
        if key != Key::NONE
            && let Some(tasks) = current::find(loop_id)
        {
            let number = tasks.failure_fn_number::<T>(failure_of);
            tasks.detach(key, number);
        }
    }

    /// Cancels the task: its future is dropped in the next tick, and awaiting it returns
    /// [`JoinError::Cancelled`] with this reason.
    ///
    /// If an event has woken the task before that, it is polled once more, like in a
    /// [`CancelScope`](crate::CancelScope): an output that is ready then wins. A task that was
    /// never polled is dropped without a poll.
    ///
    /// A task that cancels itself is dropped after its current poll, unless that poll returns its
    /// output. A future is never dropped inside its own poll.
    ///
    /// Returns false if the task is done or was already cancelled.
    ///
    /// ```
    /// use mainspring::{EventLoop, JoinError};
    ///
    /// let mut el = EventLoop::new()?;
    /// let task = el.spawn(std::future::pending::<()>());
    /// assert!(task.cancel("the client has gone"));
    /// assert!(!task.cancel("again"));
    /// let ended = el.run_until_complete(task)?;
    /// assert!(matches!(ended, Err(JoinError::Cancelled(_))));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn cancel(&self, reason: impl Into<CancelReason>) -> bool {
        self.tasks().is_some_and(|tasks| tasks.cancel_task(self.handle.key, reason.into()))
    }

    /// Returns true if the task is done, or if its loop has ended.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// let task = el.spawn(async { 42 });
    /// assert!(!task.is_finished());
    /// el.run()?;
    /// assert!(task.is_finished());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn is_finished(&self) -> bool {
        matches!(self.state(), TaskState::Done(_))
    }

    /// Returns the state of the task. A task that ended with its loop counts as cancelled.
    pub fn state(&self) -> TaskState {
        let state = self.tasks().and_then(|tasks| tasks.state(self.handle.key));
        state.unwrap_or(TaskState::Done(TaskEnding::Cancelled))
    }

    /// Returns the line that spawned the task, or `None` if the task ended with its loop.
    ///
    /// ```
    /// let el = mainspring::EventLoop::new()?;
    /// let task = el.spawn(async {});
    /// assert_eq!(task.location().map(|location| location.file()), Some(file!()));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.tasks()?.location(self.handle.key)
    }

    /// Returns the task's name, if it has one.
    pub fn name(&self) -> Option<Rc<str>> {
        self.tasks()?.name(self.handle.key)
    }

    /// Sets the task's name, for reports.
    ///
    /// ```
    /// let el = mainspring::EventLoop::new()?;
    /// let task = el.spawn(std::future::pending::<()>()).named("worker");
    /// assert_eq!(task.name().as_deref(), Some("worker"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn named(self, name: &str) -> Task<T> {
        if let Some(tasks) = self.tasks() {
            crate::event_loop::task_port::TaskLayer::set_name(&*tasks, self.handle.key, name);
        }
        self
    }

    /// Calls `callback` with the result when the task is done.
    ///
    /// Callbacks run through the ready deque, in the order in which they were added, each exactly
    /// once. An await of the task completes after them. If the loop is gone, the callback is
    /// dropped.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let mut el = mainspring::EventLoop::new()?;
    /// let seen = Rc::new(Cell::new(0));
    /// let task = el.spawn(async { 42 });
    /// let sees = seen.clone();
    /// task.add_done_callback(move |output| sees.set(*output.unwrap()));
    /// assert!(matches!(el.run_until_complete(task)?, Ok(42)));
    /// assert_eq!(seen.get(), 42); // the await has completed after the callback
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(Result<&T, &JoinError>) + 'static) {
        let (loop_id, key) = (self.handle.loop_id, self.handle.key);
        let callback = move || {
            let tasks = current::find(loop_id);
            let shown = tasks.and_then(|tasks| BorrowedOutput::of(tasks, key));
            if let Some(BorrowedOutput { output: Some(output), .. }) = &shown {
                callback(any_task::output_ref(output));
            }
        };
        if let Some(tasks) = self.tasks() {
            tasks.add_done_callback(key, (Box::new(callback), Location::caller()));
        }
    }

    /// Returns true if the task is done and has failed. `is_failure` checks an output, which stays
    /// in the table.
    pub(crate) fn has_failed(&self, is_failure: fn(&T) -> bool) -> bool {
        if !self.is_finished() {
            return false;
        }
        // A task that ended with its loop was cancelled.
        let Some(tasks) = self.tasks() else { return true };
        let Some(output) = tasks.borrow_output(self.handle.key) else { return true };
        let failed = any_task::output_ref(&output).map_or(true, is_failure);
        tasks.restore_output(self.handle.key, output);
        failed
    }

    #[inline]
    fn tasks(&self) -> Option<Rc<Tasks>> {
        current::find(self.handle.loop_id)
    }
}

impl<T: 'static> Future for Task<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        ready!(pending(|| "task", budget::poll_left(cx)));
        let Handle { key, loop_id } = self.handle;
        let take = |tasks: &Tasks| {
            if tasks.loop_id() == loop_id { tasks.take_output(key) } else { None }
        };
        // The usual case in one look at the table, without counting a reference to the loop.
        let output = match current::with_running(take).flatten() {
            Some(output) => output,
            None => match ready!(pending(|| "task", join(self.handle, cx.waker()))) {
                Some(output) => output,
                None => {
                    budget::spend(1);
                    return Poll::Ready(Err(JoinError::closed()));
                }
            },
        };
        self.handle.key = Key::NONE;
        budget::spend(1);
        Poll::Ready(any_task::take_output(output))
    }
}

/// Waits for the end of a task. Returns `None` if its loop is gone or closed.
fn join(task: Handle, waker: &Waker) -> Poll<Option<BoxedTask>> {
    let joined = current::find(task.loop_id).and_then(|tasks| tasks.join(task.key, waker));
    joined.map_or(Poll::Ready(None), |joined| joined.map(Some))
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.handle.key != Key::NONE
            && let Some(tasks) = current::find(self.handle.loop_id)
        {
            tasks.detach(self.handle.key, Key::NONE);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({:?} of loop {})", self.handle.key, self.handle.loop_id)
    }
}

/// An output that a done-callback sees. It returns to the table when the callback has returned or
/// panicked.
struct BorrowedOutput {
    tasks: Rc<Tasks>,
    key: Key,
    output: Option<BoxedTask>,
}

impl BorrowedOutput {
    fn of(tasks: Rc<Tasks>, key: Key) -> Option<BorrowedOutput> {
        let output = tasks.borrow_output(key)?;
        Some(BorrowedOutput { tasks, key, output: Some(output) })
    }
}

impl Drop for BorrowedOutput {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            self.tasks.return_output(self.key, output);
        }
    }
}

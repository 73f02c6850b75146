//! Tasks as their owners see them: to be awaited, cancelled, or left alone.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::budget;
use super::current;
use super::detached::DetachedOutput;
use super::ending::{CancelReason, JoinError, TaskEnding, TaskState};
use super::job::{self, Boxed, Judge};
use super::tasks::Tasks;
use crate::handle::{Handle, Key};

/// A spawned task: a future that gives the task's output.
///
/// Dropping it detaches the task, which goes on. [`detach`](Task::detach) does the same and reports
/// every failure, because it takes only outputs whose errors can be shown. The drop cannot ask for
/// that: it reports a panic, and the error of a `Result<(), E>` where `E` is
/// [`mainspring::Error`](crate::Error), [`io::Error`](std::io::Error) or a `Box<dyn Error>` (`+ Send +
/// Sync`).
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
#[must_use = "dropping a task detaches it; `detach` says so"]
pub struct Task<T> {
    handle: Handle,
    output: PhantomData<Rc<T>>,
}

// The output is in the loop's slab, not in here.
impl<T> Unpin for Task<T> {}

impl<T: 'static> Task<T> {
    pub(super) fn new(tasks: &Tasks, key: Key) -> Task<T> {
        Task { handle: tasks.handle(key), output: PhantomData }
    }

    /// A task that never began, because its loop is closed.
    pub(super) fn closed(loop_id: u32) -> Task<T> {
        Task { handle: Handle { key: Key::NOWHERE, loop_id }, output: PhantomData }
    }

    /// The task's handle in its loop, to name it, [`set_background`](crate::LoopHandle::set_background) it or cancel
    /// it by.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Lets the task go on without this handle. A panic or an error then goes to the exception
    /// handler, with the line that spawned the task; see [`DetachedOutput`].
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
    /// An output that may hide a failure does not compile:
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
        self.detach_as(job::judge_as::<T>);
    }

    /// Lets the task go on without this handle, and drops its output unseen, even an error. A panic
    /// goes to the exception handler all the same.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::with_state(0)?;
    /// el.set_exception_handler(|_, reports, _| *reports += 1);
    /// el.spawn(async { vec![6, 7] }).detach_discarding();
    /// el.spawn(async { Err::<(), _>(mainspring::Error::other("not wanted")) }).detach_discarding();
    /// el.run()?;
    /// assert_eq!(*el.state(), 0);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn detach_discarding(self) {
        self.detach_as(job::judge_none);
    }

    #[inline]
    pub(super) fn detach_as(mut self, judge: Judge) {
        let Handle { key, loop_id } = self.handle;
        self.handle.key = Key::NOWHERE;
        if key != Key::NOWHERE
            && let Some(tasks) = current::find(loop_id)
        {
            let number = tasks.judge_number::<T>(judge);
            tasks.detach(key, number);
        }
    }

    /// Asks the task to end: its future is dropped at its next turn, and the joiner gets
    /// [`JoinError::Cancelled`] with this reason. If something that the future waits for happened
    /// before that turn, it is polled once more, as by a [`CancelScope`](crate::CancelScope): an
    /// output that is ready by then wins. A task that has not begun never begins.
    ///
    /// A task that cancels itself is dropped at its next turn, unless the poll that goes on gives
    /// its output. A future is never dropped inside of its own poll.
    ///
    /// Returns false if the task is done or was cancelled before.
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

    /// Whether the task is done; also if it was ended with its loop.
    pub fn is_finished(&self) -> bool {
        matches!(self.state(), TaskState::Done(_))
    }

    /// Where the task is in its life.
    pub fn state(&self) -> TaskState {
        let state = self.tasks().and_then(|tasks| tasks.state(self.handle.key));
        state.unwrap_or(TaskState::Done(TaskEnding::Cancelled))
    }

    /// Where the task was spawned; none if it was ended with its loop.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.tasks()?.location(self.handle.key)
    }

    /// The name that the task was given.
    pub fn name(&self) -> Option<Rc<str>> {
        self.tasks()?.name(self.handle.key)
    }

    /// Gives the task a name, for reports and pictures.
    pub fn named(self, name: &str) -> Task<T> {
        if let Some(tasks) = self.tasks() {
            crate::event_loop::task_port::TaskLayer::set_name(&*tasks, self.handle.key, name);
        }
        self
    }

    /// Calls `callback` when the task is done, with what came of it: through the ready deque, in the
    /// order in which callbacks were added, exactly once. Whoever awaits the task gets the output
    /// after them.
    ///
    /// If the loop is gone the callback is dropped.
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
    /// assert_eq!(seen.get(), 42); // whoever awaits comes after it
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(Result<&T, &JoinError>) + 'static) {
        let (loop_id, key) = (self.handle.loop_id, self.handle.key);
        let callback = move || {
            let tasks = current::find(loop_id);
            let shown = tasks.and_then(|tasks| Shown::borrow(tasks, key));
            if let Some(Shown { output: Some(output), .. }) = &shown {
                callback(job::look(output));
            }
        };
        if let Some(tasks) = self.tasks() {
            tasks.add_done_callback(key, (Box::new(callback), Location::caller()));
        }
    }

    /// Whether the task is done and has failed; `judge` tells of an output. The output stays.
    pub(super) fn has_failed(&self, judge: fn(&T) -> bool) -> bool {
        if !self.is_finished() {
            return false;
        }
        // Without its loop it was cancelled.
        let Some(tasks) = self.tasks() else { return true };
        let Some(output) = tasks.borrow_output(self.handle.key) else { return true };
        let failed = job::look(&output).map_or(true, judge);
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
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        ready!(budget::poll_left(cx));
        let Handle { key, loop_id } = self.handle;
        let take = |tasks: &Tasks| {
            if tasks.loop_id() == loop_id { tasks.take_output(key) } else { None }
        };
        let output = match current::ask(take).flatten() {
            Some(output) => output,
            None => match ready!(join(self.handle, cx.waker())) {
                Some(output) => output,
                None => {
                    budget::spend(1);
                    return Poll::Ready(Err(JoinError::closed()));
                }
            },
        };
        self.handle.key = Key::NOWHERE;
        budget::spend(1);
        Poll::Ready(job::open(output))
    }
}

/// Waits for the end of a task; none if its loop is gone, or closed.
fn join(task: Handle, waker: &Waker) -> Poll<Option<Boxed>> {
    let joined = current::find(task.loop_id).and_then(|tasks| tasks.join(task.key, waker));
    joined.map_or(Poll::Ready(None), |joined| joined.map(Some))
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.handle.key != Key::NOWHERE
            && let Some(tasks) = current::find(self.handle.loop_id)
        {
            tasks.detach(self.handle.key, Key::NOWHERE);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({:?} of loop {})", self.handle.key, self.handle.loop_id)
    }
}

/// An output that is shown to a done-callback, and goes back when that has run, or panicked.
struct Shown {
    tasks: Rc<Tasks>,
    key: Key,
    output: Option<Boxed>,
}

impl Shown {
    fn borrow(tasks: Rc<Tasks>, key: Key) -> Option<Shown> {
        let output = tasks.borrow_output(key)?;
        Some(Shown { tasks, key, output: Some(output) })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            self.tasks.return_output(self.key, output);
        }
    }
}

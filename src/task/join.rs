//! Tasks as their owners see them: to be awaited, cancelled, or left alone.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::current;
use super::ending::{Ending, JoinError, Reason, TaskState};
use super::job::{self, Boxed};
use super::tasks::Tasks;
use crate::handle::{Handle, Key};

/// A spawned task: a future that gives the task's output.
///
/// Dropping it detaches the task, which goes on; a panic, or an error of a task whose output is
/// `Result<(), E>`, then goes to the exception handler, where `E` is [`mainspring::Error`](crate::Error),
/// [`io::Error`](std::io::Error) or a `Box<dyn Error>` (`+ Send + Sync`).
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
    pub(super) fn closed(home: u32) -> Task<T> {
        Task { handle: Handle { key: Key::NOWHERE, home }, output: PhantomData }
    }

    /// The task's handle in its loop, to name it, [`unref`](crate::LoopHandle::unref) it or cancel
    /// it by.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Lets the task go on by itself.
    pub fn detach(self) {}

    /// Asks the task to end: its future is dropped at its next turn, never inside of its own poll,
    /// and whoever awaits it gets [`JoinError::Cancelled`] with this reason. An output that is
    /// already there wins.
    ///
    /// False if the task is done or was cancelled before.
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
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.tasks().is_some_and(|tasks| tasks.cancel_task(self.handle.key, reason.into()))
    }

    /// Whether the task is done; also if it was ended with its loop.
    pub fn is_finished(&self) -> bool {
        matches!(self.state(), TaskState::Done(_))
    }

    /// Where the task is in its life.
    pub fn state(&self) -> TaskState {
        let state = self.tasks().and_then(|tasks| tasks.state(self.handle.key));
        state.unwrap_or(TaskState::Done(Ending::Cancelled))
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
            crate::event_loop::guest::Guest::set_name(&*tasks, self.handle.key, name);
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
        let (home, key) = (self.handle.home, self.handle.key);
        let callback = move || {
            let tasks = current::find(home);
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
        current::find(self.handle.home)
    }
}

impl<T: 'static> Future for Task<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let Handle { key, home } = self.handle;
        let take = |tasks: &Tasks| {
            if tasks.home() == home { tasks.take_output(key) } else { None }
        };
        let output = match current::ask(take).flatten() {
            Some(output) => output,
            None => match ready!(join(self.handle, cx.waker())) {
                Some(output) => output,
                None => return Poll::Ready(Err(JoinError::closed())),
            },
        };
        self.handle.key = Key::NOWHERE;
        Poll::Ready(job::open(output))
    }
}

/// Waits for the end of a task; none if its loop is gone, or closed.
fn join(task: Handle, waker: &Waker) -> Poll<Option<Boxed>> {
    let joined = current::find(task.home).and_then(|tasks| tasks.join(task.key, waker));
    joined.map_or(Poll::Ready(None), |joined| joined.map(Some))
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.handle.key != Key::NOWHERE
            && let Some(tasks) = current::find(self.handle.home)
        {
            tasks.detach(self.handle.key);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({:?} of loop {})", self.handle.key, self.handle.home)
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

//! [`TaskGroup`]: tasks that do not outlive the code that spawned them.
//!
//! # Invariants
//!
//! * A child is in the group's list until its future is dropped, so a group with an empty list has
//!   no children.
//! * A group is open, then ending, then over. When it begins to end, its children are cancelled,
//!   once; after that no child can be spawned.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;

use crate::awaits::around;
use crate::error::{Error, Result};
use crate::handle::Key;
use crate::task::{CancelReason, JoinError, Task, budget, current};

mod child;
mod error;
mod run;
mod state;

use self::child::ChildEntry;
use self::run::GroupRun;
use self::state::{GroupState, Stage};

pub use self::child::GroupTask;
pub use self::error::GroupError;

/// A group of tasks that end before [`run`](TaskGroup::run) returns, like trio's nursery or
/// asyncio's `TaskGroup`.
///
/// A group ends when its body and all its children have ended. The first failure, an error or a
/// panic, cancels all others. [`GroupError`] contains all failures, in order of occurrence. A child
/// that was woken before its cancellation is polled once more, so a failure in the same tick as the
/// first one is kept, too. A child cancelled through its handle is not a failure, and neither is an
/// [`Error::Cancelled`] that follows from the first failure.
///
/// # Cancellation from outside
///
/// In Rust a future is cancelled by dropping it, and a dropped future cannot wait. So a cancelled
/// group is not dropped at once: the [`CancelScope`](crate::CancelScope),
/// [`timeout`](crate::timeout), group or [task](Task::cancel) around it waits until the group has
/// cancelled its children and all have ended. If a child has failed meanwhile, `run` first returns
/// the error, and the code after it is dropped at its next wait. A
/// [shield](crate::CancelScope::shielded) in a child delays the group, too.
///
/// If the future of `run` is dropped in another way (a `select!`, a [`race`](crate::race), the end
/// of the loop), it cannot wait: the children are cancelled, and end in the next tick. Errors that
/// `run` cannot return go to the exception handler.
///
/// ```
/// use mainspring::{EventLoop, TaskGroup, sleep, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let squares = el.run_until_complete(TaskGroup::run(async |group| {
///     let mut children = Vec::new();
///     for n in 1..4 {
///         children.push(group.spawn(async move {
///             sleep(Duration::from_secs(n)).await;
///             Ok(n * n)
///         })?);
///     }
///     let mut squares = Vec::new();
///     for child in children {
///         squares.push(child.await?);
///     }
///     Ok(squares)
/// }))?;
/// assert_eq!(squares.unwrap(), [1, 4, 9]);
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// An error ends the whole group:
///
/// ```
/// # use mainspring::{Error, EventLoop, TaskGroup};
/// # let mut el = EventLoop::new()?;
/// let outcome = el.run_until_complete(TaskGroup::run(async |group| {
///     group.spawn(std::future::pending::<mainspring::Result<()>>())?.named("server");
///     group.spawn(async { Err::<(), _>(Error::other("no configuration")) })?;
///     Ok(())
/// }))?;
/// let error = outcome.unwrap_err();
/// assert_eq!(error.to_string(), "a task group failed: no configuration");
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone)]
pub struct TaskGroup {
    state: Rc<GroupState>,
}

impl TaskGroup {
    /// Runs `body`, and waits for all of the group's children.
    ///
    /// A panic of the body unwinds when all children have ended. A panic of a child is an error of
    /// the group.
    ///
    /// # Errors
    ///
    /// The future returns a [`GroupError`] with every error of the body and of the children.
    #[track_caller]
    pub fn run<F, T>(body: F) -> impl Future<Output = Result<T, GroupError>> + use<F, T>
    where
        F: AsyncFnOnce(&TaskGroup) -> Result<T>,
    {
        let location = Location::caller();
        let body = async move {
            budget::step().await;
            let run = GroupRun::new(location);
            let group = TaskGroup { state: run.state.clone() };
            let value = {
                let mut body = pin!(Some(body(&group)));
                poll_fn(|cx| run.poll_body(body.as_mut(), cx)).await
            };
            poll_fn(|cx| run.poll_children(cx)).await;
            match run.end(value) {
                Some(result) => result,
                // Cancelled from outside: the region around this drops it after this poll.
                None => pending().await,
            }
        };
        around(|| "TaskGroup::run", body)
    }

    /// Spawns a child on the running loop. The body, a child or a callback may call this.
    ///
    /// # Errors
    ///
    /// [`Error::GroupEnding`] if the group was cancelled, has failed, or is over;
    /// [`Error::NoLoop`]; [`Error::Closed`]. The future is dropped.
    #[track_caller]
    pub fn spawn<F, T>(&self, future: F) -> Result<GroupTask<T>>
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        let tasks = current::running_for("mainspring::TaskGroup::spawn")?;
        let state = &self.state;
        if state.stage.get() != Stage::Open {
            return Err(Error::GroupEnding);
        }
        let number = state.next.replace(state.next.get() + 1);
        let entry = ChildEntry { state: state.clone(), number };
        let key = tasks.spawn(entry.run(future), Location::caller());
        if key == Key::NONE {
            return Err(Error::Closed);
        }
        // The entry is dropped with the future on a closed loop, so it is added only now.
        state.children.borrow_mut().insert(number, tasks.handle(key));
        Ok(GroupTask::new(Task::new(&tasks, key)))
    }

    /// Cancels the body and the children. `run` returns the reason as an error. Returns false if
    /// the group is already ending.
    ///
    /// ```
    /// use mainspring::{EventLoop, TaskGroup};
    ///
    /// let mut el = EventLoop::new()?;
    /// let result = el.run_until_complete(TaskGroup::run(async |group| {
    ///     group.spawn(std::future::pending::<mainspring::Result<()>>())?;
    ///     assert!(group.cancel("closing time"));
    ///     Ok(())
    /// }))?;
    /// assert!(result.unwrap_err().to_string().contains("closing time"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn cancel(&self, reason: impl Into<CancelReason>) -> bool {
        if self.state.stage.get() != Stage::Open {
            return false;
        }
        let reason = reason.into();
        let error = JoinError::Cancelled(reason.clone()).into();
        self.state.errors.borrow_mut().push(error);
        self.state.end(&reason);
        true
    }

    /// Returns the number of children that have not ended.
    pub fn len(&self) -> usize {
        self.state.children.borrow().len()
    }

    /// Returns true if all children have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.state.stage.get();
        f.debug_struct("TaskGroup").field("stage", &stage).field("children", &self.len()).finish()
    }
}

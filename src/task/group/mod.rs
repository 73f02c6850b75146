//! Task groups: tasks that do not outlive the code that spawned them.
//!
//! # Invariants
//!
//! * A child is in the group's list until its future is gone, so a group with an empty list has no
//!   children.
//! * A group is open, then ending, then over. Whatever ends it cancels its children, once; after
//!   that there are no new ones.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::thread;

use super::budget;
use super::current;
use super::ending::{CancelReason, JoinError};
use super::extent::Extent;
use super::join::Task;
use crate::error::{Error, Result};
use crate::event_loop::{Report, ReportKind, print_outside};
use crate::handle::{Handle, Key};

mod child;
mod error;
mod nursery;

use self::child::Member;
use self::nursery::Nursery;

pub use self::child::GroupTask;
pub use self::error::GroupError;

/// Tasks that end before [`run`](TaskGroup::run) does: trio's nursery, asyncio's `TaskGroup`.
///
/// A group ends when its body and all its children have ended. The first of them that fails, by an
/// error or a panic, cancels all the others, and what failed, in the order of occurrence, is in the
/// [`GroupError`]. What has woken a child by then still counts, so a failure in the same tick as the
/// first one is kept as well. A child that is cancelled by its own handle is no failure, and
/// neither is an [`Error::Cancelled`] that follows from the first failure.
///
/// # Cancellation from outside
///
/// In Rust to cancel is to drop, and what is dropped cannot wait. So a group that is to be cancelled
/// is not dropped at once: the [`CancelScope`](crate::CancelScope), [`timeout`](crate::timeout),
/// group or [task](Task::cancel) around it lets it go on until it has cancelled its children and all
/// have ended. Then it is dropped; only if a child has failed meanwhile, `run` gives the error first,
/// and the code after it ends at its next wait. A [shield](crate::CancelScope::shielded) of a child
/// holds the group as well.
///
/// A future that is dropped by something else (a `select!`, a [`race`](crate::race), the end of the
/// loop) cannot wait: its children are cancelled, and end at their next turn, in the next tick.
/// Errors that nobody can be given go to the exception handler.
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
/// An error ends it all:
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
    shared: Rc<Shared>,
}

struct Shared {
    extent: Rc<Extent>,
    stage: Cell<Stage>,
    /// By the order in which they were spawned.
    children: RefCell<BTreeMap<u64, Handle>>,
    /// The number of the next child.
    next: Cell<u64>,
    errors: RefCell<Vec<Error>>,
    location: &'static Location<'static>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Ending,
    Over,
}

impl TaskGroup {
    /// Runs `body`, and waits for the children that it, or they, have spawned.
    ///
    /// A panic of the body goes on when all children have ended.
    ///
    /// # Errors
    ///
    /// The future gives a [`GroupError`] with every error of the body and of the children.
    #[track_caller]
    pub fn run<F, T>(body: F) -> impl Future<Output = Result<T, GroupError>> + use<F, T>
    where
        F: AsyncFnOnce(&TaskGroup) -> Result<T>,
    {
        let location = Location::caller();
        async move {
            budget::step().await;
            let nursery = Nursery::new(location);
            let value = {
                let mut body = pin!(Some(body(&nursery.group)));
                poll_fn(|cx| nursery.poll_body(body.as_mut(), cx)).await
            };
            poll_fn(|cx| nursery.poll_children(cx)).await;
            match nursery.end(value) {
                Some(outcome) => outcome,
                // What is around this is about to drop it.
                None => pending().await,
            }
        }
    }

    /// Spawns a child on the loop that runs; the body may do it, a child, or a callback.
    ///
    /// # Errors
    ///
    /// [`Error::GroupEnding`] if the group was cancelled, has failed, or is over: the future is
    /// dropped. [`Error::NoLoop`]; [`Error::Closed`].
    #[track_caller]
    pub fn spawn<F, T>(&self, future: F) -> Result<GroupTask<T>>
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        let tasks = super::running("TaskGroup::spawn")?;
        let shared = &self.shared;
        if shared.stage.get() != Stage::Open {
            return Err(Error::GroupEnding);
        }
        let number = shared.next.replace(shared.next.get() + 1);
        let member = Member { shared: shared.clone(), number };
        let key = tasks.spawn(member.run(future), Location::caller());
        if key == Key::NOWHERE {
            return Err(Error::Closed);
        }
        shared.children.borrow_mut().insert(number, tasks.handle(key));
        Ok(GroupTask::new(Task::new(&tasks, key)))
    }

    /// Ends the group: the body and the children are cancelled, and `run` gives this reason as an
    /// error. False if it is ending already.
    pub fn cancel(&self, reason: impl Into<CancelReason>) -> bool {
        if self.shared.stage.get() != Stage::Open {
            return false;
        }
        let reason = reason.into();
        let error = JoinError::Cancelled(reason.clone()).into();
        self.shared.errors.borrow_mut().push(error);
        self.shared.end(&reason);
        true
    }

    /// How many children have not ended.
    pub fn len(&self) -> usize {
        self.shared.children.borrow().len()
    }

    /// Whether all children have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = self.shared.stage.get();
        f.debug_struct("TaskGroup").field("stage", &stage).field("children", &self.len()).finish()
    }
}

impl Shared {
    fn fail(&self, error: Error) {
        match self.stage.get() {
            Stage::Over => return self.report(error),
            // It has waited for something that the first failure cancelled.
            Stage::Ending if matches!(error, Error::Cancelled(_)) => return,
            Stage::Open | Stage::Ending => {}
        }
        self.errors.borrow_mut().push(error);
        self.end(&"a task of its group failed".into());
    }

    /// Cancels the body and the children, the first time.
    fn end(&self, reason: &CancelReason) {
        if self.stage.get() == Stage::Open {
            self.stage.set(Stage::Ending);
            self.extent.cancel();
            self.cancel_children(reason);
        }
    }

    fn cancel_children(&self, reason: &CancelReason) {
        let children: Vec<Handle> = self.children.borrow().values().copied().collect();
        for Handle { key, loop_id } in children {
            if let Some(tasks) = current::find(loop_id) {
                tasks.cancel_task(key, reason.clone());
            }
        }
    }

    /// Tells of an error that `run` cannot give to anybody any more.
    fn report(&self, error: Error) {
        let report = Report { kind: ReportKind::Task, error, location: self.location, name: None };
        match current::running() {
            Some(tasks) => tasks.report(report),
            None => print_outside(&report),
        }
    }
}

/// Drops a future in its place; a panic of its `Drop` is the answer.
fn clear<F>(mut place: Pin<&mut Option<F>>) -> thread::Result<()> {
    catch_unwind(AssertUnwindSafe(|| place.set(None)))
}

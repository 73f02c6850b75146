//! [`wait`]: waits for one or all of several tasks, and gives every task back.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::{Poll, ready};

use super::wake_set::WakeSet;
use crate::awaits::located;
use crate::task::{Task, budget};

/// The condition that ends a [`wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitUntil {
    /// One task is done.
    FirstCompleted,
    /// One task has failed, by an error, a panic or a cancellation; or all tasks are done.
    FirstError,
    /// All tasks are done.
    All,
}

/// The tasks that are done, and the others.
type Waited<T, E> = (Vec<Task<Result<T, E>>>, Vec<Task<Result<T, E>>>);

/// Waits for tasks. Returns the tasks that are done, and the others, both in the original order.
/// Awaiting a task that is done completes at once.
///
/// No task is cancelled, and no error is consumed. Dropping the returned future detaches the tasks.
///
/// ```
/// use mainspring::{Error, EventLoop, WaitUntil, sleep, spawn, testing::SimClock, wait};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// el.run_until_complete(async {
///     let tasks = [2, 1].map(|n| spawn(async move {
///         sleep(Duration::from_secs(n)).await;
///         Ok::<_, Error>(n)
///     }));
///     let (done, pending) = wait(tasks, WaitUntil::FirstCompleted).await;
///     for task in done {
///         assert_eq!(task.await??, 1);
///     }
///     assert_eq!(pending.len(), 1);
///     Ok::<_, Error>(())
/// })??;
/// # Ok::<_, Error>(())
/// ```
pub fn wait<T, E>(
    tasks: impl IntoIterator<Item = Task<Result<T, E>>>,
    when: WaitUntil,
) -> impl Future<Output = Waited<T, E>>
where
    T: 'static,
    E: 'static,
{
    located(|| "wait", async move {
        let mut tasks: Vec<_> = tasks.into_iter().collect();
        budget::step().await;
        let set = WakeSet::new(tasks.len());
        // Each task is counted once, when it is done.
        let (mut counted, mut left) = (vec![false; tasks.len()], tasks.len());
        poll_fn(|cx| {
            // Without a step left each task would be pending, and wake its index again.
            ready!(budget::poll_left(cx));
            set.wait(cx.waker());
            let mut enough = left == 0;
            while let Some(at) = set.next() {
                let task = &mut tasks[at];
                if !task.is_finished() {
                    // Stores a waker for the end of the task. The output stays in the table.
                    let _ = set.poll(at, Pin::new(task));
                } else if !mem::replace(&mut counted[at], true) {
                    left -= 1;
                    enough |= left == 0 || is_enough(task, when);
                }
            }
            if enough { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        tasks.into_iter().partition(Task::is_finished)
    })
}

/// Returns true if this task, which is done, ends a [`wait`].
fn is_enough<T: 'static, E: 'static>(task: &Task<Result<T, E>>, when: WaitUntil) -> bool {
    match when {
        WaitUntil::FirstCompleted => true,
        WaitUntil::FirstError => task.has_failed(Result::is_err),
        WaitUntil::All => false,
    }
}

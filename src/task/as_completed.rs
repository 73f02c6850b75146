//! Tasks in the order in which they are done.
//!
//! Each is awaited with a waker of its own, which says which it is; so a crowd of them costs nothing
//! but what happens.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::budget;
use super::current;
use super::ending::{CancelReason, JoinError};
use super::join::Task;
use crate::event_loop::{Report, ReportKind};
use crate::steps::step;

/// Gives what comes of tasks in the order in which they are done.
///
/// Dropping the [`AsCompleted`] detaches the tasks that are left.
///
/// ```
/// use mainspring::{EventLoop, as_completed, sleep, spawn, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let order = el.run_until_complete(async {
///     let tasks = [3, 1, 2].map(|n| spawn(sleep(Duration::from_secs(n))));
///     let (mut done, mut order) = (as_completed(tasks), Vec::new());
///     while let Some((i, outcome)) = done.next().await {
///         outcome?;
///         order.push(i);
///     }
///     Ok::<_, mainspring::Error>(order)
/// })??;
/// assert_eq!(order, [1, 2, 0]);
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn as_completed<T: 'static>(tasks: impl IntoIterator<Item = Task<T>>) -> AsCompleted<T> {
    let tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    AsCompleted { left: tasks.len(), crowd: Crowd::new(tasks.len()), tasks }
}

/// What [`as_completed`] makes.
pub struct AsCompleted<T: 'static> {
    tasks: Vec<Option<Task<T>>>,
    /// How many have not been given out.
    left: usize,
    crowd: Crowd,
}

impl<T> AsCompleted<T> {
    /// The next task that is done: its number among those that were given, and what came of it.
    /// None when there are no more.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(usize, Result<T, JoinError>)> {
        poll_fn(|cx| budget::metered(cx, |cx| self.poll_next(cx))).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Result<T, JoinError>)>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.crowd.wait(cx.waker());
        while let Some(number) = self.crowd.next() {
            let Some(task) = &mut self.tasks[number] else { continue };
            if let Poll::Ready(outcome) = self.crowd.poll(number, Pin::new(task)) {
                self.left -= 1;
                self.tasks[number] = None;
                return Poll::Ready(Some((number, outcome)));
            }
        }
        Poll::Pending
    }

    /// How many tasks were given.
    pub(super) fn total(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn cancel(&self, reason: &CancelReason) {
        for task in self.tasks.iter().flatten() {
            task.cancel(reason.clone());
        }
    }

    /// Waits until the tasks that are left are done. What came of them is nobody's, so a panic is
    /// reported.
    pub(super) async fn drained(&mut self) {
        let places: Vec<_> = self.tasks.iter().map(|task| task.as_ref()?.location()).collect();
        while let Some((number, outcome)) = self.next().await {
            if let (Err(error @ JoinError::Panicked(_)), Some(location)) = (outcome, places[number])
                && let Some(tasks) = current::running()
            {
                let error = error.into();
                tasks.report(Report { kind: ReportKind::Task, error, location, name: None });
            }
        }
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Many futures, each polled with its own waker, which names it by number: so a wake costs O(1),
/// however many futures there are.
pub(super) struct Crowd {
    woken: Arc<Mutex<Woken>>,
}

/// Numbers of the futures to poll, and the waker of the task that polls them.
struct Woken {
    numbers: VecDeque<usize>,
    waiter: Option<Waker>,
}

impl Crowd {
    /// A crowd of `count` futures, all of them to be polled.
    pub(super) fn new(count: usize) -> Crowd {
        let woken = Woken { numbers: (0..count).collect(), waiter: None };
        Crowd { woken: Arc::new(Mutex::new(woken)) }
    }

    /// Keeps the waker of the task that polls the crowd.
    pub(super) fn wait(&self, waker: &Waker) {
        let waiter = waker.clone();
        let old = lock(&self.woken).waiter.replace(waiter);
        drop(old);
    }

    /// Returns the number of the next future to poll.
    pub(super) fn next(&self) -> Option<usize> {
        step();
        lock(&self.woken).numbers.pop_front()
    }

    /// Polls the future `number`, which is woken by that number.
    pub(super) fn poll<F: Future>(&self, number: usize, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::new(OneOf { number, woken: self.woken.clone() }));
        future.poll(&mut Context::from_waker(&waker))
    }
}

fn lock(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The waker of one of the tasks.
struct OneOf {
    number: usize,
    woken: Arc<Mutex<Woken>>,
}

impl Wake for OneOf {
    fn wake(self: Arc<OneOf>) {
        let mut woken = lock(&self.woken);
        woken.numbers.push_back(self.number);
        let waiter = mem::take(&mut woken.waiter);
        drop(woken);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

//! Cancel scopes: stretches of code that can be told to end, with a reason.
//!
//! # Invariants
//!
//! * The first reason stays; a scope that is cancelled remains so.
//! * A scope ends its own runs only. What an outer scope wants is left to that scope, which drops
//!   this one with everything else.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::budget;
use super::current;
use super::ending::CancelReason;
use super::extent::{Extent, Guard, Owned};
use super::time::{Sleep, sleep_until};
use crate::error::Error;
use crate::steps::step;

/// A stretch of code that can be cancelled: from anywhere by a clone of the scope, by its deadline,
/// or by an outer scope.
///
/// # What cancellation is
///
/// In Rust a future is cancelled by dropping it, at an `await` where it waits. What runs then is
/// the `Drop` of what it holds, and nothing else: no error is raised inside, and nothing inside can
/// catch it. When a scope is cancelled, the future it runs is polled once more, and what is ready by
/// then is delivered; if it still waits, it is dropped, and [`run`](CancelScope::run) gives
/// [`Cancelled`] with the reason. So code that does not wait goes on until it does, and in a scope
/// that was cancelled before, a future gets as far as its first wait.
///
/// Scopes nest by this: an outer scope drops an inner one with everything else, so no inner scope
/// can swallow the cancellation of an outer one. If both are cancelled, the outer one ends.
///
/// # What a shield is
///
/// What is dropped cannot be protected, so a [shielded](CancelScope::shielded) scope has those
/// around it wait: while it runs they go on polling, whether they are a scope, a
/// [`timeout`](crate::timeout), a [`TaskGroup`](crate::TaskGroup) or the [task](crate::Task::cancel)
/// itself. When it has ended they drop what is theirs, at the next `await` that waits. What the
/// shield does not know of it cannot stop: a `select!` or a [`race`](crate::race) that drops its
/// loser, the end of the loop. What must go on even then is a task of its own: see
/// [`shield`](crate::shield).
///
/// ```
/// use mainspring::{CancelScope, EventLoop, sleep, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// el.run_until_complete(async {
///     let scope = CancelScope::new().timeout(Duration::from_secs(5));
///     let cancelled = scope.run(sleep(Duration::from_secs(60))).await.unwrap_err();
///     assert_eq!(cancelled.to_string(), "cancelled: the deadline has passed");
///
///     let scope = CancelScope::new();
///     let other = scope.clone();
///     let task = mainspring::spawn(async move { other.run(sleep(Duration::from_secs(60))).await });
///     scope.cancel("not needed any more");
///     assert_eq!(task.await?.unwrap_err().reason().to_string(), "not needed any more");
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CancelScope {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    cancelled: RefCell<Option<Cancelled>>,
    limit: Cell<Limit>,
    shielded: Cell<bool>,
    /// Reason of a cancellation by the deadline, for a scope whose deadline is not the user's.
    overdue: Cell<Option<&'static str>>,
    runs: RefCell<BTreeMap<u64, Rc<Extent>>>,
    /// The number of the next run.
    next: Cell<u64>,
}

/// When a scope's time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Limit {
    #[default]
    Never,
    At(Instant),
    /// Counted from the first poll, since no loop ran that would have told the time.
    After(Duration),
}

impl Limit {
    /// A limit counted from now, if a loop runs. What no `Instant` can hold is never.
    fn after(limit: Duration) -> Limit {
        let Some(tasks) = current::running() else { return Limit::After(limit) };
        tasks.core.timeline.now().checked_add(limit).map_or(Limit::Never, Limit::At)
    }

    /// Returns true if `next` is no sooner than this limit, so that no run is late for it.
    fn is_followed_by(self, next: Limit) -> bool {
        matches!((self, next), (Limit::At(old), Limit::At(new)) if old <= new)
    }
}

/// A scope has ended what it ran, for a reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cancelled: {reason}")]
pub struct Cancelled {
    reason: CancelReason,
    by_deadline: bool,
}

impl Cancelled {
    /// Why.
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }

    /// Returns true if the scope's deadline has passed. The end of a [`Shutdown`](crate::Shutdown) is
    /// no deadline: its tasks were asked to end.
    pub fn is_deadline(&self) -> bool {
        self.by_deadline
    }
}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Error {
        Error::Cancelled(cancelled.reason.to_string().into())
    }
}

impl CancelScope {
    /// A scope without a deadline, open to cancellation from outside.
    pub fn new() -> CancelScope {
        CancelScope::default()
    }

    /// Gives the scope a deadline.
    pub fn deadline(self, deadline: Instant) -> CancelScope {
        self.set_deadline(deadline);
        self
    }

    /// Gives the scope a deadline, counted from this call. Where no loop runs, it is counted from
    /// the first poll of the first run.
    pub fn timeout(self, limit: Duration) -> CancelScope {
        self.set_timeout(limit);
        self
    }

    /// Keeps cancellation from outside off what the scope runs.
    ///
    /// ```
    /// use mainspring::{CancelScope, EventLoop, sleep, spawn, testing::SimClock, yield_now};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// el.run_until_complete(async {
    ///     let task = spawn(async {
    ///         let shield = CancelScope::new().shielded();
    ///         shield.run(sleep(Duration::from_secs(1))).await.map_err(drop)
    ///     });
    ///     yield_now().await;
    ///     task.cancel("it has to finish first");
    ///     task.await.map_err(drop)
    /// })?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(1));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn shielded(self) -> CancelScope {
        self.set_shielded(true);
        self
    }

    /// Runs `future` until it is complete or the scope is cancelled. The same scope may run several
    /// futures, at the same time or one after the other; they are cancelled together.
    ///
    /// # Errors
    ///
    /// The future gives [`Cancelled`], also for a scope that was cancelled before.
    ///
    /// # Panics
    ///
    /// The future panics where no loop runs, if the scope has a deadline, with the place of this call.
    #[track_caller]
    pub fn run<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Cancelled>> + use<F> {
        let (shared, place) = (self.shared.clone(), Location::caller());
        async move {
            budget::step().await;
            let mut run = Run::new(shared, place);
            let mut future = pin!(future);
            poll_fn(|cx| run.poll(future.as_mut(), cx)).await
        }
    }

    /// Cancels what the scope runs, and what it will run. False if it was cancelled before, which
    /// keeps its reason.
    pub fn cancel(&self, reason: impl Into<CancelReason>) -> bool {
        self.shared.cancel(Cancelled { reason: reason.into(), by_deadline: false })
    }

    /// Moves the deadline, to an earlier or a later time or to never, also while the scope runs.
    /// What it has cancelled already stays cancelled.
    ///
    /// ```
    /// use mainspring::{CancelScope, Clock, EventLoop, sleep, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let scope = CancelScope::new().timeout(Duration::from_secs(1));
    /// scope.set_deadline(clock.now() + Duration::from_secs(3)); // it may take longer, after all
    /// let ran = el.run_until_complete(scope.run(sleep(Duration::from_secs(2))))?;
    /// assert!(ran.is_ok());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_deadline(&self, deadline: impl Into<Option<Instant>>) {
        self.set_limit(deadline.into().map_or(Limit::Never, Limit::At));
    }

    /// Whether the scope was cancelled. What it ran may have completed all the same.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.borrow().is_some()
    }

    /// Why the scope was cancelled, if it was.
    pub fn reason(&self) -> Option<CancelReason> {
        self.shared.cancelled.borrow().as_ref().map(|cancelled| cancelled.reason.clone())
    }

    /// Begins or ends to keep cancellation from outside off, also while the scope runs. One that has
    /// come meanwhile takes effect when the shield ends.
    pub fn set_shielded(&self, shielded: bool) {
        self.shared.shielded.set(shielded);
        self.shared.runs().iter().for_each(|run| run.set_guard(self.shared.guard()));
    }

    /// As [`set_deadline`](CancelScope::set_deadline), counted from this call.
    pub(super) fn set_timeout(&self, limit: Duration) {
        self.set_limit(Limit::after(limit));
    }

    /// What is to be said when the deadline has passed.
    pub(super) fn set_overdue(&self, words: &'static str) {
        self.shared.overdue.set(Some(words));
    }

    fn set_limit(&self, limit: Limit) {
        // A run whose deadline moves to a later time finds that out when the old one is over.
        if !self.shared.limit.replace(limit).is_followed_by(limit) {
            self.shared.runs().iter().for_each(|run| run.wake());
        }
    }
}

impl Shared {
    /// Cancels every run, the first time; a run that begins later is due from its beginning.
    /// Returns false if the scope was cancelled before.
    fn cancel(&self, cancelled: Cancelled) -> bool {
        let mut place = self.cancelled.borrow_mut();
        if place.is_some() {
            return false;
        }
        *place = Some(cancelled);
        drop(place);
        self.runs().iter().for_each(|run| run.cancel());
        true
    }

    fn expire(&self) {
        let overdue = self.overdue.get();
        let reason = overdue.unwrap_or("the deadline has passed").into();
        self.cancel(Cancelled { reason, by_deadline: overdue.is_none() });
    }

    fn runs(&self) -> Vec<Rc<Extent>> {
        self.runs.borrow().values().inspect(|_| step()).cloned().collect()
    }

    fn guard(&self) -> Guard {
        if self.shielded.get() { Guard::Shield } else { Guard::None }
    }

    /// The deadline, in the time of the loop that runs.
    fn deadline(&self, place: &'static Location<'static>) -> Option<Instant> {
        if let Limit::After(limit) = self.limit.get() {
            self.limit.set(Limit::after(limit));
        }
        match self.limit.get() {
            Limit::At(deadline) => Some(deadline),
            Limit::Never => None,
            Limit::After(_) => super::no_loop_for(CALL, place),
        }
    }
}

const CALL: &str = "mainspring::CancelScope::run";

/// A future that a scope runs by [`CALL`].
struct Run {
    shared: Rc<Shared>,
    /// The place of the call.
    place: &'static Location<'static>,
    number: u64,
    extent: Owned,
    alarm: Option<Alarm>,
}

struct Alarm {
    deadline: Instant,
    sleep: Sleep,
    /// The time is over, and the future gets one more turn.
    rang: bool,
}

impl Run {
    fn new(shared: Rc<Shared>, place: &'static Location<'static>) -> Run {
        let extent = Owned::new(shared.guard());
        if shared.cancelled.borrow().is_some() {
            extent.set_due();
        }
        let number = shared.next.replace(shared.next.get() + 1);
        shared.runs.borrow_mut().insert(number, extent.clone());
        Run { shared, place, number, extent, alarm: None }
    }

    fn poll<F: Future>(
        &mut self,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Cancelled>> {
        if self.is_over() {
            self.shared.expire();
        }
        if let Poll::Ready(output) = self.extent.enter(|| future.poll(cx)) {
            return Poll::Ready(Ok(output));
        }
        let cancelled = self.shared.cancelled.borrow().clone();
        if let Some(cancelled) = cancelled.filter(|_| self.extent.ends()) {
            return Poll::Ready(Err(cancelled));
        }
        self.extent.wait(cx.waker());
        self.watch_deadline(cx);
        Poll::Pending
    }

    /// Whether the deadline has passed, a turn ago, and is still the one.
    fn is_over(&self) -> bool {
        let rang = self.alarm.as_ref().is_some_and(|alarm| alarm.rang);
        rang && self.shared.deadline(self.place) == self.alarm.as_ref().map(|alarm| alarm.deadline)
    }

    fn watch_deadline(&mut self, cx: &mut Context<'_>) {
        let place = self.place;
        let Some(deadline) = self.shared.deadline(place).filter(|_| !self.extent.is_due()) else {
            self.alarm = None;
            return;
        };
        let alarm = self.alarm.take().filter(|alarm| alarm.deadline == deadline);
        let new = || {
            super::check_loop(CALL, place);
            Alarm { deadline, sleep: sleep_until(deadline), rang: false }
        };
        let alarm = self.alarm.insert(alarm.unwrap_or_else(new));
        if !alarm.rang && Pin::new(&mut alarm.sleep).poll(cx).is_ready() {
            // What others make ready in this same tick still counts.
            alarm.rang = true;
            cx.waker().wake_by_ref();
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let extent = self.shared.runs.borrow_mut().remove(&self.number);
        drop(extent);
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { limit, shielded, runs, .. } = &*self.shared;
        f.debug_struct("CancelScope")
            .field("reason", &self.reason())
            .field("limit", &limit.get())
            .field("shielded", &shielded.get())
            .field("runs", &runs.borrow().len())
            .finish()
    }
}

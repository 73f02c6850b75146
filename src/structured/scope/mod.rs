//! [`CancelScope`]: a part of a task that can be cancelled, with a reason, a deadline or a shield.
//!
//! # Invariants
//!
//! * The first reason stays; a scope that is cancelled remains cancelled.
//! * A scope ends only its own runs. A request to an outer scope is carried out by that scope,
//!   which drops this one with everything else inside it.

mod run;
mod state;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::run::Run;
use self::state::{Limit, ScopeState};
use crate::awaits::around;
use crate::task::{CancelReason, Cancelled, budget};

/// A part of a task that can be cancelled: by a clone of the scope, by its deadline, or by an outer
/// scope.
///
/// # Cancellation
///
/// In Rust a future is cancelled by dropping it, at an `await` where it waits. Its locals are
/// dropped, and nothing else runs: there is no error that code inside could catch. When a scope is
/// cancelled, its future is polled once more. If it is ready then, its output is returned. If it
/// still waits, it is dropped, and [`run`](CancelScope::run) returns [`Cancelled`] with the reason.
/// Code that does not wait therefore continues. In a scope that is already cancelled, a future runs
/// up to its first wait.
///
/// Scopes nest: an outer scope drops an inner one with everything else inside it, so no inner scope
/// can swallow the cancellation of an outer one. If both are cancelled, the outer one ends.
///
/// # Shields
///
/// A future cannot protect itself from being dropped. So a [shielded](CancelScope::shielded) scope
/// makes the regions around it wait, until it has ended: scopes, [`timeout`](crate::timeout)s,
/// [`TaskGroup`](crate::TaskGroup)s, and the [task](crate::Task::cancel) itself. Then they are
/// dropped at the next `await` that waits. A shield cannot prevent other drops: a `select!` or a
/// [`race`](crate::race) that drops its loser, the end of the loop. Code that must continue even
/// then belongs in a separate task: see [`shield`](crate::shield).
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
///     let minute = sleep(Duration::from_secs(60));
///     let task = mainspring::spawn(async move { other.run(minute).await });
///     scope.cancel("no longer needed");
///     assert_eq!(task.await?.unwrap_err().reason().to_string(), "no longer needed");
///     Ok::<(), mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CancelScope {
    state: Rc<ScopeState>,
}

impl CancelScope {
    /// Creates a scope without a deadline and without a shield.
    pub fn new() -> CancelScope {
        CancelScope::default()
    }

    /// Sets the scope's deadline.
    pub fn deadline(self, deadline: Instant) -> CancelScope {
        self.set_deadline(deadline);
        self
    }

    /// Sets the scope's deadline, counted from this call. Outside a running loop, it is counted
    /// from the first poll of the first run.
    pub fn timeout(self, limit: Duration) -> CancelScope {
        self.set_timeout(limit);
        self
    }

    /// Shields the scope: a cancellation from outside waits until the scope has ended.
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
    ///     task.cancel("the shield must end first");
    ///     task.await.map_err(drop)
    /// })?;
    /// assert_eq!(clock.elapsed(), Duration::from_secs(1));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn shielded(self) -> CancelScope {
        self.set_shielded(true);
        self
    }

    /// Runs `future` until it is complete or the scope is cancelled.
    ///
    /// A scope may run several futures, at the same time or one after the other; all are cancelled
    /// together. Dropping the returned future drops `future`.
    ///
    /// # Errors
    ///
    /// The returned future returns [`Cancelled`], even if the scope was cancelled before.
    ///
    /// # Panics
    ///
    /// If the scope has a deadline, the returned future panics outside a running loop. The message
    /// has the line of this call.
    #[track_caller]
    pub fn run<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Cancelled>> + use<F> {
        let (state, location) = (self.state.clone(), Location::caller());
        let body = async move {
            budget::step().await;
            let mut run = Run::new(state, location);
            let mut future = pin!(future);
            poll_fn(|cx| run.poll(future.as_mut(), cx)).await
        };
        around(|| "CancelScope::run", body)
    }

    /// Cancels the futures that the scope runs now or later. Returns false if it was already
    /// cancelled; the first reason then stays.
    ///
    /// ```
    /// let scope = mainspring::CancelScope::new();
    /// assert!(scope.cancel("the client has gone") && !scope.cancel("again"));
    /// assert!(scope.is_cancelled());
    /// assert_eq!(scope.reason().unwrap().as_str(), "the client has gone");
    /// ```
    pub fn cancel(&self, reason: impl Into<CancelReason>) -> bool {
        self.state.cancel(Cancelled::new(reason.into(), false))
    }

    /// Moves the deadline to an earlier or a later time, or removes it with `None`. It may be
    /// called while the scope runs. A cancelled scope stays cancelled.
    ///
    /// ```
    /// use mainspring::{CancelScope, Clock, EventLoop, sleep, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
    /// let scope = CancelScope::new().timeout(Duration::from_secs(1));
    /// scope.set_deadline(clock.now() + Duration::from_secs(3)); // more time is fine
    /// let ran = el.run_until_complete(scope.run(sleep(Duration::from_secs(2))))?;
    /// assert!(ran.is_ok());
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn set_deadline(&self, deadline: impl Into<Option<Instant>>) {
        self.set_limit(deadline.into().map_or(Limit::Never, Limit::At));
    }

    /// Returns true if the scope was cancelled. A future that it ran may still have completed.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.borrow().is_some()
    }

    /// Returns the reason of the cancellation, if the scope was cancelled.
    pub fn reason(&self) -> Option<CancelReason> {
        self.state.cancelled.borrow().as_ref().map(|cancelled| cancelled.reason().clone())
    }

    /// Turns the shield on or off. It may be called while the scope runs. A cancellation that
    /// arrived meanwhile takes effect when the shield is turned off.
    pub fn set_shielded(&self, shielded: bool) {
        self.state.shielded.set(shielded);
        self.state.runs().iter().for_each(|run| run.set_guard(self.state.guard()));
    }

    /// Like [`set_deadline`](CancelScope::set_deadline), counted from this call.
    pub(super) fn set_timeout(&self, limit: Duration) {
        self.set_limit(Limit::after(limit));
    }

    /// Sets the reason of a cancellation by the deadline. Then the cancellation does not count as
    /// one by a deadline, because the user has set none.
    pub(super) fn set_deadline_reason(&self, reason: &'static str) {
        self.state.deadline_reason.set(Some(reason));
    }

    fn set_limit(&self, limit: Limit) {
        // A later deadline needs no wake: the run checks it when the old one is over.
        if !self.state.limit.replace(limit).is_followed_by(limit) {
            self.state.runs().iter().for_each(|run| run.wake());
        }
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScopeState { limit, shielded, runs, .. } = &*self.state;
        f.debug_struct("CancelScope")
            .field("reason", &self.reason())
            .field("limit", &limit.get())
            .field("shielded", &shielded.get())
            .field("runs", &runs.borrow().len())
            .finish()
    }
}

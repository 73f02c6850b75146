//! [`Shutdown`]: the end of a service in two stages.
//!
//! # Invariant
//!
//! A tracked future is counted from the call of `track` until it is dropped.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::race::race;
use super::scope::CancelScope;
use crate::awaits::{around, located};
use crate::task::kept_wakers::{self, KeepsWakers};
use crate::task::{Cancelled, budget, foreign};

/// A two-stage shutdown. First drain: accept no new work and let running work finish. When the
/// drain time is over, cancel the rest.
///
/// All clones refer to the same shutdown. The code that accepts work uses
/// [`until_started`](Shutdown::until_started) or [`started`](Shutdown::started), and
/// [tracks](Shutdown::track) the work. A signal handler [begins](Shutdown::begin) the shutdown, and
/// the main task [finishes](Shutdown::finish) it. A service in [the
/// guide](crate::guide::async_anti_patterns) disconnects its idle clients when the drain begins.
///
/// ```
/// use mainspring::{EventLoop, Shutdown, ShutdownEnding, sleep, spawn, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let shutdown = Shutdown::new();
/// for seconds in [1, 5, 60] {
///     el.spawn(shutdown.track(sleep(Duration::from_secs(seconds)))).detach();
/// }
/// let signal = shutdown.clone(); // add_signal_handler(Signal::TERM, ..) in a service
/// el.call_later(Duration::from_secs(2), move |_, _| signal.begin(Duration::from_secs(10)));
/// let ending = el.run_until_complete(async move { shutdown.finish().await })?;
/// assert_eq!(ending, ShutdownEnding::Cancelled(1));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone)]
pub struct Shutdown {
    state: Rc<ShutdownState>,
}

struct ShutdownState {
    started: Cell<bool>,
    /// The scope of the tracked futures. Its deadline is the end of the drain time.
    scope: CancelScope,
    /// Number of tracked futures that exist.
    tracked: Cell<usize>,
    /// Number of guards that exist.
    guards: Cell<usize>,
    /// Number of tracked futures that were cancelled.
    cancelled: Cell<usize>,
    waiters: Waiters,
}

impl KeepsWakers for ShutdownState {
    fn for_each_waker(&self, visit: &mut dyn FnMut(&Waker)) {
        self.waiters.wakers.borrow().values().for_each(visit);
    }
}

/// The result of a [`Shutdown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShutdownEnding {
    /// All work finished within the drain time.
    Drained,
    /// The drain time expired first: this many futures were cancelled, or guards were left.
    Cancelled(usize),
}

impl Shutdown {
    /// Creates a shutdown that has not begun.
    pub fn new() -> Shutdown {
        let scope = CancelScope::new();
        scope.set_deadline_reason("the shutdown's time to drain is over");
        let count = || Cell::new(0);
        let (tracked, guards, cancelled) = (count(), count(), count());
        let (started, waiters) = (Cell::new(false), Waiters::default());
        let state = ShutdownState { started, scope, tracked, guards, cancelled, waiters };
        let state = Rc::new(state);
        kept_wakers::add_local(&state);
        Shutdown { state }
    }

    /// Begins the shutdown. Running work may continue for the time `drain`, counted from this call.
    /// Zero cancels it at once. A second call sets a new time.
    ///
    /// If no loop is running, the time is counted from the first poll that checks it.
    pub fn begin(&self, drain: Duration) {
        self.state.scope.set_timeout(drain);
        self.state.started.set(true);
        self.state.waiters.wake();
    }

    /// Returns true if the shutdown has begun.
    pub fn is_started(&self) -> bool {
        self.state.started.get()
    }

    /// Completes when the shutdown has begun. Cancel safe.
    pub fn started(&self) -> impl Future<Output = ()> + use<> {
        located(|| "started", self.until(|state| state.started.get()))
    }

    /// Runs `future` until the shutdown begins. Returns its output, or `None` if the shutdown began
    /// first; then `future` is dropped. It is not polled after the shutdown has begun, which makes
    /// this suitable for accepting work.
    ///
    /// ```
    /// use mainspring::{EventLoop, Shutdown};
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::new()?;
    /// let shutdown = Shutdown::new();
    /// assert_eq!(el.run_until_complete(shutdown.until_started(async { 1 }))?, Some(1));
    /// shutdown.begin(Duration::ZERO);
    /// assert_eq!(el.run_until_complete(shutdown.until_started(async { 1 }))?, None);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn until_started<F: Future>(&self, future: F) -> impl Future<Output = Option<F::Output>> {
        around(|| "until_started", async move {
            let started = async {
                self.started().await;
                None
            };
            race(started, async { Some(future.await) }).await
        })
    }

    /// Runs `future` as work of the service: the shutdown waits for it, and cancels it when the
    /// drain time is over. It is counted from this call, even if it is not polled.
    ///
    /// # Errors
    ///
    /// The returned future returns [`Cancelled`] if the shutdown has cancelled it.
    pub fn track<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Cancelled>> + use<F> {
        let counted = Counted::new(self, |state| &state.tracked);
        let run = self.state.scope.run(future);
        let tracked = async move {
            let state = &counted.state;
            let outcome = run.await;
            if outcome.is_err() {
                state.cancelled.set(state.cancelled.get() + 1);
            }
            // After the count of cancellations, which `finish` reads when `tracked` is zero.
            drop(counted);
            outcome
        };
        around(|| "track", tracked)
    }

    /// Returns a guard for work that is not a future, for example the connection of a callback. The
    /// shutdown waits until the guard is dropped or the drain time is over.
    ///
    /// ```
    /// let shutdown = mainspring::Shutdown::new();
    /// let guard = shutdown.guard();
    /// assert_eq!(shutdown.remaining(), 1);
    /// drop(guard);
    /// assert_eq!(shutdown.remaining(), 0);
    /// ```
    pub fn guard(&self) -> ShutdownGuard {
        ShutdownGuard { _counted: Counted::new(self, |state| &state.guards) }
    }

    /// Returns the number of tracked futures and guards that exist.
    pub fn remaining(&self) -> usize {
        self.state.tracked.get() + self.state.guards.get()
    }

    /// Waits until the shutdown has begun and all work has ended. All tracked futures have then
    /// been dropped. Guards may remain after the drain time.
    ///
    /// Cancel safe.
    pub fn finish(&self) -> impl Future<Output = ShutdownEnding> {
        located(|| "finish", async move {
            let state = &self.state;
            self.started().await;
            let drained = self.until(|state| state.tracked.get() + state.guards.get() == 0);
            if state.scope.run(drained).await.is_err() {
                self.until(|state| state.tracked.get() == 0).await;
            }
            match state.cancelled.get() + state.guards.get() {
                0 => ShutdownEnding::Drained,
                count => ShutdownEnding::Cancelled(count),
            }
        })
    }

    fn until(&self, condition: fn(&ShutdownState) -> bool) -> impl Future<Output = ()> + use<> {
        let state = self.state.clone();
        async move {
            budget::step().await;
            let waiter = Waiter::new(&state.waiters);
            poll_fn(|cx| if condition(&state) { Poll::Ready(()) } else { waiter.wait(cx) }).await;
        }
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("started", &self.is_started())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// Work that a shutdown waits for, from [`Shutdown::guard`].
#[must_use = "the shutdown waits for the guard only until it is dropped"]
pub struct ShutdownGuard {
    _counted: Counted,
}

impl fmt::Debug for ShutdownGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShutdownGuard")
    }
}

/// A tracked future or a guard: counted until it is dropped.
struct Counted {
    state: Rc<ShutdownState>,
    count: fn(&ShutdownState) -> &Cell<usize>,
}

impl Counted {
    fn new(shutdown: &Shutdown, count: fn(&ShutdownState) -> &Cell<usize>) -> Counted {
        let state = shutdown.state.clone();
        count(&state).set(count(&state).get() + 1);
        Counted { state, count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let count = (self.count)(&self.state);
        count.set(count.get() - 1);
        if count.get() == 0 && self.state.started.get() {
            self.state.waiters.wake();
        }
    }
}

/// Futures that wait for the state to change.
#[derive(Default)]
struct Waiters {
    wakers: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Waiters {
    /// Wakes all, with nothing borrowed.
    fn wake(&self) {
        let wakers = self.wakers.take();
        wakers.into_values().for_each(foreign::wake);
    }
}

/// A future that waits. Dropping it removes its waker.
struct Waiter<'a> {
    waiters: &'a Waiters,
    number: u64,
}

impl Waiter<'_> {
    fn new(waiters: &Waiters) -> Waiter<'_> {
        Waiter { waiters, number: waiters.next.replace(waiters.next.get() + 1) }
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        let waker = cx.waker().clone();
        let old = self.waiters.wakers.borrow_mut().insert(self.number, waker);
        foreign::discard(old);
        Poll::Pending
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let waker = self.waiters.wakers.borrow_mut().remove(&self.number);
        foreign::discard(waker);
    }
}

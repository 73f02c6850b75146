//! Shutting down in two stages: what goes on may end by itself for a while, and is cancelled then.
//!
//! # Invariant
//!
//! What is tracked is counted from the call that tracks it until it is dropped.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::budget;
use super::combine::race;
use super::foreign;
use super::scope::{CancelScope, Cancelled};

/// The end of a service, in two stages: first it drains, which is to take on nothing new and to end
/// what goes on; what is left when the time for that is over is cancelled.
///
/// A clone is the same shutdown. Whoever accepts work asks [`until_started`](Shutdown::until_started)
/// or [`started`](Shutdown::started); the work is [tracked](Shutdown::track);
/// a signal handler [begins](Shutdown::begin); the main task [finishes](Shutdown::finish).
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
    shared: Rc<Shared>,
}

struct Shared {
    started: Cell<bool>,
    /// What the tracked futures run in; its deadline is the end of the draining.
    scope: CancelScope,
    /// How many futures are tracked.
    tracked: Cell<usize>,
    guards: Cell<usize>,
    /// How many futures were cancelled.
    cancelled: Cell<usize>,
    waiters: Waiters,
}

/// How a [`Shutdown`] has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownEnding {
    /// Everything has ended by itself.
    Drained,
    /// So many futures were cancelled, or guards were left.
    Cancelled(usize),
}

impl Shutdown {
    /// A shutdown that has not begun.
    pub fn new() -> Shutdown {
        let scope = CancelScope::new();
        scope.set_overdue("the shutdown's time to drain is over");
        let count = || Cell::new(0);
        let (tracked, guards, cancelled) = (count(), count(), count());
        let (started, waiters) = (Cell::new(false), Waiters::default());
        let shared = Shared { started, scope, tracked, guards, cancelled, waiters };
        Shutdown { shared: Rc::new(shared) }
    }

    /// Begins to shut down: for `drain`, counted from this call, what goes on may end by itself.
    /// Called again, it sets that time anew; zero cancels at once.
    ///
    /// Where no loop runs, the time is counted from when a loop first looks at it.
    pub fn begin(&self, drain: Duration) {
        self.shared.scope.set_timeout(drain);
        self.shared.started.set(true);
        self.shared.waiters.wake();
    }

    /// Whether it has begun.
    pub fn is_started(&self) -> bool {
        self.shared.started.get()
    }

    /// Completes when it has begun.
    pub fn started(&self) -> impl Future<Output = ()> + use<> {
        self.until(|shared| shared.started.get())
    }

    /// Gives the output of `future`, or nothing if the shutdown begins first, which drops the
    /// future. When it has begun the future is not polled any more: for the loop that accepts.
    pub async fn until_started<F: Future>(&self, future: F) -> Option<F::Output> {
        let started = async {
            self.started().await;
            None
        };
        race(started, async { Some(future.await) }).await
    }

    /// Runs `future`, which the shutdown waits for, and cancels when the time to drain is over. It
    /// counts from this call, polled or not.
    ///
    /// # Errors
    ///
    /// The future gives [`Cancelled`] if it was.
    pub fn track<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Cancelled>> + use<F> {
        let counted = Counted::new(self, |shared| &shared.tracked);
        let run = self.shared.scope.run(future);
        async move {
            let shared = &counted.shared;
            let outcome = run.await;
            if outcome.is_err() {
                shared.cancelled.set(shared.cancelled.get() + 1);
            }
            drop(counted);
            outcome
        }
    }

    /// Something that the shutdown waits for, until it is dropped or the time to drain is over: work
    /// that is no future, a callback's connection for example.
    pub fn guard(&self) -> ShutdownGuard {
        ShutdownGuard { _counted: Counted::new(self, |shared| &shared.guards) }
    }

    /// How many tracked futures and guards there are.
    pub fn remaining(&self) -> usize {
        self.shared.tracked.get() + self.shared.guards.get()
    }

    /// Waits until it has begun and everything has ended, by itself or cancelled. Tracked futures
    /// are gone then; guards are not waited for any longer than the time to drain.
    pub async fn finish(&self) -> ShutdownEnding {
        let shared = &self.shared;
        self.started().await;
        let drained = self.until(|shared| shared.tracked.get() + shared.guards.get() == 0);
        if shared.scope.run(drained).await.is_err() {
            self.until(|shared| shared.tracked.get() == 0).await;
        }
        match shared.cancelled.get() + shared.guards.get() {
            0 => ShutdownEnding::Drained,
            count => ShutdownEnding::Cancelled(count),
        }
    }

    fn until(&self, is_so: fn(&Shared) -> bool) -> impl Future<Output = ()> + use<> {
        let shared = self.shared.clone();
        async move {
            budget::step().await;
            let waiter = Waiter::new(&shared.waiters);
            poll_fn(|cx| if is_so(&shared) { Poll::Ready(()) } else { waiter.wait(cx) }).await;
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

/// What [`Shutdown::guard`] makes.
#[must_use = "the shutdown waits for the guard only as long as it lives"]
pub struct ShutdownGuard {
    _counted: Counted,
}

impl fmt::Debug for ShutdownGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShutdownGuard")
    }
}

/// One of those that are waited for.
struct Counted {
    shared: Rc<Shared>,
    count: fn(&Shared) -> &Cell<usize>,
}

impl Counted {
    fn new(shutdown: &Shutdown, count: fn(&Shared) -> &Cell<usize>) -> Counted {
        let shared = shutdown.shared.clone();
        count(&shared).set(count(&shared).get() + 1);
        Counted { shared, count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let count = (self.count)(&self.shared);
        count.set(count.get() - 1);
        if count.get() == 0 && self.shared.started.get() {
            self.shared.waiters.wake();
        }
    }
}

/// Those who wait for something to change.
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

/// One of those who wait, until it is dropped.
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

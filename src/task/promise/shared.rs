//! The state that a promise and its future share.
//!
//! | state | set by |
//! |---|---|
//! | `Unset` | creation |
//! | `Notifying` | a result, while done-callbacks see it |
//! | `Set`, `Failed` | a result that all done-callbacks have seen |
//! | `Taken` | an await that has returned the result, or a dropped future |
//!
//! # Invariant
//!
//! A waiter sees the result after all done-callbacks have seen it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::task::Waker;
use std::thread;

use crate::error::{Error, Result};
use crate::event_loop::{Report, ReportKind, print_outside};
use crate::handle::Key;
use crate::task::{current, foreign};

/// State of both sides. There may be a million of them, so state that most do not have is boxed.
pub(super) struct Shared<T: 'static> {
    /// The loop of `waiter`, which also gets the report of a failure; [`NO_LOOP`] before a wait.
    pub(super) loop_id: Cell<u32>,
    /// Key of the waiting task; [`Key::NONE`] if no task waits.
    waiter: Cell<Key>,
    state: Cell<State<T>>,
    rare: Cell<Option<Box<RareState<T>>>>,
}

const _: () = assert!(size_of::<Shared<()>>() == 24);

/// The loop of a promise that no task has waited for.
const NO_LOOP: u32 = u32::MAX;

enum State<T> {
    Unset,
    /// Done-callbacks are seeing the result, which is in a [`Notifying`].
    Notifying,
    Set(T),
    /// The error is in the [`RareState`].
    Failed,
    /// The result was returned, or the future was dropped.
    Taken,
}

type Outcome<T> = Result<T, Box<Failure>>;

/// An error, and the line that set it.
pub(super) struct Failure {
    pub(super) error: Error,
    location: &'static Location<'static>,
    /// True if a done-callback has seen it.
    seen: bool,
}

impl Failure {
    #[track_caller]
    pub(super) fn new(error: Error) -> Box<Failure> {
        Box::new(Failure { error, location: Location::caller(), seen: false })
    }

    /// Reports the error to the loop `loop_id`, or the running one, or on standard error.
    pub(super) fn report_unless_seen(self, loop_id: u32) {
        let Failure { error, location, seen } = self;
        if seen || matches!(error, Error::Abandoned) {
            return;
        }
        let report = Report { kind: ReportKind::Promise, error, location, name: None };
        match current::find(loop_id).or_else(current::running) {
            Some(tasks) => tasks.report(report),
            None => print_outside(&report),
        }
    }
}

struct RareState<T> {
    /// Waker of a task that waits outside a running loop.
    waker: Option<Waker>,
    callbacks: VecDeque<DoneCallback<T>>,
    failure: Option<Box<Failure>>,
}

impl<T> Default for RareState<T> {
    fn default() -> RareState<T> {
        RareState { waker: None, callbacks: VecDeque::new(), failure: None }
    }
}

/// A done-callback, and the line that added it.
type DoneCallback<T> = (Callback<T>, &'static Location<'static>);
type Callback<T> = Box<dyn FnOnce(Result<&T, &Error>)>;

impl<T> Shared<T> {
    pub(super) fn new() -> Shared<T> {
        let (loop_id, waiter) = (Cell::new(NO_LOOP), Cell::new(Key::NONE));
        Shared { loop_id, waiter, state: Cell::new(State::Unset), rare: Cell::new(None) }
    }

    pub(super) fn is_unset(&self) -> bool {
        self.check_state(|state| matches!(state, State::Unset))
    }

    pub(super) fn is_set(&self) -> bool {
        !self.check_state(|state| matches!(state, State::Unset | State::Notifying))
    }

    fn check_state(&self, check: impl FnOnce(&State<T>) -> bool) -> bool {
        let state = self.state.replace(State::Taken);
        let checked = check(&state);
        self.state.set(state);
        checked
    }

    /// Takes the result, if all done-callbacks have seen it.
    #[inline]
    pub(super) fn take(&self) -> Option<Outcome<T>> {
        match self.state.replace(State::Taken) {
            State::Set(result) => Some(Ok(result)),
            State::Failed => self.with_rare(|rare| rare.failure.take()).map(Err),
            other => {
                self.state.set(other);
                None
            }
        }
    }

    fn with_rare<R>(&self, change: impl FnOnce(&mut RareState<T>) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = change(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    pub(super) fn add_done_callback(self: &Rc<Self>, callback: DoneCallback<T>) {
        let result = self.take();
        if result.is_none() && self.is_set() {
            return; // It was taken: there is nothing to see.
        }
        self.with_rare(|rare| rare.callbacks.push_back(callback));
        if let Some(result) = result {
            self.run_callbacks(result);
        }
    }

    #[inline]
    pub(super) fn wait(&self, waker: &Waker) {
        let Some(tasks) = current::running() else {
            let waker = waker.clone();
            let old = self.with_rare(|rare| rare.waker.replace(waker));
            return foreign::discard(old);
        };
        if tasks.loop_id() != self.loop_id.get() {
            self.forget_waiter();
            self.loop_id.set(tasks.loop_id());
        }
        tasks.wait(&self.waiter, waker);
    }

    pub(super) fn forget_waiter(&self) {
        let waiter = self.waiter.replace(Key::NONE);
        if waiter != Key::NONE
            && let Some(tasks) = current::find(self.loop_id.get())
        {
            tasks.forget_waiter(waiter);
        }
    }

    /// Sets the result, the first time.
    #[inline]
    pub(super) fn resolve(self: &Rc<Self>, result: Outcome<T>) {
        if !self.is_unset() {
            return;
        }
        // Most promises have no rare state: the result goes straight to the waiter.
        match self.rare.take() {
            None => self.complete(result),
            rare => {
                self.rare.set(rare);
                self.run_callbacks(result);
            }
        }
    }

    /// Passes the result to the done-callbacks, and then to the waiter.
    #[cold]
    fn run_callbacks(self: &Rc<Self>, result: Outcome<T>) {
        self.state.set(State::Notifying);
        drop(Notifying { shared: self.clone(), result: Some(result) });
    }

    /// Stores the result for the waiter, and wakes it.
    #[inline]
    fn complete(&self, result: Outcome<T>) {
        match result {
            Ok(result) => self.state.set(State::Set(result)),
            Err(failure) => {
                self.with_rare(|rare| rare.failure = Some(failure));
                self.state.set(State::Failed);
            }
        }
        let waiter = self.waiter.replace(Key::NONE);
        if waiter != Key::NONE
            && let Some(tasks) = current::find(self.loop_id.get())
        {
            tasks.wake(waiter);
        }
        self.wake_foreign();
    }

    #[inline]
    fn wake_foreign(&self) {
        if let Some(mut rare) = self.rare.take() {
            let waker = rare.waker.take();
            self.rare.set(Some(rare));
            if let Some(waker) = waker {
                foreign::wake(waker);
            }
        }
    }
}

/// A result that the done-callbacks see, one in each tick, before the waiter does. Dropping this
/// passes the result on to the next callback, so a callback that panics does not stop it.
struct Notifying<T: 'static> {
    shared: Rc<Shared<T>>,
    result: Option<Outcome<T>>,
}

impl<T> Notifying<T> {
    fn next(&self) -> Option<DoneCallback<T>> {
        self.shared.with_rare(|rare| rare.callbacks.pop_front())
    }

    fn run(&mut self, callback: Callback<T>) {
        if let Some(Err(failure)) = &mut self.result {
            failure.seen = true;
        }
        if let Some(result) = &self.result {
            callback(result.as_ref().map_err(|failure| &failure.error));
        }
    }

    /// Runs all callbacks at once, where no loop has a deque for them. The first panic unwinds to
    /// the caller after the last callback.
    fn run_all(&mut self) {
        let mut panic = None;
        while let Some((callback, _)) = self.next() {
            let ran = catch_unwind(AssertUnwindSafe(|| self.run(callback)));
            panic = panic.or(ran.err());
        }
        self.complete();
        if let Some(payload) = panic.filter(|_| !thread::panicking()) {
            resume_unwind(payload);
        }
    }

    fn complete(&mut self) {
        if let Some(result) = self.result.take() {
            self.shared.complete(result);
        }
    }
}

impl<T> Drop for Notifying<T> {
    fn drop(&mut self) {
        if self.result.is_none() {
            return;
        }
        match current::find(self.shared.loop_id.get()).or_else(current::running) {
            None => self.run_all(),
            // The deque of a closed loop never runs: the callbacks are dropped.
            Some(tasks) if tasks.core.closed.get() => {
                while self.next().is_some() {}
                self.complete();
            }
            Some(tasks) => match self.next() {
                None => self.complete(),
                Some((callback, location)) => {
                    // A task for each callback, so that other callbacks run in between.
                    let mut rest =
                        Notifying { shared: self.shared.clone(), result: self.result.take() };
                    let key = tasks.spawn(async move { rest.run(callback) }, location);
                    tasks.detach(key, Key::NONE);
                }
            },
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // An error that was set after the future was dropped.
        if let Some(Err(failure)) = self.take() {
            failure.report_unless_seen(self.loop_id.get());
        }
    }
}

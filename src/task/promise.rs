//! Promises: a result that is set once, by a callback, for a future that waits for it.
//!
//! This is how the callback layer becomes awaitable: keep the [`Promise`] in the callback, await the
//! [`Promised`].
//!
//! # Invariant
//!
//! The result becomes visible to whoever waits after all done-callbacks have seen it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;

use super::{budget, current, foreign};
use crate::error::{Error, Result};
use crate::event_loop::{Report, ReportKind, print_outside};
use crate::handle::Key;

/// The side of a result that sets it, once; [`promise`] creates both sides. If it is dropped unset,
/// the waiter gets [`Error::Abandoned`].
#[must_use = "a promise that is dropped is abandoned"]
pub struct Promise<T: 'static> {
    shared: Rc<Shared<T>>,
}

/// The future of a [`Promise`].
///
/// It gives [`Error::Abandoned`] if the promise was dropped unset. An error that was set and that
/// nobody has awaited goes to the exception handler when this is dropped.
#[must_use = "futures do nothing unless awaited"]
pub struct Promised<T: 'static> {
    shared: Rc<Shared<T>>,
}

/// What both sides share. There may be a million of them, so whatever most do not have is in a box.
struct Shared<T: 'static> {
    /// The loop of `task`, and the one to tell if nobody takes a failure.
    loop_id: Cell<u32>,
    /// The task that waits.
    task: Cell<Key>,
    state: Cell<State<T>>,
    others: Cell<Option<Box<Others<T>>>>,
}

const _: () = assert!(size_of::<Shared<()>>() == 24);

/// The loop_id of a promise that no task has waited for.
const NO_LOOP: u32 = u32::MAX;

enum State<T> {
    Unset,
    /// The done-callbacks are seeing it.
    Shown,
    Set(T),
    /// Why is with the others.
    Failed,
    /// It was given away, or nobody wants it.
    Taken,
}

type Settled<T> = Result<T, Box<Failure>>;

/// An error, where it was set, and whether anybody knows of it.
struct Failure {
    error: Error,
    location: &'static Location<'static>,
    seen: bool,
}

impl Failure {
    #[track_caller]
    fn new(error: Error) -> Box<Failure> {
        Box::new(Failure { error, location: Location::caller(), seen: false })
    }

    fn report_unless_seen(self, loop_id: u32) {
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

struct Others<T> {
    /// Somebody who waits where no loop runs.
    waker: Option<Waker>,
    callbacks: VecDeque<Added<T>>,
    failure: Option<Box<Failure>>,
}

impl<T> Default for Others<T> {
    fn default() -> Others<T> {
        Others { waker: None, callbacks: VecDeque::new(), failure: None }
    }
}

/// A done-callback, and where it was added.
type Added<T> = (DoneCallback<T>, &'static Location<'static>);
type DoneCallback<T> = Box<dyn FnOnce(Result<&T, &Error>)>;

/// Creates a promise and its future, for one result.
///
/// ```
/// use mainspring::{EventLoop, promise};
/// use std::time::Duration;
///
/// let mut el = EventLoop::new()?;
/// let (promise, promised) = promise();
/// el.call_later(Duration::from_millis(1), |_, _| promise.set_result("done"));
/// assert_eq!(el.run_until_complete(promised)??, "done");
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn promise<T: 'static>() -> (Promise<T>, Promised<T>) {
    let (loop_id, task) = (Cell::new(NO_LOOP), Cell::new(Key::NOWHERE));
    let (state, others) = (Cell::new(State::Unset), Cell::new(None));
    let shared = Rc::new(Shared { loop_id, task, state, others });
    (Promise { shared: shared.clone() }, Promised { shared })
}

impl<T: 'static> Promise<T> {
    /// Sets the result, and wakes whoever waits for it.
    pub fn set_result(self, result: T) {
        self.shared.settle(Ok(result));
    }

    /// Sets an error instead. If nobody is there to see it, it goes to the exception handler.
    #[track_caller]
    pub fn set_error(self, error: impl Into<Error>) {
        self.shared.settle(Err(Failure::new(error.into())));
    }

    /// Whether nobody waits any more.
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.shared) == 1
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if self.shared.is(|state| matches!(state, State::Unset)) {
            self.shared.settle(Err(Failure::new(Error::Abandoned)));
        }
    }
}

impl<T> Promised<T> {
    /// Calls `callback` with the result when it is set: through the ready deque, in the order in
    /// which callbacks were added, exactly once. Whoever awaits gets the result after them.
    ///
    /// The deque is that of the loop whose task waits here, or else of the loop that runs; a loop
    /// that is closed drops the callback. Where there is no loop the callback runs at once.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(Result<&T, &Error>) + 'static) {
        let result = self.shared.take();
        if result.is_none() && self.is_set() {
            return;
        }
        let added: Added<T> = (Box::new(callback), Location::caller());
        self.shared.with_others(|others| others.callbacks.push_back(added));
        if let Some(result) = result {
            self.shared.show(result);
        }
    }

    /// Whether the result is there.
    pub fn is_set(&self) -> bool {
        !self.shared.is(|state| matches!(state, State::Unset | State::Shown))
    }
}

impl<T> Future for Promised<T> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        budget::metered(cx, |cx| match self.shared.take() {
            Some(result) => Poll::Ready(result.map_err(|failure| failure.error)),
            None if self.is_set() => Poll::Ready(Err(Error::Abandoned)),
            None => {
                self.shared.wait(cx.waker());
                Poll::Pending
            }
        })
    }
}

impl<T> Drop for Promised<T> {
    fn drop(&mut self) {
        self.shared.forget_waiter();
        // A result that nobody wants is dropped here, with nothing borrowed.
        if let Some(Err(failure)) = self.shared.take() {
            failure.report_unless_seen(self.shared.loop_id.get());
        }
    }
}

impl<T> Shared<T> {
    fn is(&self, asked: impl FnOnce(&State<T>) -> bool) -> bool {
        let state = self.state.replace(State::Taken);
        let answer = asked(&state);
        self.state.set(state);
        answer
    }

    /// The result, if it is there: once.
    #[inline]
    fn take(&self) -> Option<Settled<T>> {
        match self.state.replace(State::Taken) {
            State::Set(result) => Some(Ok(result)),
            State::Failed => self.with_others(|others| others.failure.take()).map(Err),
            other => {
                self.state.set(other);
                None
            }
        }
    }

    fn with_others<R>(&self, change: impl FnOnce(&mut Others<T>) -> R) -> R {
        let mut others = self.others.take().unwrap_or_default();
        let result = change(&mut others);
        self.others.set(Some(others));
        result
    }

    #[inline]
    fn wait(&self, waker: &Waker) {
        let Some(tasks) = current::running() else {
            let waker = waker.clone();
            let old = self.with_others(|others| others.waker.replace(waker));
            return foreign::discard(old);
        };
        if tasks.loop_id() != self.loop_id.get() {
            self.forget_waiter();
            self.loop_id.set(tasks.loop_id());
        }
        tasks.wait(&self.task, waker);
    }

    /// Nobody waits any more.
    fn forget_waiter(&self) {
        let task = self.task.replace(Key::NOWHERE);
        if task != Key::NOWHERE
            && let Some(tasks) = current::find(self.loop_id.get())
        {
            tasks.forget_waiter(task);
        }
    }

    /// The result is known; only the first time.
    #[inline]
    fn settle(self: &Rc<Self>, result: Settled<T>) {
        if !self.is(|state| matches!(state, State::Unset)) {
            return;
        }
        match self.others.take() {
            None => self.publish(result),
            others => {
                self.others.set(others);
                self.show(result);
            }
        }
    }

    /// Shows the result to the done-callbacks, and then to whoever waits.
    #[cold]
    fn show(self: &Rc<Self>, result: Settled<T>) {
        self.state.set(State::Shown);
        drop(Showing { shared: self.clone(), result: Some(result) });
    }

    /// The result is there for whoever waits.
    #[inline]
    fn publish(&self, result: Settled<T>) {
        match result {
            Ok(result) => self.state.set(State::Set(result)),
            Err(failure) => {
                self.with_others(|others| others.failure = Some(failure));
                self.state.set(State::Failed);
            }
        }
        let task = self.task.replace(Key::NOWHERE);
        if task != Key::NOWHERE
            && let Some(tasks) = current::find(self.loop_id.get())
        {
            tasks.wake(task);
        }
        self.wake_foreign();
    }

    #[inline]
    fn wake_foreign(&self) {
        if let Some(mut others) = self.others.take() {
            let waker = others.waker.take();
            self.others.set(Some(others));
            if let Some(waker) = waker {
                foreign::wake(waker);
            }
        }
    }
}

/// A result on its way past the done-callbacks, one a turn, and then to whoever waits. It goes on
/// when it is dropped, so also after a callback that panicked.
struct Showing<T: 'static> {
    shared: Rc<Shared<T>>,
    result: Option<Settled<T>>,
}

impl<T> Showing<T> {
    fn next(&self) -> Option<Added<T>> {
        self.shared.with_others(|others| others.callbacks.pop_front())
    }

    fn show(&mut self, callback: DoneCallback<T>) {
        if let Some(Err(failure)) = &mut self.result {
            failure.seen = true;
        }
        if let Some(result) = &self.result {
            callback(result.as_ref().map_err(|failure| &failure.error));
        }
    }

    /// Where there is no deque. The first panic is the caller's, when all is done.
    fn show_all(&mut self) {
        let mut panic = None;
        while let Some((callback, _)) = self.next() {
            let shown = catch_unwind(AssertUnwindSafe(|| self.show(callback)));
            panic = panic.or(shown.err());
        }
        self.publish();
        if let Some(payload) = panic.filter(|_| !thread::panicking()) {
            resume_unwind(payload);
        }
    }

    fn publish(&mut self) {
        if let Some(result) = self.result.take() {
            self.shared.publish(result);
        }
    }
}

impl<T> Drop for Showing<T> {
    fn drop(&mut self) {
        if self.result.is_none() {
            return;
        }
        match current::find(self.shared.loop_id.get()).or_else(current::running) {
            None => self.show_all(),
            Some(tasks) if tasks.core.closed.get() => {
                while self.next().is_some() {}
                self.publish();
            }
            Some(tasks) => match self.next() {
                None => self.publish(),
                Some((callback, location)) => {
                    let mut rest =
                        Showing { shared: self.shared.clone(), result: self.result.take() };
                    let key = tasks.spawn(async move { rest.show(callback) }, location);
                    tasks.detach(key, Key::NOWHERE);
                }
            },
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Set after the one who was to take it had gone.
        if let Some(Err(failure)) = self.take() {
            failure.report_unless_seen(self.loop_id.get());
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Promised<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promised").field("set", &self.is_set()).finish()
    }
}

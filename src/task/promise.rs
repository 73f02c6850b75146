//! Promises: a result that is set once, by a callback, for a future that waits for it.
//!
//! This is how the callback layer becomes awaitable: keep the [`Promise`] in the callback, await the
//! [`Promised`].
//!
//! # Invariant
//!
//! The result becomes visible to whoever waits after all done-callbacks have seen it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::current;
use crate::error::{Error, Result};
use crate::event_loop::{Kind, Report};
use crate::handle::Key;

/// A result that is set once: the side that sets it. Dropped before that, it is abandoned.
///
/// ```
/// use mainspring::{EventLoop, Promise};
/// use std::time::Duration;
///
/// let mut el = EventLoop::new()?;
/// let (promise, promised) = Promise::new();
/// el.call_later(Duration::from_millis(1), |_, _| promise.set_result("done"));
/// assert_eq!(el.run_until_complete(promised)??, "done");
/// # Ok::<(), mainspring::Error>(())
/// ```
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
    home: Cell<u32>,
    /// The task that waits.
    task: Cell<Key>,
    state: Cell<State<T>>,
    others: Cell<Option<Box<Others<T>>>>,
}

const _: () = assert!(size_of::<Shared<()>>() == 24);

enum State<T> {
    Unset,
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

    fn report_unless_seen(self, home: u32) {
        let Failure { error, location, seen } = self;
        if seen || matches!(error, Error::Abandoned) {
            return;
        }
        let report = Report { kind: Kind::Promise, error, location, name: None };
        match current::find(home).or_else(current::running) {
            Some(tasks) => tasks.report(report),
            None => eprintln!("mainspring: {report}"),
        }
    }
}

struct Others<T> {
    /// Somebody who waits where no loop runs.
    waker: Option<Waker>,
    callbacks: Vec<Added<T>>,
    failure: Option<Box<Failure>>,
}

impl<T> Default for Others<T> {
    fn default() -> Others<T> {
        Others { waker: None, callbacks: Vec::new(), failure: None }
    }
}

/// A done-callback, and where it was added.
type Added<T> = (DoneCallback<T>, &'static Location<'static>);
type DoneCallback<T> = Box<dyn FnOnce(Result<&T, &Error>)>;

impl<T: 'static> Promise<T> {
    /// A promise, and its future.
    pub fn new() -> (Promise<T>, Promised<T>) {
        let (home, task) = (Cell::new(0), Cell::new(Key::NOWHERE));
        let (state, others) = (Cell::new(State::Unset), Cell::new(None));
        let shared = Rc::new(Shared { home, task, state, others });
        (Promise { shared: shared.clone() }, Promised { shared })
    }

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
        if self.shared.is_unset() {
            self.shared.settle(Err(Failure::new(Error::Abandoned)));
        }
    }
}

impl<T> Promised<T> {
    /// Calls `callback` with the result when it is set: through the ready deque, in the order in
    /// which callbacks were added, exactly once. Whoever awaits gets the result after them.
    ///
    /// The deque is that of the loop that runs, or else of the one that ran when a task last waited
    /// here. Where there is none the callback runs at once.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(Result<&T, &Error>) + 'static) {
        let added: Added<T> = (Box::new(callback), Location::caller());
        if !self.is_set() {
            return self.shared.with_others(|others| others.callbacks.push(added));
        }
        if let Some(result) = self.shared.take() {
            self.shared.state.set(State::Unset);
            let (shared, result) = (self.shared.clone(), Some(result));
            drop(Showing { shared, result, callbacks: vec![added] });
        }
    }

    /// Whether the result is there.
    pub fn is_set(&self) -> bool {
        !self.shared.is_unset()
    }
}

impl<T> Future for Promised<T> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        match self.shared.take() {
            Some(result) => Poll::Ready(result.map_err(|failure| failure.error)),
            None if self.shared.is_unset() => {
                self.shared.wait(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(Err(Error::Abandoned)),
        }
    }
}

impl<T> Drop for Promised<T> {
    fn drop(&mut self) {
        self.shared.forget_waiter();
        // A result that nobody wants is dropped here, with nothing borrowed.
        if let Some(Err(failure)) = self.shared.take() {
            failure.report_unless_seen(self.shared.home.get());
        }
    }
}

impl<T> Shared<T> {
    fn is_unset(&self) -> bool {
        let state = self.state.replace(State::Taken);
        let unset = matches!(state, State::Unset);
        self.state.set(state);
        unset
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
            return drop(old);
        };
        if tasks.home() != self.home.get() {
            self.forget_waiter();
            self.home.set(tasks.home());
        }
        tasks.wait(&self.task, waker);
    }

    /// Nobody waits any more.
    fn forget_waiter(&self) {
        let task = self.task.replace(Key::NOWHERE);
        if task != Key::NOWHERE
            && let Some(tasks) = current::find(self.home.get())
        {
            tasks.forget_waiter(task);
        }
    }

    /// Shows the result to the done-callbacks, and then to whoever waits; only the first time.
    #[inline]
    fn settle(self: &Rc<Self>, result: Settled<T>) {
        if !self.is_unset() {
            return;
        }
        match self.others.take() {
            None => self.publish(result),
            Some(mut others) => {
                let mut callbacks = mem::take(&mut others.callbacks);
                callbacks.reverse();
                self.others.set(Some(others));
                drop(Showing { shared: self.clone(), result: Some(result), callbacks });
            }
        }
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
            && let Some(tasks) = current::find(self.home.get())
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
                waker.wake();
            }
        }
    }
}

/// A result on its way past the done-callbacks, one a turn, and then to whoever waits. It goes on
/// when it is dropped, so also after a callback that panicked.
struct Showing<T: 'static> {
    shared: Rc<Shared<T>>,
    result: Option<Settled<T>>,
    /// Those that have not seen it, the next one last.
    callbacks: Vec<Added<T>>,
}

impl<T> Showing<T> {
    fn show(mut self, callback: DoneCallback<T>) {
        if let Some(Err(failure)) = &mut self.result {
            failure.seen = true;
        }
        if let Some(result) = &self.result {
            callback(result.as_ref().map_err(|failure| &failure.error));
        }
    }
}

impl<T> Drop for Showing<T> {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else { return };
        let Some((callback, location)) = self.callbacks.pop() else {
            return self.shared.publish(result);
        };
        let (shared, callbacks) = (self.shared.clone(), mem::take(&mut self.callbacks));
        let home = shared.home.get();
        let rest = Showing { shared, result: Some(result), callbacks };
        match current::find(home).or_else(current::running) {
            Some(tasks) => {
                let key = tasks.spawn(async move { rest.show(callback) }, location);
                tasks.detach(key);
            }
            None => rest.show(callback),
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Set after the one who was to take it had gone.
        if let Some(Err(failure)) = self.take() {
            failure.report_unless_seen(self.home.get());
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

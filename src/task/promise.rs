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

struct Shared<T: 'static> {
    state: Cell<State<T>>,
}

enum State<T: 'static> {
    Unset(Waiting<T>),
    /// The result, and the loop to tell if nobody takes it.
    Set(Settled<T>, u32),
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

/// Who waits, in three words: there may be a million of them.
struct Waiting<T: 'static> {
    /// The loop of `task`.
    home: u32,
    task: Key,
    others: Option<Box<Others<T>>>,
}

/// What most promises do not have.
struct Others<T> {
    /// Somebody who waits where no loop runs.
    waker: Option<Waker>,
    callbacks: Vec<Added<T>>,
}

impl<T> Default for Others<T> {
    fn default() -> Others<T> {
        Others { waker: None, callbacks: Vec::new() }
    }
}

/// A done-callback, and where it was added.
type Added<T> = (DoneCallback<T>, &'static Location<'static>);
type DoneCallback<T> = Box<dyn FnOnce(Result<&T, &Error>)>;

impl<T: 'static> Promise<T> {
    /// A promise, and its future.
    pub fn new() -> (Promise<T>, Promised<T>) {
        let waiting = Waiting { home: 0, task: Key::NOWHERE, others: None };
        let shared = Rc::new(Shared { state: Cell::new(State::Unset(waiting)) });
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
        self.shared.settle(Err(Failure::new(Error::Abandoned)));
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
        match self.shared.state.replace(State::Taken) {
            State::Unset(mut waiting) => {
                waiting.others().callbacks.push(added);
                self.shared.state.set(State::Unset(waiting));
            }
            State::Set(result, home) => {
                let waiting = Waiting { home, task: Key::NOWHERE, others: None };
                self.shared.state.set(State::Unset(waiting));
                let (shared, result) = (self.shared.clone(), Some(result));
                drop(Showing { shared, home, result, callbacks: vec![added] });
            }
            State::Taken => {}
        }
    }

    /// Whether the result is there.
    pub fn is_set(&self) -> bool {
        let state = self.shared.state.replace(State::Taken);
        let set = !matches!(state, State::Unset(_));
        self.shared.state.set(state);
        set
    }
}

impl<T> Future for Promised<T> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        match self.shared.state.replace(State::Taken) {
            State::Set(result, _) => Poll::Ready(result.map_err(|failure| failure.error)),
            State::Unset(mut waiting) => {
                waiting.wait(cx.waker());
                self.shared.state.set(State::Unset(waiting));
                Poll::Pending
            }
            State::Taken => Poll::Ready(Err(Error::Abandoned)),
        }
    }
}

impl<T> Drop for Promised<T> {
    fn drop(&mut self) {
        match self.shared.state.replace(State::Taken) {
            State::Set(Err(failure), home) => failure.report_unless_seen(home),
            State::Unset(mut waiting) => {
                waiting.forget();
                self.shared.state.set(State::Unset(waiting));
            }
            // The result is dropped with nothing borrowed.
            _ => {}
        }
    }
}

impl<T> Waiting<T> {
    fn others(&mut self) -> &mut Others<T> {
        self.others.get_or_insert_default()
    }

    #[inline]
    fn wait(&mut self, waker: &Waker) {
        let Some(tasks) = current::running() else {
            self.others().waker = Some(waker.clone());
            return;
        };
        if tasks.home() != self.home {
            self.forget();
            self.home = tasks.home();
        }
        let place = Cell::new(self.task);
        tasks.wait(&place, waker);
        self.task = place.get();
    }

    /// Nobody waits any more.
    fn forget(&mut self) {
        let task = mem::replace(&mut self.task, Key::NOWHERE);
        if task != Key::NOWHERE
            && let Some(tasks) = current::find(self.home)
        {
            tasks.forget_waiter(task);
        }
    }
}

impl<T> Shared<T> {
    /// Shows the result to the done-callbacks, and then to whoever waits; only the first time.
    fn settle(self: &Rc<Self>, result: Settled<T>) {
        match self.state.replace(State::Taken) {
            State::Unset(mut waiting) => {
                let others = waiting.others.as_mut();
                let mut callbacks = others.map_or(Vec::new(), |it| mem::take(&mut it.callbacks));
                callbacks.reverse();
                let home = waiting.home;
                self.state.set(State::Unset(waiting));
                drop(Showing { shared: self.clone(), home, result: Some(result), callbacks });
            }
            settled => self.state.set(settled),
        }
    }

    /// The result is there for whoever waits.
    fn publish(&self, result: Settled<T>, wanted: bool) {
        let State::Unset(waiting) = self.state.replace(State::Taken) else { return };
        let Waiting { home, task, others } = waiting;
        match result {
            Err(failure) if !wanted => failure.report_unless_seen(home),
            result => self.state.set(State::Set(result, home)),
        }
        if task != Key::NOWHERE
            && let Some(tasks) = current::find(home)
        {
            tasks.wake(task);
        }
        if let Some(waker) = others.and_then(|others| others.waker) {
            waker.wake();
        }
    }
}

/// A result on its way past the done-callbacks, one a turn, and then to whoever waits. It goes on
/// when it is dropped, so also after a callback that panicked.
struct Showing<T: 'static> {
    shared: Rc<Shared<T>>,
    home: u32,
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
            // The one who waits and this one.
            let wanted = Rc::strong_count(&self.shared) > 1;
            return self.shared.publish(result, wanted);
        };
        let (shared, home) = (self.shared.clone(), self.home);
        let callbacks = mem::take(&mut self.callbacks);
        let rest = Showing { shared, home, result: Some(result), callbacks };
        match current::find(home).or_else(current::running) {
            Some(tasks) => {
                let key = tasks.spawn(async move { rest.show(callback) }, location);
                tasks.detach(key);
            }
            None => rest.show(callback),
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

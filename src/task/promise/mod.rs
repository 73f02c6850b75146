//! [`promise`]: a result that a callback sets once, and a future that waits for it.
//!
//! A promise makes a callback awaitable: keep the [`Promise`] in the callback, and await the
//! [`Promised`].

mod shared;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use self::shared::{Failure, Shared};
use super::budget;
use crate::awaits::pending;
use crate::error::{Error, Result};

/// The sending side of a result, which is set once; [`promise`] creates both sides. If it is
/// dropped unset, the waiter gets [`Error::Abandoned`].
#[must_use = "a promise that is dropped is abandoned"]
pub struct Promise<T: 'static> {
    shared: Rc<Shared<T>>,
}

/// The future of a [`Promise`].
///
/// It may be dropped at any time. An error that was set but not received then goes to the exception
/// handler.
///
/// # Errors
///
/// The future returns the error that was set, or [`Error::Abandoned`] if the promise was dropped
/// unset.
#[must_use = "futures do nothing unless awaited"]
pub struct Promised<T: 'static> {
    shared: Rc<Shared<T>>,
}

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
    let shared = Rc::new(Shared::new());
    (Promise { shared: shared.clone() }, Promised { shared })
}

impl<T: 'static> Promise<T> {
    /// Sets the result, and wakes the waiter.
    pub fn set_result(self, result: T) {
        self.shared.resolve(Ok(result));
    }

    /// Sets an error instead of a result. If no task receives it, it goes to the exception handler.
    ///
    /// ```
    /// use mainspring::{Error, EventLoop, promise};
    ///
    /// let mut el = EventLoop::new()?;
    /// let (promise, promised) = promise::<u32>();
    /// promise.set_error(Error::other("no answer"));
    /// let error = el.run_until_complete(promised)?.unwrap_err();
    /// assert_eq!(error.to_string(), "no answer");
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn set_error(self, error: impl Into<Error>) {
        self.shared.resolve(Err(Failure::new(error.into())));
    }

    /// Returns true if the [`Promised`] was dropped.
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.shared) == 1
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if self.shared.is_unset() {
            self.shared.resolve(Err(Failure::new(Error::Abandoned)));
        }
    }
}

impl<T> Promised<T> {
    /// Calls `callback` with the result when it is set.
    ///
    /// Callbacks run through the ready deque, in the order in which they were added, each exactly
    /// once. An await completes after them. The deque belongs to the loop of the waiting task, or
    /// otherwise to the running loop. A loop that is closed drops the callback; without a loop, the
    /// callback runs at once.
    ///
    /// ```
    /// use mainspring::{EventLoop, promise};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let mut el = EventLoop::new()?;
    /// let (promise, promised) = promise();
    /// let seen = Rc::new(Cell::new(0));
    /// let sees = seen.clone();
    /// promised.add_done_callback(move |result| sees.set(*result.unwrap()));
    /// el.call_soon(|_, _| promise.set_result(42));
    /// el.run_until_complete(promised)??;
    /// assert_eq!(seen.get(), 42);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(Result<&T, &Error>) + 'static) {
        self.shared.add_done_callback((Box::new(callback), Location::caller()));
    }

    /// Returns true if the result is set and all done-callbacks have seen it.
    pub fn is_set(&self) -> bool {
        self.shared.is_set()
    }
}

impl<T> Future for Promised<T> {
    type Output = Result<T>;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let polled = budget::metered(cx, |cx| match self.shared.take() {
            Some(result) => Poll::Ready(result.map_err(|failure| failure.error)),
            None if self.is_set() => Poll::Ready(Err(Error::Abandoned)),
            None => {
                self.shared.wait(cx.waker());
                Poll::Pending
            }
        });
        pending(|| "promise", polled)
    }
}

impl<T> Drop for Promised<T> {
    fn drop(&mut self) {
        self.shared.forget_waiter();
        // A result that was not taken is dropped here, with nothing borrowed.
        if let Some(Err(failure)) = self.shared.take() {
            failure.report_unless_seen(self.shared.loop_id.get());
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

//! A future inside another one, which needs unsafe code for the pin.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls a future that belongs to a [`FutureWith`].
pub trait PollWith<F: Future> {
    /// Polls `future`. The caller is the line that awaits the [`FutureWith`].
    #[track_caller]
    fn poll_with(&mut self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output>;
}

/// A future that `with` polls. It takes no memory beyond the two.
///
/// ```
/// use mainspring_sys::{FutureWith, PollWith};
/// use std::future::{Future, ready};
/// use std::pin::{Pin, pin};
/// use std::task::{Context, Poll, Waker};
///
/// struct Count(u32);
///
/// impl<F: Future> PollWith<F> for Count {
///     fn poll_with(&mut self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
///         self.0 += 1;
///         assert_eq!(std::panic::Location::caller().line() as usize, line!() as usize + 9);
///         future.poll(cx)
///     }
/// }
///
/// let mut future = pin!(FutureWith::new(ready(1), Count(0)));
/// let mut cx = Context::from_waker(Waker::noop());
///
/// // The line of the poll is that of the caller.
/// assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(1));
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct FutureWith<F, W> {
    future: F,
    with: W,
}

impl<F: Future, W: PollWith<F>> FutureWith<F, W> {
    /// Makes a future that `with` polls.
    #[inline]
    pub fn new(future: F, with: W) -> FutureWith<F, W> {
        FutureWith { future, with }
    }
}

impl<F: Future, W: PollWith<F>> Future for FutureWith<F, W> {
    type Output = F::Output;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: nothing is moved out of the reference below.
        let both = unsafe { self.get_unchecked_mut() };
        // SAFETY: `future` is never moved: no method takes it out or passes on a plain reference,
        // the type has no `Drop`, and it is `Unpin` only if `F` is.
        let future = unsafe { Pin::new_unchecked(&mut both.future) };
        both.with.poll_with(future, cx)
    }
}

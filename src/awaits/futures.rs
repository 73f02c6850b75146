//! Futures that record the line of their `.await`.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use mainspring_sys::{FutureWith, PollWith};

use super::turn::{Entered, is_on, pending};

/// Wraps the future of a public function: all waits inside it are waits for `call`. The name is a
/// closure, which needs no memory.
#[inline]
pub(crate) fn located<F: Future>(
    call: impl Fn() -> &'static str,
    future: F,
) -> impl Future<Output = F::Output> {
    FutureWith::new(future, Located::<_, true>(call))
}

/// Wraps the future of a public function that runs a user's future. Waits inside it keep their
/// names, and their lines if these are in user code.
#[inline]
pub(crate) fn around<F: Future>(
    call: impl Fn() -> &'static str,
    future: F,
) -> impl Future<Output = F::Output> {
    FutureWith::new(future, Located::<_, false>(call))
}

/// A call, which stands for the waits inside its future. If `NAMED` is true, they have its name.
struct Located<N, const NAMED: bool>(N);

impl<F, N, const NAMED: bool> PollWith<F> for Located<N, NAMED>
where
    F: Future,
    N: Fn() -> &'static str,
{
    #[inline]
    #[track_caller]
    fn poll_with(&mut self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        poll_as::<_, NAMED>(&self.0, || future.poll(cx))
    }
}

/// Calls `poll` for the call `call`. If `NAMED` is true, the waits inside have its name.
#[inline]
#[track_caller]
pub(crate) fn poll_as<T, const NAMED: bool>(
    call: impl Fn() -> &'static str,
    poll: impl FnOnce() -> Poll<T>,
) -> Poll<T> {
    let caller = Location::caller();
    let entered = is_on().then(|| Entered::new(NAMED.then(&call), caller));
    let polled = poll();
    // A future of another crate, or a pause of the budget, adds no line.
    if entered.as_ref().is_some_and(Entered::is_silent) {
        drop(entered);
        return pending(call, polled);
    }
    polled
}

/// Creates a future from a poll function, like [`poll_fn`](std::future::poll_fn). If it is pending,
/// the task waits for `call`.
#[inline]
pub(crate) fn await_fn<T, P>(call: impl Fn() -> &'static str, poll: P) -> impl Future<Output = T>
where
    P: FnMut(&mut Context<'_>) -> Poll<T>,
{
    AwaitFn { call, poll }
}

struct AwaitFn<N, P> {
    call: N,
    poll: P,
}

// The function is never pinned: each poll calls it by reference.
impl<N, P> Unpin for AwaitFn<N, P> {}

impl<T, N, P> Future for AwaitFn<N, P>
where
    N: Fn() -> &'static str,
    P: FnMut(&mut Context<'_>) -> Poll<T>,
{
    type Output = T;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let polled = (self.poll)(cx);
        pending(&self.call, polled)
    }
}

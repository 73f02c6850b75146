//! The budget of a task's poll: the number of awaits that may complete before other callbacks run.
//!
//! An await that completes at once (of a set promise, a refused connect, a finished task) does not
//! return to the loop. If all awaits were like that, timers and signals would starve. So each await
//! of this crate takes a step when it completes. When no step is left, it is pending, and the task
//! is queued for the next tick. Sources also have a limit per tick: see [`io`](crate::io).
//!
//! # Invariants
//!
//! * A pending await takes no step, so a task that waits for many futures at once makes progress.
//! * Outside a poll of a task, for example in another executor, there is no limit.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

/// Steps of one poll.
const STEPS: u32 = 128;
/// Number of bytes that cost one step.
const STEP_BYTES: usize = 4096;
/// Value outside a poll of a task.
const UNLIMITED: u32 = u32::MAX;

thread_local! {
    /// Steps left in the current poll on this thread.
    static LEFT: Cell<u32> = const { Cell::new(UNLIMITED) };
}

/// The budget of the code around a poll. It is restored when the poll ends.
#[derive(Debug)]
pub(super) struct Outer(u32);

impl Outer {
    /// Begins a poll with a full budget.
    #[inline]
    pub(super) fn begin_poll() -> Outer {
        Outer(LEFT.replace(STEPS))
    }
}

impl Drop for Outer {
    #[inline]
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

/// Returns the steps of a call that has moved so many bytes, at least one.
#[inline]
pub(crate) fn steps_of(bytes: usize) -> u32 {
    (bytes / STEP_BYTES).clamp(1, STEPS as usize) as u32
}

/// Takes steps from the budget of the poll. If fewer are left, takes those.
#[inline]
pub(crate) fn spend(steps: u32) {
    let left = LEFT.get();
    if left != UNLIMITED {
        LEFT.set(left.saturating_sub(steps));
    }
}

/// Returns pending if no step is left. Then the task is queued for the next tick.
#[inline]
pub(crate) fn poll_left(cx: &Context<'_>) -> Poll<()> {
    if LEFT.get() == 0 {
        return wait_for_the_next_tick(cx);
    }
    Poll::Ready(())
}

#[cold]
fn wait_for_the_next_tick(cx: &Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Calls `poll`. If it completes, that takes a step.
#[inline]
pub(crate) fn metered<T>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    // Checked first, and taken only on completion: so a join of thousands of futures makes
    // progress.
    ready!(poll_left(cx));
    let output = ready!(poll(cx));
    spend(1);
    Poll::Ready(output)
}

/// Takes one step, in the next tick if none is left. It is the first line of an `async fn` that may
/// complete without the kernel or another task.
pub(crate) async fn step() {
    poll_fn(|cx| metered(cx, |_| Poll::Ready(()))).await;
}

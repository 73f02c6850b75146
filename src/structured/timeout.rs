//! [`timeout`]: a time limit for one future.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::limited::{LastPoll, poll_in};
use crate::awaits::around;
use crate::error::{Error, Result};
use crate::snapshot::EntryKind;
use crate::task::cancel_region::{Guard, OwnedRegion, RegionCall};
use crate::task::{Sleep, budget, current, sleep, sleep_until};

/// Runs `future` for at most `limit`, counted from this call.
///
/// An output that becomes ready in the tick in which the time expires is still returned. Otherwise
/// the future is dropped, which cancels it. A timeout does not swallow a cancellation from outside,
/// which drops both. A [shield](crate::CancelScope::shielded) inside delays the end until it ends,
/// and a [`TaskGroup`](crate::TaskGroup) until its children have ended.
///
/// # Errors
///
/// The returned future returns [`Error::TimedOut`].
///
/// # Panics
///
/// The returned future panics outside a running loop. The message has the line of this call.
///
/// ```
/// use mainspring::{EventLoop, testing::SimClock, sleep, timeout};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// el.run_until_complete(async {
///     let hour = Duration::from_secs(3600);
///     let late = timeout(Duration::from_secs(1), sleep(hour)).await;
///     assert_eq!(late.unwrap_err().to_string(), "the time limit of 1s expired");
///     assert!(timeout(hour, async { 42 }).await.is_ok());
/// })?;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn timeout<F: Future>(
    limit: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output>> + use<F> {
    let call = ("mainspring::timeout", Location::caller());
    limited(sleep(limit), limit, future, call)
}

/// Runs `future` until `deadline` at the latest. Otherwise like [`timeout`].
///
/// ```
/// use mainspring::{Clock, EventLoop, testing::SimClock, timeout_at};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// let deadline = clock.now() + Duration::from_secs(1);
/// let never = timeout_at(deadline, std::future::pending::<()>());
/// assert!(el.run_until_complete(never)?.is_err());
/// assert_eq!(clock.elapsed(), Duration::from_secs(1));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn timeout_at<F: Future>(
    deadline: Instant,
    future: F,
) -> impl Future<Output = Result<F::Output>> + use<F> {
    let now = current::running().map_or_else(Instant::now, |tasks| tasks.core.timeline.now());
    let limit = deadline.saturating_duration_since(now);
    let call = ("mainspring::timeout_at", Location::caller());
    limited(sleep_until(deadline), limit, future, call)
}

fn limited<F: Future>(
    sleep: Sleep,
    limit: Duration,
    future: F,
    call: (&'static str, &'static Location<'static>),
) -> impl Future<Output = Result<F::Output>> + use<F> {
    around(|| "timeout", run_limited(sleep, limit, future, call))
}

async fn run_limited<F: Future>(
    sleep: Sleep,
    limit: Duration,
    future: F,
    (call, location): (&'static str, &'static Location<'static>),
) -> Result<F::Output> {
    budget::step().await;
    let region = OwnedRegion::new(Guard::None, RegionCall { kind: EntryKind::Timeout, location });
    let mut last_poll = LastPoll::new(sleep, call, location);
    let mut future = pin!(future);
    poll_fn(|cx| {
        if last_poll.is_now() {
            region.request();
        }
        if let Poll::Ready(output) = poll_in(&region, future.as_mut(), cx) {
            return Poll::Ready(output.ok_or(Error::TimedOut(limit)));
        }
        if last_poll.is_now() {
            // A guard inside delays the end. It wakes this when it ends.
            region.wait(cx.waker());
        }
        last_poll.wait(cx);
        Poll::Pending
    })
    .await
}

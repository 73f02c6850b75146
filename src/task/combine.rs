//! Several futures or tasks at once.
//!
//! What is here is what the loop can do better than a library that knows no tasks, and what asyncio
//! has under the same names. For everything else there is the crate `futures`, which works on this
//! loop unchanged.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Gives the output of whichever of two futures completes first, and drops the other; the first one
/// is preferred. Both are polled by the task that awaits this, and may borrow.
///
/// Dropping a [`Task`](crate::Task) detaches it.
///
/// ```
/// use mainspring::{EventLoop, race, sleep, testing::SimClock};
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let name = String::from("late");
/// let late = async { sleep(Duration::from_secs(2)).await; name.as_str() };
/// let early = async { sleep(Duration::from_secs(1)).await; "early" };
/// assert_eq!(el.run_until_complete(race(late, early))?, "early");
/// # Ok::<(), mainspring::Error>(())
/// ```
pub async fn race<A, B>(first: A, second: B) -> A::Output
where
    A: Future,
    B: Future<Output = A::Output>,
{
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => second.as_mut().poll(cx),
    })
    .await
}

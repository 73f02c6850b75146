//! [`sleep_until_wall_time`]: a sleep that follows steps of the wall clock.

use std::time::SystemTime;

use super::sleep::sleep;
use super::{budget, current};
use crate::clock::wait_for_wall;

/// Completes when the time of day is `deadline` or later, and never before. It follows steps of the
/// clock, at most a second late, like
/// [`call_at_wall_time`](crate::LoopHandle::call_at_wall_time).
///
/// Dropping the future cancels the timer.
///
/// # Panics
///
/// The future panics if it is polled where no loop runs.
///
/// ```
/// use mainspring::{Clock, EventLoop, sleep_until_wall_time, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build()?;
/// let evening = clock.wall_time() + Duration::from_secs(3600);
/// el.run_until_complete(sleep_until_wall_time(evening))?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// # Ok::<(), mainspring::Error>(())
/// ```
pub async fn sleep_until_wall_time(deadline: SystemTime) {
    let wall_time = || {
        let tasks = current::expect("mainspring::sleep_until_wall_time");
        tasks.core.timeline.wall_time()
    };
    while let Some(wait) = wait_for_wall(deadline, wall_time()) {
        sleep(wait).await;
    }
    budget::step().await;
}

//! [`race`]: the first of two futures; [`shield`]: a future that outlives the code that awaits it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::awaits::around;
use crate::task::{Task, budget, spawn};

/// Returns the output of the future that completes first, and drops the other one. If both are
/// ready, the first one wins. The awaiting task polls both, so they may borrow from its locals.
///
/// Do not use it for tasks, because dropping a [`Task`] detaches it; use
/// [`race_all`](crate::race_all) for these.
///
/// Dropping the returned future drops both.
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
pub fn race<A, B>(first: A, second: B) -> impl Future<Output = A::Output>
where
    A: Future,
    B: Future<Output = A::Output>,
{
    around(|| "race", async move {
        budget::step().await;
        let (mut first, mut second) = (pin!(first), pin!(second));
        poll_fn(|cx| match first.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => second.as_mut().poll(cx),
        })
        .await
    })
}

/// Spawns `future` as a separate task, so that it continues when the awaiting task is cancelled.
///
/// A cancelled task drops the [`Task`] that it awaits, which detaches it. So this is [`spawn`],
/// under a name that states the purpose. A failure after that is reported like that of any
/// [detached](Task) task. To delay the cancellation instead, use
/// [`CancelScope::shielded`](crate::CancelScope::shielded).
///
/// # Panics
///
/// Panics outside a running loop.
///
/// ```
/// use mainspring::{EventLoop, shield, sleep, testing::SimClock, timeout};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// let mut el = EventLoop::builder().clock(SimClock::new()).build()?;
/// let saved = Rc::new(Cell::new(false));
/// let done = saved.clone();
/// el.run_until_complete(async move {
///     let save = async move { sleep(Duration::from_secs(2)).await; done.set(true) };
///     assert!(timeout(Duration::from_secs(1), shield(save)).await.is_err());
/// })?;
/// assert!(!saved.get());
/// el.run()?;
/// assert!(saved.get());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn(future)
}

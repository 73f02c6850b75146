//! [`yield_now`]: lets everything else that is ready run first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::awaits::pending;

/// Moves the task to the end of the ready deque, so that everything else that is ready runs first.
///
/// The loop calls the selector in between. Dropping the future has no effect.
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// el.run_until_complete(async {
///     let other = mainspring::spawn(async {});
///     mainspring::yield_now().await;
///     assert!(other.is_finished());
/// })?;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[inline]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        pending(|| "yield_now", Poll::Pending)
    }
}

//! A future with a deadline, in a region: the common part of a timeout and a scope with a deadline.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::task::cancel_region::OwnedRegion;
use crate::task::{Sleep, current};

/// Polls a future inside its region. Returns its output, or `None` if the region ends now; then the
/// caller drops the future.
#[inline]
pub(super) fn poll_in<F: Future>(
    region: &OwnedRegion,
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    match region.enter(|| future.poll(cx)) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if region.should_end_now() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    }
}

/// A deadline after which a future is polled one last time, in the next tick. So a result that
/// becomes ready in the tick of the deadline is delivered, whatever the order of the callbacks in
/// it.
pub(super) struct LastPoll {
    sleep: Sleep,
    /// The call that the user made, and its line: for the message of a panic.
    call: &'static str,
    location: &'static Location<'static>,
    /// True if the deadline has passed.
    now: bool,
}

impl LastPoll {
    #[inline]
    pub(super) fn new(
        sleep: Sleep,
        call: &'static str,
        location: &'static Location<'static>,
    ) -> LastPoll {
        LastPoll { sleep, call, location, now: false }
    }

    /// Returns true in the last poll, and after it.
    #[inline]
    pub(super) fn is_now(&self) -> bool {
        self.now
    }

    /// Waits for the deadline. When it has passed, queues the last poll.
    ///
    /// # Panics
    ///
    /// Panics in the first call if no loop is running.
    #[inline]
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) {
        if self.now {
            return;
        }
        if self.sleep.is_unarmed() {
            current::check_running(self.call, self.location);
        }
        if self.sleep.poll_silently(cx.waker()).is_ready() {
            self.now = true;
            cx.waker().wake_by_ref();
        }
    }
}

//! A future that a scope runs.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::state::{CALL, ScopeState};
use crate::snapshot::EntryKind;
use crate::structured::limited::{LastPoll, poll_in};
use crate::task::cancel_region::{OwnedRegion, RegionCall};
use crate::task::{Cancelled, sleep_until};

/// The run of a future in a scope.
pub(super) struct Run {
    state: Rc<ScopeState>,
    /// The line that called [`CALL`].
    location: &'static Location<'static>,
    number: u64,
    region: OwnedRegion,
    deadline: Option<ScopeDeadline>,
}

/// A deadline that the run waits for.
struct ScopeDeadline {
    at: Instant,
    last_poll: LastPoll,
}

impl Run {
    pub(super) fn new(state: Rc<ScopeState>, location: &'static Location<'static>) -> Run {
        let call = RegionCall { kind: EntryKind::Scope, location };
        let region = OwnedRegion::new(state.guard(), call);
        if state.cancelled.borrow().is_some() {
            region.request();
        }
        let number = state.next.replace(state.next.get() + 1);
        state.runs.borrow_mut().insert(number, region.clone());
        Run { state, location, number, region, deadline: None }
    }

    pub(super) fn poll<F: Future>(
        &mut self,
        future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Cancelled>> {
        // Before the poll: it is the last one, and inner groups see the request.
        if self.is_over() {
            self.state.expire();
        }
        match poll_in(&self.region, future, cx) {
            Poll::Ready(Some(output)) => return Poll::Ready(Ok(output)),
            Poll::Ready(None) => {
                if let Some(cancelled) = self.state.cancelled.borrow().clone() {
                    return Poll::Ready(Err(cancelled));
                }
            }
            Poll::Pending => {}
        }
        self.region.wait(cx.waker());
        self.watch_deadline(cx);
        Poll::Pending
    }

    /// Returns true if the deadline passed in an earlier poll, and was not moved since.
    fn is_over(&self) -> bool {
        let passed = self.deadline.as_ref().filter(|deadline| deadline.last_poll.is_now());
        passed.is_some_and(|deadline| self.state.deadline(self.location) == Some(deadline.at))
    }

    fn watch_deadline(&mut self, cx: &mut Context<'_>) {
        let location = self.location;
        let Some(at) = self.state.deadline(location).filter(|_| !self.region.is_requested()) else {
            self.deadline = None;
            return;
        };
        let deadline = self.deadline.take().filter(|deadline| deadline.at == at);
        let new =
            || ScopeDeadline { at, last_poll: LastPoll::new(sleep_until(at), CALL, location) };
        self.deadline.insert(deadline.unwrap_or_else(new)).last_poll.wait(cx);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let region = self.state.runs.borrow_mut().remove(&self.number);
        drop(region);
    }
}

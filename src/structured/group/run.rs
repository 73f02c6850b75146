//! The run of a group: first its body, then the children that are left.
//!
//! # Invariant
//!
//! The region of the group is a guard. While the group has children, the regions around it delay
//! their cancellation: the group sees the request, cancels its children, and then lets the
//! cancellation proceed.

use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;

use super::error::GroupError;
use super::state::{GroupState, Stage, clear};
use crate::error::Result;
use crate::snapshot::EntryKind;
use crate::task::cancel_region::{Guard, OwnedRegion, RegionCall};

/// A group while `run` runs it.
pub(super) struct GroupRun {
    pub(super) state: Rc<GroupState>,
    region: OwnedRegion,
}

impl GroupRun {
    pub(super) fn new(location: &'static Location<'static>) -> GroupRun {
        let call = RegionCall { kind: EntryKind::Group, location };
        let region = OwnedRegion::new(Guard::Group, call);
        let state = Rc::new(GroupState::new(region.clone(), location));
        GroupRun { state, region }
    }

    /// Polls the body. Returns its value, `None` if it failed or was cancelled, or its panic. The
    /// body has then been dropped.
    pub(super) fn poll_body<B, T>(
        &self,
        mut body: Pin<&mut Option<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<thread::Result<Option<T>>>
    where
        B: Future<Output = Result<T>>,
    {
        let state = &self.state;
        let poll = || match body.as_mut().as_pin_mut() {
            Some(body) => body.poll(cx).map(Ok),
            None => Poll::Pending,
        };
        // Unwind safe: the panic unwinds to the caller when the children have ended.
        let polled = catch_unwind(AssertUnwindSafe(|| self.region.enter(poll)));
        let value = match polled.unwrap_or_else(|payload| Poll::Ready(Err(payload))) {
            Poll::Ready(Ok(Ok(value))) => Ok(Some(value)),
            Poll::Ready(Ok(Err(error))) => {
                state.fail(error);
                Ok(None)
            }
            Poll::Ready(Err(payload)) => Err(payload),
            Poll::Pending => {
                self.check_outside();
                if !self.drops_body() {
                    self.region.wait(cx.waker());
                    return Poll::Pending;
                }
                Ok(None)
            }
        };
        let cleared = clear(body);
        let value = value.and_then(|value| cleared.map(|()| value));
        if value.is_err() {
            state.end(&"its group has panicked".into());
        }
        Poll::Ready(value)
    }

    pub(super) fn poll_children(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The future of the group may have moved to another task since its body ended.
        self.region.attach();
        if self.state.children.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.check_outside();
        self.region.wait(cx.waker());
        Poll::Pending
    }

    /// Ends the group if a region around it is requested to end.
    fn check_outside(&self) {
        if self.region.is_outer_requested() {
            self.state.end(&"its group was cancelled".into());
        }
    }

    /// Returns true if the body must be dropped: the group ends, and no guard in the body delays
    /// it.
    fn drops_body(&self) -> bool {
        self.region.is_requested() && !self.region.is_guarded()
    }

    /// Ends the run when the body and all children have ended. Returns `None` if the group was
    /// cancelled from outside.
    pub(super) fn end<T>(&self, value: thread::Result<Option<T>>) -> Option<Result<T, GroupError>> {
        let stage = self.state.stage.replace(Stage::Over);
        self.region.set_guard(Guard::None);
        let value = value.unwrap_or_else(|payload| resume_unwind(payload));
        let errors = self.state.errors.take();
        match value {
            _ if !errors.is_empty() => Some(Err(GroupError { errors })),
            Some(value) if stage == Stage::Open => Some(Ok(value)),
            _ => None,
        }
    }
}

impl Drop for GroupRun {
    fn drop(&mut self) {
        self.state.stage.set(Stage::Over);
        self.state.cancel_children(&"its group was dropped".into());
        for error in self.state.errors.take() {
            self.state.report(error);
        }
    }
}

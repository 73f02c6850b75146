//! The side of a group that runs it: first its body, then what is left of its children.
//!
//! # Invariant
//!
//! As long as there is a nursery with children, whatever is around it waits with a cancellation: the
//! nursery is a guard of its extent. It hears of one, ends its group, and gives way.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;

use super::{GroupError, Shared, Stage, TaskGroup, clear};
use crate::error::Result;
use crate::task::extent::{Guard, Owned};

/// A group as `run` holds it.
pub(super) struct Nursery {
    pub(super) group: TaskGroup,
    extent: Owned,
}

impl Nursery {
    pub(super) fn new(location: &'static Location<'static>) -> Nursery {
        let extent = Owned::new(Guard::Group);
        let shared = Rc::new(Shared {
            extent: extent.clone(),
            stage: Cell::new(Stage::Open),
            children: RefCell::default(),
            next: Cell::new(0),
            errors: RefCell::default(),
            location,
        });
        Nursery { group: TaskGroup { shared }, extent }
    }

    /// Gives what the body has returned, or nothing if it failed or was cancelled, or its panic.
    pub(super) fn poll_body<B, T>(
        &self,
        mut body: Pin<&mut Option<B>>,
        cx: &mut Context<'_>,
    ) -> Poll<thread::Result<Option<T>>>
    where
        B: Future<Output = Result<T>>,
    {
        let shared = &self.group.shared;
        let poll = || match body.as_mut().as_pin_mut() {
            Some(body) => body.poll(cx).map(Ok),
            None => Poll::Pending,
        };
        // What a body leaves half-changed by a panic, whoever catches that has to know.
        let polled = catch_unwind(AssertUnwindSafe(|| self.extent.enter(poll)));
        let value = match polled.unwrap_or_else(|payload| Poll::Ready(Err(payload))) {
            Poll::Ready(Ok(Ok(value))) => Ok(Some(value)),
            Poll::Ready(Ok(Err(error))) => {
                shared.fail(error);
                Ok(None)
            }
            Poll::Ready(Err(payload)) => Err(payload),
            Poll::Pending => {
                self.look_outside();
                if !self.drops_body() {
                    self.extent.wait(cx.waker());
                    return Poll::Pending;
                }
                Ok(None)
            }
        };
        let cleared = clear(body);
        let value = value.and_then(|value| cleared.map(|()| value));
        if value.is_err() {
            shared.end(&"its group has panicked".into());
        }
        Poll::Ready(value)
    }

    pub(super) fn poll_children(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.extent.link();
        if self.group.is_empty() {
            return Poll::Ready(());
        }
        self.look_outside();
        self.extent.wait(cx.waker());
        Poll::Pending
    }

    /// Ends the group if something around it is to end.
    fn look_outside(&self) {
        if self.extent.is_outer_due() {
            self.group.shared.end(&"its group was cancelled".into());
        }
    }

    fn drops_body(&self) -> bool {
        self.extent.is_due() && !self.extent.is_guarded()
    }

    /// All have ended. Nothing to give means that it was cancelled from outside.
    pub(super) fn end<T>(&self, value: thread::Result<Option<T>>) -> Option<Result<T, GroupError>> {
        let shared = &self.group.shared;
        let stage = shared.stage.replace(Stage::Over);
        self.extent.set_guard(Guard::None);
        let value = value.unwrap_or_else(|payload| resume_unwind(payload));
        let errors = shared.errors.take();
        match value {
            _ if !errors.is_empty() => Some(Err(GroupError { errors })),
            Some(value) if stage == Stage::Open => Some(Ok(value)),
            _ => None,
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let shared = &self.group.shared;
        shared.stage.set(Stage::Over);
        shared.cancel_children(&"its group was dropped".into());
        for error in shared.errors.take() {
            shared.report(error);
        }
    }
}

//! The state of a group, which its clones, its children and its run share.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::thread;

use crate::error::Error;
use crate::event_loop::{Report, ReportKind, print_outside};
use crate::handle::Handle;
use crate::task::cancel_region::{Members, Region};
use crate::task::{CancelReason, current};

pub(super) struct GroupState {
    pub(super) region: Rc<Region>,
    pub(super) stage: Cell<Stage>,
    /// Children that have not ended, by number, so in the order in which they were spawned.
    pub(super) children: Members,
    /// The number of the next child.
    pub(super) next: Cell<u64>,
    /// Failures, oldest first.
    pub(super) errors: RefCell<Vec<Error>>,
    /// The line that called [`run`](super::TaskGroup::run).
    location: &'static Location<'static>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// The body and the children were cancelled.
    Ending,
    /// The body and the children have ended.
    Over,
}

impl GroupState {
    pub(super) fn new(region: Rc<Region>, location: &'static Location<'static>) -> GroupState {
        let children = Members::default();
        region.set_members(children.clone());
        GroupState {
            region,
            stage: Cell::new(Stage::Open),
            children,
            next: Cell::new(0),
            errors: RefCell::default(),
            location,
        }
    }

    /// Adds a failure. The first one ends the group.
    pub(super) fn fail(&self, error: Error) {
        match self.stage.get() {
            Stage::Over => return self.report(error),
            // It has waited for a task that the first failure cancelled.
            Stage::Ending if matches!(error, Error::Cancelled(_)) => return,
            Stage::Open | Stage::Ending => {}
        }
        self.errors.borrow_mut().push(error);
        self.end(&"a task of its group failed".into());
    }

    /// Cancels the body and the children, the first time.
    pub(super) fn end(&self, reason: &CancelReason) {
        if self.stage.get() == Stage::Open {
            self.stage.set(Stage::Ending);
            self.region.cancel();
            self.cancel_children(reason);
        }
    }

    pub(super) fn cancel_children(&self, reason: &CancelReason) {
        let children: Vec<Handle> = self.children.borrow().values().copied().collect();
        for Handle { key, loop_id } in children {
            if let Some(tasks) = current::find(loop_id) {
                tasks.cancel_task(key, reason.clone());
            }
        }
    }

    /// Reports an error that `run` can no longer return.
    pub(super) fn report(&self, error: Error) {
        let report = Report { kind: ReportKind::Task, error, location: self.location, name: None };
        match current::running() {
            Some(tasks) => tasks.report(report),
            None => print_outside(&report),
        }
    }
}

/// Drops a pinned future. Returns the panic of its `Drop`.
pub(super) fn clear<F>(mut future: Pin<&mut Option<F>>) -> thread::Result<()> {
    catch_unwind(AssertUnwindSafe(|| future.set(None)))
}

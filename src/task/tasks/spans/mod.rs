//! The spans of tasks for subscribers of the crate tracing: feature `tracing`.
//!
//! They are separate from the task table, so that a task without a span is not larger. The span of
//! a new task is opened before the next turn of any task: by then the task has its name, which
//! tokio-console reads only from new spans.
//!
//! # Invariants
//!
//! * A subscriber is user code: nothing is borrowed while it is called, and its panic is contained.
//! * A span is closed once, with the subscriber that opened it.
//! * Wakes and spawns by a subscriber during a call are not recorded, so it cannot feed itself.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::Tasks;
use super::state::Flags;
use crate::arena;
use crate::event_loop::ReportKind;
use crate::event_loop::report::internal;
use crate::handle::Key;

mod callsites;

use self::callsites::{Span, TaskFields, WakerOp};

/// The spans of the tasks of a loop.
#[derive(Default)]
pub(super) struct Spans {
    /// False if the two collections are empty. A poll and a wake then only read this.
    is_active: Cell<bool>,
    /// True during a call of the subscriber.
    is_calling: Cell<bool>,
    /// True if the current poll has left the key of its task with an object of the loop.
    has_waiter: Cell<bool>,
    is_entered: Cell<bool>,
    /// The span of the task that is being polled.
    entered: Cell<Option<Rc<Span>>>,
    open: RefCell<HashMap<Key, Rc<Span>>>,
    pending: RefCell<Vec<Pending>>,
}

/// An operation that is recorded as soon as nothing is borrowed.
enum Pending {
    Spawn(Key),
    Wake(Key),
}

impl Spans {
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.is_active.get()
    }

    /// Notes that the poll has left a key that wakes its task.
    #[inline]
    pub(super) fn note_waiter(&self) {
        self.has_waiter.set(true);
    }

    #[cold]
    fn add_pending(&self, pending: Pending) {
        if !self.is_calling.get() {
            self.pending.borrow_mut().push(pending);
            self.is_active.set(true);
        }
    }

    fn get(&self, key: Key) -> Option<Rc<Span>> {
        self.open.borrow().get(&key).cloned()
    }

    fn remove(&self, key: Key) -> Option<Rc<Span>> {
        let mut open = self.open.borrow_mut();
        let removed = open.remove(&key);
        arena::shrink_map(&mut open);
        removed
    }

    fn update_active(&self) {
        let is_empty = self.open.borrow().is_empty() && self.pending.borrow().is_empty();
        self.is_active.set(!is_empty);
    }
}

impl Tasks {
    /// Notes a new task. Its span is opened later.
    #[inline]
    pub(super) fn note_spawn(&self, key: Key) {
        if callsites::is_level_enabled() {
            self.spans.add_pending(Pending::Spawn(key));
        }
    }

    /// Notes that a timer has woken a task, while the timers are borrowed.
    #[inline]
    pub(super) fn note_timer(&self, key: Key) {
        if self.spans.is_active.get() {
            self.spans.add_pending(Pending::Wake(key));
        }
    }

    /// Records the operations that were noted.
    pub(super) fn record_pending(&self) {
        if self.spans.pending.borrow().is_empty() {
            return;
        }
        for pending in self.spans.pending.take() {
            match pending {
                Pending::Spawn(key) => self.open_span(key),
                Pending::Wake(key) => self.record_wake(key),
            }
        }
        self.spans.update_active();
    }

    fn open_span(&self, key: Key) {
        let Some(fields) = self.span_fields(key) else { return };
        let mut opened = None;
        self.call_subscriber(|| opened = Span::open(&fields));
        if let Some(span) = opened {
            self.spans.open.borrow_mut().insert(key, Rc::new(span));
        }
    }

    fn span_fields(&self, key: Key) -> Option<TaskFields> {
        let mut slots = self.slots.borrow_mut();
        let location = slots.location(key)?;
        let mut task = slots.get(key)?;
        let flags = task.slot.flags;
        let size = task.slot.content.as_ref().map(|future| size_of_val(&**future));
        let name = task.details().and_then(|details| details.name.clone());
        let kind = if flags.contains(Flags::MAIN) { "block_on" } else { "task" };
        (!flags.contains(Flags::DONE)).then_some(TaskFields { kind, name, size, location })
    }

    /// Records the name of a task in its open span. A span that is opened later has it as a field.
    pub(super) fn record_name(&self, key: Key) {
        let Some(span) = self.spans.get(key) else { return };
        let name = self.name(key).unwrap_or_default();
        self.call_subscriber(|| span.record_name(&name));
    }

    /// Wakes the task `key`, and records that.
    #[cold]
    pub(super) fn wake_recorded(&self, key: Key) {
        self.wake_unrecorded(key);
        self.record_wake(key);
    }

    /// Records a wake of the task `key`.
    #[inline]
    pub(super) fn record_wake(&self, key: Key) {
        if self.spans.is_active.get() {
            self.record_waker(key, WakerOp::Wake);
        }
    }

    #[cold]
    fn record_waker(&self, key: Key, op: WakerOp) {
        if self.spans.is_calling.get() {
            return;
        }
        let Some(span) = self.spans.get(key) else { return };
        self.call_subscriber(|| span.record_waker(op));
    }

    /// Enters the span of the task `key`, which is polled until [`exit_span`](Tasks::exit_span).
    #[inline]
    pub(super) fn enter_span(&self, key: Key) {
        if self.spans.is_active.get() {
            self.enter_open_span(key);
        }
    }

    #[cold]
    fn enter_open_span(&self, key: Key) {
        self.record_pending();
        let Some(span) = self.spans.get(key) else { return };
        self.call_subscriber(|| span.enter());
        self.spans.has_waiter.set(false);
        self.spans.entered.set(Some(span));
        self.spans.is_entered.set(true);
    }

    /// Exits the span that was entered last, if there is one.
    #[inline]
    pub(super) fn exit_span(&self) {
        if self.spans.is_entered.get() {
            self.exit_entered_span();
        }
    }

    #[cold]
    fn exit_entered_span(&self) {
        self.spans.is_entered.set(false);
        let Some(span) = self.spans.entered.take() else { return };
        if self.spans.has_waiter.take() {
            self.record_first_waker(&span);
        }
        self.call_subscriber(|| span.exit());
    }

    /// Records that code has kept the waker of the task `key`.
    pub(super) fn record_kept_waker(&self, key: Key) {
        if let Some(span) = self.spans.get(key) {
            self.record_first_waker(&span);
        }
    }

    fn record_first_waker(&self, span: &Span) {
        if !span.has_waker.replace(true) {
            self.call_subscriber(|| span.record_waker(WakerOp::Clone));
        }
    }

    /// Closes the span of a task that has ended.
    #[inline]
    pub(super) fn close_span(&self, key: Key) {
        if self.spans.is_active.get() {
            self.close_open_span(key);
        }
    }

    #[cold]
    fn close_open_span(&self, key: Key) {
        self.record_pending();
        let Some(span) = self.spans.remove(key) else { return };
        self.spans.update_active();
        if span.has_waker.get() {
            self.call_subscriber(|| span.record_waker(WakerOp::Drop));
        }
        self.call_subscriber(|| span.close());
    }

    fn call_subscriber(&self, call: impl FnOnce()) {
        let outer = self.spans.is_calling.replace(true);
        self.core.contain_later(|error| internal(ReportKind::Subscriber, error), call);
        self.spans.is_calling.set(outer);
    }
}

/// Dropped, it exits the span of the main task, even if its poll unwinds.
pub(super) struct ExitGuard<'a>(pub(super) &'a Tasks);

impl Drop for ExitGuard<'_> {
    fn drop(&mut self) {
        self.0.exit_span();
    }
}

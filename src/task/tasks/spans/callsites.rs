//! The span and the event of tasks, with the names and fields that tokio-console reads.
//!
//! The names are those of tokio's tasks, because console-subscriber 0.5 recognizes tasks by them.

use std::array;
use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_core::callsite::DefaultCallsite;
use tracing_core::dispatcher::get_default;
use tracing_core::field::{Field, Value, ValueSet};
use tracing_core::metadata::LevelFilter;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::{Interest, NoSubscriber};
use tracing_core::{Dispatch, Event, Kind, Level, Metadata, metadata};

static SPAWN: DefaultCallsite = DefaultCallsite::new(&SPAWN_METADATA);
static SPAWN_METADATA: Metadata<'static> = metadata! {
    name: "runtime.spawn",
    target: "tokio::task",
    level: Level::TRACE,
    fields: &["kind", "task.name", "task.id", "size.bytes", "loc.file", "loc.line", "loc.col"],
    callsite: &SPAWN,
    kind: Kind::SPAN
};

static WAKER: DefaultCallsite = DefaultCallsite::new(&WAKER_METADATA);
static WAKER_METADATA: Metadata<'static> = metadata! {
    name: "waker",
    target: "tokio::task::waker",
    level: Level::TRACE,
    fields: &["op", "task.id"],
    callsite: &WAKER,
    kind: Kind::EVENT
};

/// Number of the next task that has a span.
static NEXT_TASK: AtomicU64 = AtomicU64::new(1);

/// Returns true if a subscriber of this process may record spans of this level. No code of it runs.
#[inline]
pub(super) fn is_level_enabled() -> bool {
    Level::TRACE <= LevelFilter::current()
}

/// The fields of a new span.
pub(super) struct TaskFields {
    pub(super) kind: &'static str,
    pub(super) name: Option<Rc<str>>,
    /// Size of the future, if it is in the table.
    pub(super) size: Option<usize>,
    pub(super) location: &'static Location<'static>,
}

/// An operation on the waker of a task.
#[derive(Clone, Copy)]
pub(super) enum WakerOp {
    /// A wake that keeps the waker.
    Wake,
    /// The first waker that a poll has left with other code or with an object of the loop.
    Clone,
    /// The end of the task, if it had a waker.
    Drop,
}

/// A span, and the subscriber that has opened it.
pub(super) struct Span {
    dispatch: Dispatch,
    id: Id,
    /// True after a [`WakerOp::Clone`].
    pub(super) has_waker: Cell<bool>,
}

impl Span {
    /// Opens the span of a task, or returns `None` if this thread has no subscriber for it.
    pub(super) fn open(task: &TaskFields) -> Option<Span> {
        let interest = SPAWN.interest();
        if interest.is_never() {
            return None;
        }
        let name = task.name.as_deref();
        let values: [Option<&dyn Value>; 7] = [
            Some(&task.kind),
            name.as_ref().map(|name| name as &dyn Value),
            Some(&NEXT_TASK.fetch_add(1, Ordering::Relaxed)),
            task.size.as_ref().map(|size| size as &dyn Value),
            Some(&task.location.file()),
            Some(&task.location.line()),
            Some(&task.location.column()),
        ];
        get_default(|dispatch| {
            is_enabled(dispatch, &interest, &SPAWN_METADATA).then(|| {
                let new_span = |values: &ValueSet<'_>| {
                    dispatch.new_span(&Attributes::new_root(&SPAWN_METADATA, values))
                };
                let id = with_values(&SPAWN_METADATA, values, new_span);
                Span { dispatch: dispatch.clone(), id, has_waker: Cell::new(false) }
            })
        })
    }

    pub(super) fn record_name(&self, name: &str) {
        let mut values: [Option<&dyn Value>; 7] = [None; 7];
        values[1] = Some(&name);
        with_values(&SPAWN_METADATA, values, |values| {
            self.dispatch.record(&self.id, &Record::new(values));
        });
    }

    pub(super) fn record_waker(&self, op: WakerOp) {
        if !is_enabled(&self.dispatch, &WAKER.interest(), &WAKER_METADATA) {
            return;
        }
        let op = match op {
            WakerOp::Wake => "waker.wake_by_ref",
            WakerOp::Clone => "waker.clone",
            WakerOp::Drop => "waker.drop",
        };
        let values: [Option<&dyn Value>; 2] = [Some(&op), Some(&self.id.into_u64())];
        with_values(&WAKER_METADATA, values, |values| {
            self.dispatch.event(&Event::new(&WAKER_METADATA, values));
        });
    }

    pub(super) fn enter(&self) {
        self.dispatch.enter(&self.id);
    }

    pub(super) fn exit(&self) {
        self.dispatch.exit(&self.id);
    }

    pub(super) fn close(&self) {
        self.dispatch.try_close(self.id.clone());
    }
}

fn is_enabled(dispatch: &Dispatch, interest: &Interest, metadata: &'static Metadata<'_>) -> bool {
    let may_be_enabled = !interest.is_never() && !dispatch.is::<NoSubscriber>();
    may_be_enabled && (interest.is_always() || dispatch.enabled(metadata))
}

/// Calls `read` with the values of all fields, in their order.
fn with_values<T, const N: usize>(
    metadata: &'static Metadata<'static>,
    values: [Option<&dyn Value>; N],
    read: impl FnOnce(&ValueSet<'_>) -> T,
) -> T {
    let mut names = metadata.fields().iter();
    let fields: [Field; N] = array::from_fn(|_| names.next().expect("each value has a field"));
    let entries: [_; N] = array::from_fn(|at| (&fields[at], values[at]));
    read(&metadata.fields().value_set(&entries))
}

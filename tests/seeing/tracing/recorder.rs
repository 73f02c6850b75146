//! A subscriber that keeps the spans and wakes of tasks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Metadata, Subscriber, dispatcher};

/// A function that the subscriber calls in each of its methods, with their names.
type Hook = Rc<dyn Fn(&'static str)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// The history of a span.
#[derive(Debug, Clone, Default)]
pub struct SpanRecord {
    /// Name and target.
    pub kind: (&'static str, String),
    /// The values, as text.
    pub fields: BTreeMap<&'static str, String>,
    pub is_root: bool,
    pub enters: usize,
    pub exits: usize,
    pub closes: usize,
    /// Wakes from outside its polls, and from inside them.
    pub wakes: (usize, usize),
    /// Wakers that were kept, and given up.
    pub wakers: (usize, usize),
    /// The spans inside which it was woken.
    pub woken_in: Vec<u64>,
}

impl SpanRecord {
    pub fn name(&self) -> &str {
        self.fields.get("task.name").map_or("", String::as_str)
    }
}

/// The spans, by their number minus one, and those that are entered.
#[derive(Debug, Default)]
struct Log {
    spans: Vec<SpanRecord>,
    entered: Vec<u64>,
}

/// The callsites that a recorder is interested in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    Everything,
    /// Spans, and no event.
    Spans,
    Nothing,
}

/// A recorder, which is the subscriber of the thread while [`record`](Recorder::record) runs.
#[derive(Debug, Clone)]
pub struct Recorder {
    log: Arc<Mutex<Log>>,
    wants: Wants,
}

impl Recorder {
    pub fn new(wants: Wants) -> Recorder {
        Recorder { log: Arc::default(), wants }
    }

    pub fn record<T>(&self, run: impl FnOnce() -> T) -> T {
        dispatcher::with_default(&Dispatch::new(self.clone()), run)
    }

    pub fn spans(&self) -> Vec<SpanRecord> {
        self.log().spans.clone()
    }

    /// Returns the only span of the task with this name.
    #[track_caller]
    pub fn named(&self, name: &str) -> SpanRecord {
        let mut spans = self.spans();
        spans.retain(|span| span.name() == name);
        assert_eq!(spans.len(), 1, "{name}: {:#?}", self.spans());
        spans.remove(0)
    }

    /// Checks that each span was closed once, and left as often as entered.
    #[track_caller]
    pub fn assert_all_closed(&self) {
        for span in self.spans() {
            assert_eq!((span.closes, span.enters), (1, span.exits), "{span:#?}");
            assert_eq!(span.wakers.0, span.wakers.1, "{span:#?}");
        }
        assert_eq!(self.log().entered, [0; 0]);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, method: &'static str, id: u64, change: impl FnOnce(&mut SpanRecord, &[u64])) {
        let mut log = self.log();
        let Log { spans, entered } = &mut *log;
        change(&mut spans[id as usize - 1], entered);
        drop(log);
        call_hook(method);
    }
}

/// Calls `run` while each method of the subscriber calls `hook`.
pub fn with_hook<T>(hook: impl Fn(&'static str) + 'static, run: impl FnOnce() -> T) -> T {
    HOOK.set(Some(Rc::new(hook)));
    let result = run();
    HOOK.set(None);
    result
}

fn call_hook(method: &'static str) {
    let hook = HOOK.with_borrow(Clone::clone);
    if let Some(hook) = hook {
        hook(method);
    }
}

/// Values as text.
#[derive(Default)]
struct Values(BTreeMap<&'static str, String>);

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match self.wants {
            Wants::Everything => true,
            Wants::Spans => metadata.is_span(),
            Wants::Nothing => false,
        }
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut values = Values::default();
        attributes.record(&mut values);
        let metadata = attributes.metadata();
        let kind = (metadata.name(), metadata.target().to_owned());
        let is_root = attributes.is_root();
        let mut log = self.log();
        log.spans.push(SpanRecord { kind, fields: values.0, is_root, ..SpanRecord::default() });
        let id = Id::from_u64(log.spans.len() as u64);
        drop(log);
        call_hook("new_span");
        id
    }

    fn record(&self, id: &Id, record: &Record<'_>) {
        let mut values = Values::default();
        record.record(&mut values);
        self.change("record", id.into_u64(), |span, _| span.fields.extend(values.0));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        assert_eq!(event.metadata().target(), "tokio::task::waker");
        let mut values = Values::default();
        event.record(&mut values);
        let id = values.0["task.id"].parse().unwrap();
        self.change("event", id, |span, entered| match values.0["op"].as_str() {
            "waker.clone" => span.wakers.0 += 1,
            "waker.drop" => span.wakers.1 += 1,
            "waker.wake_by_ref" => {
                match entered.contains(&id) {
                    false => span.wakes.0 += 1,
                    true => span.wakes.1 += 1,
                }
                span.woken_in.extend(entered);
            }
            op => panic!("{op}"),
        });
    }

    fn enter(&self, id: &Id) {
        self.log().entered.push(id.into_u64());
        self.change("enter", id.into_u64(), |span, _| span.enters += 1);
    }

    fn exit(&self, id: &Id) {
        let left = self.log().entered.pop();
        assert_eq!(left, Some(id.into_u64()), "spans are nested");
        self.change("exit", id.into_u64(), |span, _| span.exits += 1);
    }

    fn try_close(&self, id: Id) -> bool {
        self.change("try_close", id.into_u64(), |span, _| span.closes += 1);
        true
    }
}

//! Metrics of a loop: counters that are always on, and measured times.
//!
//! The loop stores its counters in a page of atomics, which [`Metrics`] reads from any thread, even
//! while a callback is stuck. A turn costs one store, by its kind; other counters are updated once
//! per tick or system call. Times need a clock, and are measured only on request.
//!
//! | file | contents |
//! |---|---|
//! | `page`, `number` | the atomics that the loop writes |
//! | `histogram` | durations in buckets |

mod histogram;
mod number;
mod page;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::histogram::Histogram;
pub(crate) use self::page::{Gauges, Page, TurnCounter};
use crate::tape::TurnKind;

/// Metrics of a loop, readable from any thread. Returned by [`LoopHandle::metrics`].
///
/// Each method reads the current value. The counters are complete at the end of each tick. A turn
/// is counted when it begins, so they also include the callback that is stuck. They remain readable
/// then, and after the loop is closed. All counters begin at zero and never decrease.
///
/// Times are zero, and histograms are empty, without [`EventLoopBuilder::measure`].
///
/// ```
/// use mainspring::EventLoop;
/// use std::time::Duration;
///
/// let mut el = EventLoop::builder().measure(true).build()?;
/// el.call_later(Duration::from_millis(1), |_, _| {});
/// el.call_soon(|_, _| std::thread::sleep(Duration::from_millis(2)));
/// el.run()?;
///
/// let metrics = el.metrics();
/// let reader = std::thread::spawn(move || metrics.calls());
/// assert_eq!(reader.join().unwrap(), 2);
/// assert_eq!(el.metrics().timers_run(), 1);
/// assert!(el.metrics().call_durations().max() >= Duration::from_millis(2));
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// [`LoopHandle::metrics`]: crate::LoopHandle::metrics
/// [`EventLoopBuilder::measure`]: crate::EventLoopBuilder::measure
#[derive(Clone)]
pub struct Metrics {
    page: Arc<Page>,
}

/// Defines a method for each number, and [`Metrics::visit`].
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $unit:literal,)*) => {
        impl Metrics {
            $($(#[$doc])* pub fn $name(&self) -> u64 {
                self.page.$name()
            })*

            /// Calls `visit` with the name and the value of each number, for an exporter. Names of
            /// times contain `_seconds`.
            ///
            /// Names that end in `_total` are counters, which never decrease. The others are
            /// gauges. The [turns](Metrics::turns) of each kind are `soon_turns_total`,
            /// `timer_turns_total` and so on, without a label: a sum over all of them is
            /// `calls_total`. Each histogram has `_seconds_count`, `_seconds_sum` and
            /// `_seconds_max`; its buckets are in [`Histogram::buckets`].
            ///
            /// ```
            /// let mut el = mainspring::EventLoop::new()?;
            /// el.call_soon(|_, _| {});
            /// el.run()?;
            /// let mut text = String::new();
            /// el.metrics().visit(|name, value| text += &format!("mainspring_{name} {value}\n"));
            /// assert!(text.contains("mainspring_calls_total 1\n"));
            /// assert!(text.contains("mainspring_soon_turns_total 1\n"));
            /// # Ok::<(), mainspring::Error>(())
            /// ```
            pub fn visit(&self, mut visit: impl FnMut(&str, f64)) {
                $(visit(concat!(stringify!($name), $unit), self.$name() as f64);)*
                for (kind, name) in TURNS {
                    visit(name, self.turns(kind) as f64);
                }
                visit("busy_seconds_total", self.busy().as_secs_f64());
                visit("idle_seconds_total", self.idle().as_secs_f64());
                for (name, histogram) in self.histograms() {
                    visit(&format!("{name}_seconds_count"), histogram.count() as f64);
                    visit(&format!("{name}_seconds_sum"), histogram.sum().as_secs_f64());
                    visit(&format!("{name}_seconds_max"), histogram.max().as_secs_f64());
                }
            }
        }
    };
}

numbers! {
    /// Returns the number of ticks.
    ticks: "_total",
    /// Returns the number of callbacks that ran, including polls of tasks: the
    /// [turns](Metrics::turns) of all kinds.
    calls: "_total",
    /// Returns the number of descriptors that the selector has reported as ready.
    events: "_total",
    /// Returns the number of events that led to nothing. If a descriptor has a reader and a writer,
    /// an event counts for each of them.
    ///
    /// For some of them nothing ran: the registration had [ended](Metrics::stale_events) or is
    /// paused, or no task waited for the descriptor. For the others a callback ran for nothing: the
    /// first read or write of a connection would have blocked, the first receive of a datagram
    /// endpoint, or the first accept of a server. The loop cannot see the calls of other callbacks.
    /// The calls of tasks are not examined.
    spurious_events: "_total",
    /// Returns the number of events for a registration that had already ended.
    stale_events: "_total",
    /// Returns how often other threads have woken the loop.
    wakeups: "_total",
    /// Returns the number of closures from other threads that were queued.
    messages: "_total",
    /// Returns the number of timers that were due, without those of the loop itself.
    timers_run: "_total",
    /// Returns the number of signals that were handled; merged ones count once.
    signals: "_total",
    /// Returns the number of connections that listeners have accepted.
    accepted: "_total",
    /// Returns the number of bytes that connections, datagram endpoints, [`Io`](crate::Io) and the
    /// sockets of tasks have read or received. A call through `try_io` or `read_with` counts for
    /// nothing, because its bytes are not known. A user-defined stream counts what it returns.
    received_bytes: "_total",
    /// Returns the number of bytes that the kernel, or a user-defined stream, has accepted from
    /// them. The bytes of a queue are not sent yet.
    sent_bytes: "_total",
    /// Returns the largest number of entries that the ready deque had at the start of a batch.
    ready_peak: "",
    /// Returns the number of callbacks that are registered: of descriptors, timers, signals and
    /// hooks. Updated in every 64th tick, and by each call of
    /// [`metrics`](crate::LoopHandle::metrics).
    callbacks: "",
    /// Returns the number of descriptors that are watched, paused ones and those of tasks included.
    /// Updated like [`callbacks`](Metrics::callbacks).
    descriptors: "",
    /// Returns the number of tasks that have not ended. Updated like
    /// [`callbacks`](Metrics::callbacks).
    tasks: "",
    /// Returns the number of armed timers, including those of tasks. Updated like
    /// [`callbacks`](Metrics::callbacks).
    timers: "",
}

/// Names of the turns that are counted, for [`Metrics::visit`].
const TURNS: [(TurnKind, &str); 8] = [
    (TurnKind::Soon, "soon_turns_total"),
    (TurnKind::Timer, "timer_turns_total"),
    (TurnKind::Watcher, "watcher_turns_total"),
    (TurnKind::Stream, "stream_turns_total"),
    (TurnKind::Signal, "signal_turns_total"),
    (TurnKind::Child, "child_turns_total"),
    (TurnKind::Hook, "hook_turns_total"),
    (TurnKind::Task, "task_turns_total"),
];

impl Metrics {
    pub(crate) fn new(page: Arc<Page>) -> Metrics {
        Metrics { page }
    }

    /// Returns the number of turns of a kind that have begun. It is 0 for [`TurnKind::Loop`] and
    /// [`TurnKind::Sleep`], which are not counted: see [`ticks`](Metrics::ticks).
    ///
    /// ```
    /// use mainspring::{EventLoop, TurnKind};
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::new()?;
    /// el.spawn(async { mainspring::yield_now().await }).detach();
    /// el.call_later(Duration::from_millis(1), |_, _| {});
    /// el.run()?;
    /// let metrics = el.metrics();
    /// assert_eq!((metrics.turns(TurnKind::Task), metrics.turns(TurnKind::Timer)), (2, 1));
    /// assert_eq!(metrics.calls(), 3);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn turns(&self, kind: TurnKind) -> u64 {
        self.page.turns(kind)
    }

    /// Returns the time that the loop has spent in ticks, outside of the selector.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.page.busy())
    }

    /// Returns the time that the loop has spent in the selector, where it sleeps.
    pub fn idle(&self) -> Duration {
        Duration::from_nanos(self.page.idle())
    }

    /// Returns the durations of callbacks, including polls of tasks.
    pub fn call_durations(&self) -> Histogram {
        self.page.times().map(|times| times.calls.read()).unwrap_or_default()
    }

    /// Returns the times from the end of the selector's sleep to the start of each callback: the
    /// wait in the ready deque, behind the other callbacks of the batch.
    pub fn delays(&self) -> Histogram {
        self.page.times().map(|times| times.delays.read()).unwrap_or_default()
    }

    /// Returns the times from the deadline of a timer until it was queued.
    pub fn lateness(&self) -> Histogram {
        self.page.times().map(|times| times.lateness.read()).unwrap_or_default()
    }

    fn histograms(&self) -> [(&'static str, Histogram); 3] {
        [
            ("call_durations", self.call_durations()),
            ("delays", self.delays()),
            ("lateness", self.lateness()),
        ]
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Metrics");
        self.visit(|name, value| {
            fields.field(name, &value);
        });
        fields.finish()
    }
}

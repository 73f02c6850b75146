//! The metrics page: written by the loop, read by any thread.

use std::sync::OnceLock;

use super::histogram::Buckets;
use super::number::Number;
use crate::tape::TurnKind;

/// Numbers of registrations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gauges {
    pub(crate) callbacks: usize,
    pub(crate) descriptors: usize,
    pub(crate) tasks: usize,
    pub(crate) timers: usize,
}

/// Values that need a clock. A custom clock may go back, so differences saturate.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Nanoseconds outside of the selector, and in it.
    pub(super) busy: Number,
    pub(super) idle: Number,
    /// Time at which the selector returned, or the hooks before it began; [`ASLEEP`] between two
    /// ticks.
    awake_since: Number,
    pub(super) calls: Buckets,
    pub(super) delays: Buckets,
    pub(super) lateness: Buckets,
}

/// Value of `awake_since` between ticks. Differences to it saturate to zero.
const ASLEEP: u64 = u64::MAX;

/// Defines the counters of turns, and the kind of each.
macro_rules! counters {
    ($($counter:ident => $kind:ident,)*) => {
        /// A counter of turns. Each source of callbacks has one, and a kind may have several, so
        /// that a turn is counted without a table.
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum TurnCounter {
            $($counter,)*
        }

        /// The kinds of the turns, by [`TurnCounter`].
        const COUNTED: [TurnKind; [$(TurnCounter::$counter),*].len()] = [$(TurnKind::$kind),*];
    };
}

counters! {
    Soon => Soon,
    Timer => Timer,
    Interval => Timer,
    WallTimer => Timer,
    BootTimer => Timer,
    Schedule => Timer,
    Watch => Watcher,
    Stream => Stream,
    Signal => Signal,
    Child => Child,
    Hook => Hook,
    Task => Task,
}

impl TurnCounter {
    /// Returns the kind of the turns that are counted here.
    pub(crate) fn kind(self) -> TurnKind {
        COUNTED[self as usize]
    }
}

/// All numbers of a loop.
#[derive(Debug, Default)]
pub(crate) struct Page {
    ticks: Number,
    /// Turns by [`TurnCounter`].
    turns: [Number; COUNTED.len()],
    ready_peak: Number,
    events: Number,
    pub(crate) spurious_events: Number,
    stale_events: Number,
    pub(crate) wakeups: Number,
    pub(crate) messages: Number,
    pub(crate) timers_run: Number,
    pub(crate) signals: Number,
    pub(crate) accepted: Number,
    pub(crate) received_bytes: Number,
    pub(crate) sent_bytes: Number,
    callbacks: Number,
    descriptors: Number,
    tasks: Number,
    timers: Number,
    times: OnceLock<Box<Times>>,
}

/// The gauges are updated in each tick with a number divisible by this.
const TICKS_PER_UPDATE: u64 = 64;

impl Page {
    /// Starts the tick with this number. Returns true if the gauges are due.
    #[inline]
    pub(crate) fn begin_tick(&self, tick: u64) -> bool {
        self.ticks.set(tick);
        tick.is_multiple_of(TICKS_PER_UPDATE)
    }

    /// Counts the events that the selector has returned.
    #[inline]
    pub(crate) fn add_events(&self, events: usize) {
        self.events.add(events as u64);
    }

    /// Notes the entries of the ready deque before a batch, which may not return.
    #[inline]
    pub(crate) fn begin_batch(&self, ready: usize) {
        if ready as u64 > self.ready_peak.get() {
            self.ready_peak.set(ready as u64);
        }
    }

    /// Counts an event for a registration that had ended.
    #[cold]
    pub(crate) fn add_stale_event(&self) {
        self.stale_events.add(1);
        self.spurious_events.add(1);
    }

    /// Counts a turn that begins.
    #[inline(always)]
    pub(crate) fn count_turn(&self, counter: TurnCounter) {
        self.turns[counter as usize].add(1);
    }

    pub(super) fn turns(&self, kind: TurnKind) -> u64 {
        let of_kind = self.turns.iter().zip(COUNTED).filter(|(_, other)| *other == kind);
        of_kind.map(|(number, _)| number.get()).sum()
    }

    pub(super) fn calls(&self) -> u64 {
        self.turns.iter().map(Number::get).sum()
    }

    pub(crate) fn set_gauges(&self, gauges: Gauges) {
        self.callbacks.set(gauges.callbacks as u64);
        self.descriptors.set(gauges.descriptors as u64);
        self.tasks.set(gauges.tasks as u64);
        self.timers.set(gauges.timers as u64);
    }

    /// Turns the measuring of times on.
    pub(crate) fn measure(&self) {
        self.times.get_or_init(Box::default).awake_since.set(ASLEEP);
    }

    /// Returns the times, if they are measured.
    #[inline]
    pub(crate) fn times(&self) -> Option<&Times> {
        self.times.get().map(|times| &**times)
    }

    pub(super) fn busy(&self) -> u64 {
        self.times().map_or(0, |times| times.busy.get())
    }

    pub(super) fn idle(&self) -> u64 {
        self.times().map_or(0, |times| times.idle.get())
    }
}

/// Defines a getter for each number.
macro_rules! getters {
    ($($name:ident)*) => {
        impl Page {
            $(pub(crate) fn $name(&self) -> u64 {
                self.$name.get()
            })*
        }
    };
}

getters! {
    ticks ready_peak events spurious_events stale_events wakeups messages timers_run signals accepted
    received_bytes sent_bytes callbacks descriptors tasks timers
}

impl Times {
    /// Starts the part of a tick before the call of the selector.
    pub(crate) fn begin_tick(&self, now: u64) {
        self.awake_since.set(now);
    }

    /// Ends a call of the selector.
    pub(crate) fn end_select(&self, began: u64, now: u64) {
        self.busy.add(began.saturating_sub(self.awake_since.get()));
        self.idle.add(now.saturating_sub(began));
        self.awake_since.set(now);
    }

    /// Returns true if a tick has begun and not ended.
    pub(crate) fn is_in_tick(&self) -> bool {
        self.awake_since.get() != ASLEEP
    }

    /// Ends a tick.
    pub(crate) fn end_tick(&self, now: u64) {
        self.busy.add(now.saturating_sub(self.awake_since.get()));
        self.awake_since.set(ASLEEP);
    }

    /// Ends a call of a callback.
    #[inline]
    pub(crate) fn add_call(&self, began: u64, ended: u64) {
        self.delays.add(began.saturating_sub(self.awake_since.get()));
        self.calls.add(ended.saturating_sub(began));
    }

    pub(crate) fn add_lateness(&self, nanos: u64) {
        self.lateness.add(nanos);
    }
}

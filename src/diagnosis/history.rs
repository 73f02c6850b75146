//! The data that a diagnosis compares with previous diagnoses.
//!
//! From the first diagnosis on, every 64th tick takes a sample: which tasks and closures are queued
//! before the selector is called. The calls of this tick or of the next one are sampled as well:
//! which timers and tasks run, and is each descriptor as ready after a call of its callback as
//! before?

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::panic::Location;
use std::time::Duration;

use mainspring_sys::nonblocking::is_ready;
use mainspring_sys::socket::unread_input;

use super::flag::{Flag, FlagKind};
use crate::handle::Key;
use crate::metrics::Histogram;
use crate::snapshot::{EntryKind, PlaceCount};

/// Ticks between two samples.
pub(crate) const TICKS_PER_SAMPLE: u64 = 64;
/// Samples, and sampled calls of a descriptor's callback, that are needed for a flag.
const ENOUGH: u32 = 15;
/// Descriptors that are sampled, and queued keys that are kept: a busy loop has few.
const MAX_SAMPLED: usize = 16;
/// Longest tick, on average, of a loop that does nothing.
const IDLE_TICK: Duration = Duration::from_micros(50);
/// Minimum time for which a reader must have been paused.
const PAUSED: Duration = Duration::from_secs(10);
/// Diagnoses in a row in which a place must have grown, and the smallest growth in all of them.
const GROWN_DIAGNOSES: u32 = 4;
const GROWTH: usize = 100;
/// Number of its delays for which a timer must have been armed, and the least time for that.
const DELAYS: u32 = 100;
const LEAST_ARMED: Duration = Duration::from_secs(1);

/// A task, a queued closure or a timer. A closure has another key each time it is queued or armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spinner {
    Task(Key),
    Closure(&'static Location<'static>),
    Timer(&'static Location<'static>),
}

/// A descriptor that a callback watches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptor {
    pub(crate) key: Key,
    pub(crate) fd: RawFd,
    /// Calls of the callback when the samples began.
    pub(crate) runs: u64,
    /// Number of calls that were sampled.
    sampled_calls: u32,
    /// True if no sampled call has taken input.
    is_undrained: bool,
}

impl Descriptor {
    pub(crate) fn new(key: Key, fd: RawFd, runs: u64) -> Descriptor {
        Descriptor { key, fd, runs, sampled_calls: 0, is_undrained: true }
    }

    fn unread(&self) -> Option<usize> {
        unread_input(self.fd)
    }
}

/// Data of previous diagnoses.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: u32,
    /// Tasks and closures that all samples have found.
    queued: Vec<Spinner>,
    sampled_ticks: u32,
    /// Timers and tasks that have run in the tick that is sampled now, and in all sampled ticks.
    running: Vec<Spinner>,
    ran: Vec<Spinner>,
    descriptors: Vec<Descriptor>,
    /// Time and numbers at the last diagnosis.
    pub(crate) began: Option<Numbers>,
    /// Durations of calls that were measured before the last diagnosis.
    pub(crate) durations: Histogram,
    /// Paused readers: their calls, and when they were first found.
    paused: HashMap<Key, (u64, Duration)>,
    /// Armed timers that have not run: the delay that was left, and when they were first found.
    armed: HashMap<Key, (Duration, Duration)>,
    growth: HashMap<(EntryKind, &'static Location<'static>), Growth>,
}

/// Numbers of a loop at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    /// The loop's time.
    pub(crate) now: Duration,
    pub(crate) ticks: u64,
    /// Events, messages and signals.
    pub(crate) from_outside: u64,
    /// Turns on the tape that have ended.
    pub(crate) turns: u64,
}

/// The growth of a place's count.
#[derive(Debug, Clone, Copy)]
struct Growth {
    first: usize,
    last: usize,
    /// Diagnoses in a row in which it has grown.
    diagnoses: u32,
}

impl History {
    /// Takes a sample, before the selector is called.
    pub(crate) fn sample(&mut self, queued: impl Iterator<Item = Spinner>) {
        let queued = queued.take(MAX_SAMPLED).collect();
        keep_common(&mut self.queued, queued, &mut self.samples);
    }

    /// Notes that a timer or a task runs in a sampled tick.
    pub(crate) fn note_run(&mut self, spinner: Spinner) {
        if self.running.len() < MAX_SAMPLED {
            self.running.push(spinner);
        }
    }

    /// Ends a sampled tick.
    pub(crate) fn end_tick(&mut self) {
        let running = std::mem::take(&mut self.running);
        keep_common(&mut self.ran, running, &mut self.sampled_ticks);
    }

    /// Returns the amount of unread input before a call of the callback `key`, if it is sampled and
    /// the amount can be found out.
    pub(crate) fn begin_call(&self, key: Key) -> Option<usize> {
        self.descriptors.iter().find(|descriptor| descriptor.key == key)?.unread()
    }

    /// Notes that the callback `key` was called, when the amount `before` was unread.
    pub(crate) fn end_call(&mut self, key: Key, before: usize) {
        let called = self.descriptors.iter_mut().find(|descriptor| descriptor.key == key);
        if let Some(descriptor) = called {
            descriptor.sampled_calls += 1;
            let is_same = descriptor.unread() >= Some(before) && is_ready(descriptor.fd, false);
            descriptor.is_undrained &= is_same;
        }
    }

    /// Returns true if enough samples were taken since the last diagnosis.
    pub(crate) fn is_sampled(&self) -> bool {
        self.samples >= ENOUGH
    }

    /// Notes that the tape begins again, in a forked child.
    pub(crate) fn forget_turns(&mut self) {
        if let Some(before) = &mut self.began {
            before.turns = 0;
        }
    }

    /// Begins to sample these descriptors.
    pub(crate) fn begin(&mut self, now: Numbers, mut descriptors: Vec<Descriptor>) {
        descriptors.sort_by_key(|descriptor| std::cmp::Reverse(descriptor.runs));
        descriptors.truncate(MAX_SAMPLED);
        (self.samples, self.sampled_ticks, self.began) = (0, 0, Some(now));
        self.descriptors = descriptors;
    }

    /// Returns the tasks and closures that were queued in each sample, and then the timers and
    /// tasks that ran in each sampled tick, if the ticks were short and next to nothing came from
    /// outside.
    pub(crate) fn busy(&self, now: Numbers) -> [&[Spinner]; 2] {
        let Some(before) = self.began else { return [&[]; 2] };
        let ticks = now.ticks.saturating_sub(before.ticks).max(1);
        let tick = now.now.saturating_sub(before.now) / u32::try_from(ticks).unwrap_or(u32::MAX);
        let is_spinning = now.from_outside - before.from_outside < ticks / 10 && tick < IDLE_TICK;
        let found = |list, samples| if is_spinning && samples >= ENOUGH { list } else { &[][..] };
        [found(&self.queued, self.samples), found(&self.ran, self.sampled_ticks)]
    }

    /// Returns the descriptors that stay ready although their callbacks run. `runs` returns the
    /// present number of calls.
    pub(crate) fn undrained(
        &self,
        now: Numbers,
        runs: impl Fn(Key) -> Option<u64>,
    ) -> Vec<(Descriptor, u64)> {
        let Some(before) = self.began.filter(|_| self.is_sampled()) else { return Vec::new() };
        let enough = now.ticks.saturating_sub(before.ticks) / 10 * 9;
        let is_undrained = |descriptor: &&Descriptor| {
            descriptor.is_undrained && descriptor.sampled_calls >= ENOUGH
        };
        let found = self.descriptors.iter().filter(is_undrained);
        let calls = found.filter_map(|descriptor| {
            Some((*descriptor, runs(descriptor.key)?.saturating_sub(descriptor.runs)))
        });
        calls.filter(|(_, calls)| *calls >= enough).collect()
    }

    /// Updates the paused readers with waiting input: their keys and numbers of calls. Returns
    /// those that have been paused for long, with the time.
    pub(crate) fn paused(&mut self, now: Duration, found: &[(Key, u64)]) -> Vec<(Key, Duration)> {
        let before = std::mem::take(&mut self.paused);
        let mut long = Vec::new();
        for (key, runs) in found {
            let known = before.get(key).filter(|(known, _)| known == runs);
            let since = known.map_or(now, |(_, since)| *since);
            self.paused.insert(*key, (*runs, since));
            let time = now.saturating_sub(since);
            long.extend((time >= PAUSED).then_some((*key, time)));
        }
        long
    }

    /// Updates the armed timers that have never run: their keys and delays. Returns those that were
    /// armed for many times their delay, with the time and the delay.
    pub(crate) fn armed(
        &mut self,
        now: Duration,
        found: &[(Key, Duration)],
    ) -> Vec<(Key, Duration, Duration)> {
        let before = std::mem::take(&mut self.armed);
        let mut long = Vec::new();
        for (key, delay) in found {
            let (known, since) = before.get(key).copied().unwrap_or((*delay, now));
            let delay = known.max(*delay);
            self.armed.insert(*key, (delay, since));
            let time = now.saturating_sub(since);
            let is_long = time >= LEAST_ARMED && time / DELAYS >= delay;
            long.extend(is_long.then_some((*key, time, delay)));
        }
        long
    }

    /// Updates the counts by place. Adds a flag for each place that has grown in each of the last
    /// diagnoses, to at least twice its count.
    pub(crate) fn grown(&mut self, counts: &[PlaceCount], flags: &mut Vec<Flag>) {
        let before = std::mem::take(&mut self.growth);
        for place in counts {
            let (kind, location, count) = (place.kind(), place.location(), place.count());
            let fresh = Growth { first: count, last: count, diagnoses: 0 };
            let growth = match before.get(&(kind, location)) {
                Some(known) if count > known.last => {
                    Growth { last: count, diagnoses: known.diagnoses + 1, ..*known }
                }
                _ => fresh,
            };
            self.growth.insert((kind, location), growth);
            let Growth { first, diagnoses, .. } = growth;
            if diagnoses >= GROWN_DIAGNOSES && count >= 2 * first && count - first >= GROWTH {
                let figures = format!("{count} now, {first} before the last {diagnoses} calls");
                let place = Some(format!("{kind} {}:{}", location.file(), location.line()));
                flags.push(Flag::new(FlagKind::GrowingPlace, place, figures));
            }
        }
    }
}

/// Keeps what the lists of all samples have in common.
fn keep_common(common: &mut Vec<Spinner>, sample: Vec<Spinner>, samples: &mut u32) {
    match *samples {
        0 => *common = sample,
        _ => common.retain(|known| sample.contains(known)),
    }
    *samples += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e8_a_loop_is_busy_at_its_limits_and_not_beyond() {
        const TICKS: u64 = 1000;
        let numbers = |ticks, now, from_outside| Numbers { now, ticks, from_outside, turns: 0 };
        let busy = |samples, from_outside, time: Duration| {
            let mut history = History::default();
            history.begin(numbers(0, Duration::ZERO, 0), Vec::new());
            let task = Spinner::Task(Key::INBOX);
            (0..samples).for_each(|_| history.sample([task].into_iter()));
            let queued = history.busy(numbers(TICKS, time, from_outside));
            let mut history = History::default();
            history.begin(numbers(0, Duration::ZERO, 0), Vec::new());
            for _ in 0..samples {
                history.note_run(task);
                history.end_tick();
            }
            let ran = history.busy(numbers(TICKS, time, from_outside));
            assert_eq!([queued[0], queued[1]], [ran[1], ran[0]]);
            !queued[0].is_empty()
        };
        let (short, ns) = (1000 * IDLE_TICK, Duration::from_nanos(TICKS));
        assert!(busy(ENOUGH, TICKS / 10 - 1, short - ns));
        assert!(!busy(ENOUGH - 1, TICKS / 10 - 1, short - ns), "too few samples");
        assert!(!busy(ENOUGH, TICKS / 10, short - ns), "events in a tenth of the ticks");
        assert!(!busy(ENOUGH, TICKS / 10 - 1, short), "it works in each tick");
    }
}

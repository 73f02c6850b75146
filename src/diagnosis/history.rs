//! The data that a diagnosis compares with previous calls.
//!
//! From the first diagnosis on, every 64th tick takes a sample: which tasks and closures are queued
//! before the selector is called. In the tick after it, each call of a sampled descriptor's
//! callback is checked: is the descriptor as ready as before?

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
/// Samples, and checked calls of a descriptor, that are needed for a flag.
const ENOUGH: u32 = 15;
/// Descriptors that are sampled, and queued keys that are kept: a busy loop has few.
const MAX_SAMPLED: usize = 16;
/// Longest tick, on average, of a loop that does nothing.
const IDLE_TICK: Duration = Duration::from_micros(50);
/// Minimum time for which a reader must have been paused.
const PAUSED: Duration = Duration::from_secs(10);
/// Calls in which a place must have grown, and the smallest growth in all of them.
const GROWN_CALLS: u32 = 4;
const GROWTH: usize = 100;
/// Number of its delays for which a timer must have been armed, and the least time for that.
const DELAYS: u32 = 100;
const LEAST_ARMED: Duration = Duration::from_secs(1);

/// A task or a queued closure. A closure is queued under another key each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    Task(Key),
    Closure(&'static Location<'static>),
}

/// A descriptor that a callback watches in the mode level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptor {
    pub(crate) key: Key,
    pub(crate) fd: RawFd,
    /// Calls of the callback when the samples began.
    pub(crate) runs: u64,
    /// Number of calls that were checked.
    checked: u32,
    /// True if no checked call has taken input.
    is_undrained: bool,
}

impl Descriptor {
    pub(crate) fn new(key: Key, fd: RawFd, runs: u64) -> Descriptor {
        Descriptor { key, fd, runs, checked: 0, is_undrained: true }
    }

    fn unread(&self) -> Option<usize> {
        unread_input(self.fd)
    }
}

/// Data of previous calls.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: u32,
    /// Tasks and closures that all samples have found.
    queued: Vec<Queued>,
    descriptors: Vec<Descriptor>,
    /// Time and numbers at the last call.
    pub(crate) began: Option<Numbers>,
    /// Durations of calls that were measured before the last call.
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
    /// Events, messages, signals and timers.
    pub(crate) from_outside: u64,
    /// Turns on the tape that have ended.
    pub(crate) turns: u64,
}

/// The growth of a place's count.
#[derive(Debug, Clone, Copy)]
struct Growth {
    first: usize,
    last: usize,
    /// Calls in a row in which it has grown.
    calls: u32,
}

impl History {
    /// Takes a sample, before the selector is called.
    pub(crate) fn sample(&mut self, queued: impl Iterator<Item = Queued>) {
        let queued: Vec<Queued> = queued.take(MAX_SAMPLED).collect();
        match self.samples {
            0 => self.queued = queued,
            _ => self.queued.retain(|known| queued.contains(known)),
        }
        self.samples += 1;
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
            descriptor.checked += 1;
            let is_same = descriptor.unread() >= Some(before) && is_ready(descriptor.fd, false);
            descriptor.is_undrained &= is_same;
        }
    }

    /// Returns true if enough samples were taken since the last call.
    pub(crate) fn is_sampled(&self) -> bool {
        self.samples >= ENOUGH
    }

    /// Begins to sample these descriptors.
    pub(crate) fn begin(&mut self, now: Numbers, mut descriptors: Vec<Descriptor>) {
        descriptors.sort_by_key(|descriptor| std::cmp::Reverse(descriptor.runs));
        descriptors.truncate(MAX_SAMPLED);
        (self.samples, self.began) = (0, Some(now));
        (self.queued, self.descriptors) = (Vec::new(), descriptors);
    }

    /// Returns the tasks and closures that were queued in each sample, if the ticks were short and
    /// next to nothing came from outside.
    pub(crate) fn busy(&self, now: Numbers) -> &[Queued] {
        let Some(before) = self.began.filter(|_| self.is_sampled()) else { return &[] };
        let ticks = now.ticks.saturating_sub(before.ticks).max(1);
        let tick = now.now.saturating_sub(before.now) / u32::try_from(ticks).unwrap_or(u32::MAX);
        let is_spinning = now.from_outside - before.from_outside < ticks / 10;
        if is_spinning && tick < IDLE_TICK { &self.queued } else { &[] }
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
        let is_undrained =
            |descriptor: &&Descriptor| descriptor.is_undrained && descriptor.checked >= ENOUGH;
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
    /// calls, to at least twice its count.
    pub(crate) fn grown(&mut self, counts: &[PlaceCount], flags: &mut Vec<Flag>) {
        let before = std::mem::take(&mut self.growth);
        for place in counts {
            let (kind, location, count) = (place.kind(), place.location(), place.count());
            let fresh = Growth { first: count, last: count, calls: 0 };
            let growth = match before.get(&(kind, location)) {
                Some(known) if count > known.last => {
                    Growth { last: count, calls: known.calls + 1, ..*known }
                }
                _ => fresh,
            };
            self.growth.insert((kind, location), growth);
            let Growth { first, calls, .. } = growth;
            if calls >= GROWN_CALLS && count >= 2 * first && count - first >= GROWTH {
                let figures = format!("{count} now, {first} {calls} calls before");
                let place = Some(format!("{kind} {}:{}", location.file(), location.line()));
                flags.push(Flag::new(FlagKind::GrowingPlace, place, figures));
            }
        }
    }
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
            let task = Queued::Task(Key::INBOX);
            (0..samples).for_each(|_| history.sample([task].into_iter()));
            !history.busy(numbers(TICKS, time, from_outside)).is_empty()
        };
        let (short, ns) = (1000 * IDLE_TICK, Duration::from_nanos(TICKS));
        assert!(busy(ENOUGH, TICKS / 10 - 1, short - ns));
        assert!(!busy(ENOUGH - 1, TICKS / 10 - 1, short - ns), "too few samples");
        assert!(!busy(ENOUGH, TICKS / 10, short - ns), "events in a tenth of the ticks");
        assert!(!busy(ENOUGH, TICKS / 10 - 1, short), "it works in each tick");
    }
}

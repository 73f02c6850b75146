//! The reader of a tape: from words, of this process or another, to turns.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainspring_sys::inherited::monotonic_micros;

use super::layout::{self, Reason, Record, TIME_BITS};
use super::turn::{Cause, Turn, TurnKind};
use super::turn_id::TurnId;
use crate::log_text::OneLine;

/// The last turns of a loop, oldest first. Returned by [`LoopHandle::tape`], or read by any program
/// from a file of [`Recorder::black_box`].
///
/// [The program `mainspring`](crate::guide::the_program_mainspring) reads it from another process.
/// [The guide](crate::guide::debugging_a_stuck_daemon) uses it to find a stuck callback.
///
/// ```
/// use mainspring::testing::SimClock;
/// use mainspring::{Cause, EventLoop, Recorder, TurnKind};
/// use std::time::Duration;
///
/// let clock = SimClock::new(); // the tape of simulated time is the same in each run
/// let mut el = EventLoop::builder().clock(clock).record(Recorder::ring(64)).build()?;
/// el.call_later(Duration::from_secs(2), |_, _| {});
/// el.run()?;
/// let tape = el.tape().expect("a recorder");
/// let timer = tape.turns().iter().find(|turn| turn.kind == TurnKind::Timer).unwrap();
/// assert_eq!((timer.at, timer.cause), (Duration::from_secs(2), Cause::Timer));
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// [`LoopHandle::tape`]: crate::LoopHandle::tape
/// [`Recorder::black_box`]: crate::Recorder::black_box
#[derive(Debug, Clone)]
pub struct Tape {
    process: u32,
    started: SystemTime,
    /// Time from the creation of the loop to the reading of the tape.
    read_at: Duration,
    turns: Vec<Turn>,
}

impl Tape {
    /// Returns the time of day at which the loop was created.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Returns the time from the start of the last turn until the tape was read: for a stuck
    /// callback, how long it has been running.
    ///
    /// Meaningless if the process has ended, or if the loop does not use the default clock.
    ///
    /// ```
    /// # use mainspring::{EventLoop, Recorder};
    /// # use std::time::Duration;
    /// let mut el = EventLoop::builder().record(Recorder::ring(64)).build()?;
    /// el.call_soon(|el, _| {
    ///     std::thread::sleep(Duration::from_millis(2));
    ///     assert!(el.tape().unwrap().age() >= Duration::from_millis(1));
    /// });
    /// el.run()?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn age(&self) -> Duration {
        let last = self.turns.last().map_or(self.read_at, |turn| turn.at);
        self.read_at.saturating_sub(last)
    }

    /// Returns the turns, oldest first. The last one may still be running.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Returns the turn with this number, if the tape still has it.
    pub(super) fn turn(&self, number: u64) -> Option<&Turn> {
        let at = self.turns.binary_search_by_key(&number, |turn| turn.number);
        at.ok().map(|at| &self.turns[at])
    }

    /// Returns the id of the process that wrote the tape.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Returns the turns that ended in the last `time` of the tape, and the running turn.
    ///
    /// ```
    /// # use mainspring::{EventLoop, Recorder};
    /// # use std::time::Duration;
    /// let clock = mainspring::testing::SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock).record(Recorder::ring(64)).build()?;
    /// for seconds in 1..=3 {
    ///     el.call_later(Duration::from_secs(seconds), |_, _| {});
    /// }
    /// el.run()?;
    /// let tape = el.tape().unwrap().last(Duration::from_millis(1500));
    /// assert_eq!(tape.turns().iter().filter(|turn| turn.kind.is_callback()).count(), 2);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn last(mut self, time: Duration) -> Tape {
        let end = self.turns.last().map_or(Duration::ZERO, |turn| turn.at);
        let begin = end.saturating_sub(time);
        self.turns.retain(|turn| turn.lasted.is_none_or(|lasted| turn.at + lasted >= begin));
        self
    }

    /// Returns the turns for which `keep` returns true, for a diagram of one part of a program.
    ///
    /// ```
    /// # use mainspring::{EventLoop, Recorder};
    /// let mut el = EventLoop::builder().record(Recorder::ring(64)).build()?;
    /// el.call_soon(|_, _| {});
    /// let named = el.call_soon(|_, _| {});
    /// el.set_name(named, "parse");
    /// el.run()?;
    /// let tape = el.tape().unwrap().filter(|turn| turn.place.starts_with("parse ("));
    /// assert_eq!(tape.turns().len(), 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn filter(mut self, keep: impl FnMut(&Turn) -> bool) -> Tape {
        self.turns.retain(keep);
        self
    }

    /// Returns the last turns of the tape in `words` at the time `now`, at most `limit`. `head_now`
    /// is the number of records after `words` were copied, if they were. `None` if the words are
    /// not those of a tape.
    pub(super) fn of_words(
        words: &[AtomicU64],
        limit: u64,
        now: u64,
        head_now: Option<u64>,
    ) -> Option<Tape> {
        let word = |at: usize| words.get(at).map(|word| word.load(Acquire));
        let capacity = usize::try_from(word(layout::CAPACITY)?).ok()?;
        let is_whole = capacity > 0 && words.len().checked_sub(layout::RING_START)? / 2 >= capacity;
        if word(0)? != layout::MAGIC || !is_whole {
            return None;
        }
        let head = word(layout::HEAD)?;
        // One record fewer than the ring holds: the process may have died while it replaced the
        // oldest one.
        let first = head.saturating_sub(limit.min(capacity as u64 - 1));
        let records: Vec<Record> = (first..head)
            .map(|number| {
                let at = layout::position(number, capacity as u64);
                Record::unpack([words[at].load(Relaxed), words[at + 1].load(Relaxed)])
            })
            .collect();
        // Records that a live writer has replaced meanwhile.
        let head = head_now.or_else(|| word(layout::HEAD))?;
        let lost = head.saturating_sub(capacity as u64 - 1).saturating_sub(first);
        let lost = usize::try_from(lost).unwrap_or(usize::MAX).min(records.len());
        let times = times(&records, word(layout::EPOCH)?);
        let places = places(words);
        let first = first + lost as u64;
        let turns = turns(&records[lost..], &times[lost..], &places, first);
        Some(Tape {
            process: word(layout::PROCESS)? as u32,
            started: UNIX_EPOCH + Duration::from_nanos(word(layout::STARTED)?),
            read_at: Duration::from_micros(now.saturating_sub(word(layout::ORIGIN)?)),
            turns,
        })
    }
}

/// Returns the time in microseconds of `CLOCK_MONOTONIC`, which all processes share.
pub(super) fn now() -> u64 {
    monotonic_micros().unwrap_or(0)
}

/// Returns the full times of records, which never decrease. Only the epoch of the last one is
/// stored; it falls by one wherever the lower bits rise backwards.
pub(super) fn times(records: &[Record], mut epoch: u64) -> Vec<u64> {
    let mut times = vec![0; records.len()];
    let (mut later, mut later_record) = (u64::MAX, u64::MAX);
    for (time, record) in times.iter_mut().zip(records).rev() {
        if record.time > later_record {
            epoch = epoch.saturating_sub(1);
        }
        // A damaged tape may have an epoch that cannot fall further.
        later = later.min(epoch << TIME_BITS | record.time);
        (*time, later_record) = (later, record.time);
    }
    times
}

/// Returns the turn that began last, while its loop may still be running; `None` before the first
/// one.
pub(super) fn last_turn(words: &[AtomicU64]) -> Option<Turn> {
    last_turn_at(words, || words[layout::HEAD].load(Acquire))
}

/// Like [`last_turn`]. `head` reads the number of records, which the writer may change in between.
pub(super) fn last_turn_at(words: &[AtomicU64], mut head: impl FnMut() -> u64) -> Option<Turn> {
    let capacity = words[layout::CAPACITY].load(Relaxed);
    loop {
        let begun = head();
        let number = begun.checked_sub(1)?;
        let at = layout::position(number, capacity);
        let record = Record::unpack([words[at].load(Acquire), words[at + 1].load(Acquire)]);
        // Otherwise the writer may have replaced the record meanwhile.
        if head().saturating_sub(begun) < capacity - 1 {
            let (records, epoch) = ([record], words[layout::EPOCH].load(Relaxed));
            return turns(&records, &times(&records, epoch), &places(words), number).pop();
        }
    }
}

pub(super) fn turns(
    records: &[Record],
    times: &[u64],
    places: &[Arc<str>],
    first: u64,
) -> Vec<Turn> {
    let unnamed: Arc<str> = "".into();
    let mut selected = Selected::default();
    let turn = |(index, record): (usize, &Record)| {
        let number = first + index as u64;
        let at = times[index];
        let cause = cause(record, number);
        let end_of = |turn: u64| times.get(usize::try_from((turn + 1).checked_sub(first)?).ok()?);
        match times.get(index + 1) {
            _ if record.cause == Reason::POLL => selected.add(at, at),
            Some(end) if record.kind == TurnKind::Sleep => selected.add(at, *end),
            _ => {}
        }
        let due = match cause {
            Cause::Timer => {
                layout::unpack_lateness(record.cause.value()).map(|late| at - late.min(at))
            }
            Cause::Turn(turn) => end_of(turn).copied(),
            Cause::Loop => None,
            Cause::Fd(_) | Cause::Thread | Cause::Signal | Cause::Child => selected.earliest(),
        };
        let id = TurnId(record.key);
        let lasted = times.get(index + 1).map(|end| Duration::from_nanos(end.saturating_sub(at)));
        let place = usize::from(record.place).checked_sub(1).and_then(|place| places.get(place));
        Turn {
            number,
            at: Duration::from_nanos(at),
            lasted,
            kind: record.kind,
            place: place.unwrap_or(&unnamed).clone(),
            // A queued closure has no slot; its place is what distinguishes it.
            key: if record.kind == TurnKind::Soon { 0 } else { id.slot() },
            cause,
            due: due.map(Duration::from_nanos),
            id,
        }
    };
    records.iter().enumerate().map(turn).collect()
}

/// Longest call of the selector that has returned at once, in nanoseconds.
const AT_ONCE: u64 = 50_000;

/// The last calls of the selector before a turn.
#[derive(Default)]
struct Selected {
    /// Begin and end of the last call, and the end of the one before.
    last: Option<(u64, u64)>,
    ended_before: Option<u64>,
}

impl Selected {
    fn add(&mut self, begin: u64, end: u64) {
        self.ended_before = self.last.map(|(_, end)| end);
        self.last = Some((begin, end));
    }

    /// Returns the earliest time at which an event returned by the last call may have arrived. A
    /// call that slept had no event before its end.
    fn earliest(&self) -> Option<u64> {
        let (begin, end) = self.last?;
        if end - begin > AT_ONCE { Some(end) } else { self.ended_before.or(Some(end)) }
    }
}

fn cause(record: &Record, number: u64) -> Cause {
    match record.cause.kind() {
        1 => Cause::Fd(i32::try_from(record.cause.value()).unwrap_or(-1)),
        2 => Cause::Timer,
        3 => Cause::Thread,
        4 => Cause::Signal,
        5 => Cause::Child,
        6 if record.cause.value() > 0 => {
            Cause::Turn(number.saturating_sub(u64::from(record.cause.value())))
        }
        _ => Cause::Loop,
    }
}

/// Maximum length of a place in bytes. Of a longer one, the end is read, which has the line. A name
/// has any length, and so has a damaged place.
const LONGEST_PLACE: usize = 1024;

fn places(words: &[AtomicU64]) -> Vec<Arc<str>> {
    let used = (words[layout::PLACES].load(Acquire) as usize).min(layout::PLACES_WORDS);
    let mut table = &words[layout::PLACES_START..layout::PLACES_START + used];
    let mut places = Vec::new();
    while let [len, rest @ ..] = table {
        let len = len.load(Relaxed) as usize;
        let text = len.div_ceil(8).min(rest.len());
        let mut bytes: Vec<u8> =
            rest[..text].iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        bytes.truncate(len);
        let place = String::from_utf8_lossy(&bytes);
        let mut line = String::new();
        // Names come from the program, and other programs print them.
        _ = OneLine(&mut line).write_str(layout::end_of(&place, LONGEST_PLACE));
        places.push(line.into());
        table = &rest[text..];
    }
    places
}

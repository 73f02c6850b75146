//! The reasons why a turn was late: the turns that ran between its due time and its start.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::reading::Tape;
use super::turn::{Cause, Turn, TurnKind};
use super::turn_id::TurnId;
use crate::handle::{Handle, Key};

/// Number of parts that the text of a [`Blame`] names; the others are counted.
const SHOWN: usize = 5;

/// The reasons why a turn was late. Returned by [`Tape::blame`] and [`Tape::blame_turn`].
///
/// `Display` writes one line: `timer src/session.rs:41 ran 18.2ms late: 17.6ms of it callback
/// src/log.rs:90, 0.6ms task src/poll.rs:7 (4 turns)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    turn: Turn,
    lateness: Duration,
    parts: Vec<BlamePart>,
}

/// The part of a turn's delay caused by the turns of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlamePart {
    /// The kind of the turns, which may also be the loop's own work or its sleep.
    pub kind: TurnKind,
    /// Place of the registration, as in [`Turn::place`].
    pub place: Arc<str>,
    /// Number of turns that took time.
    pub turns: usize,
    /// Time that they took after the late turn was due.
    pub time: Duration,
}

impl Blame {
    /// Returns the turn that was late.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// Returns the time from the turn's due time to its start. It is an upper bound if the cause is
    /// [external](Turn::due).
    pub fn lateness(&self) -> Duration {
        self.lateness
    }

    /// Returns the turns that ran in this time, by place, the longest sum first.
    pub fn parts(&self) -> &[BlamePart] {
        &self.parts
    }

    /// Returns the longest part that is user code, or `None` if no user code ran.
    pub fn culprit(&self) -> Option<&BlamePart> {
        self.parts.iter().find(|part| part.kind.is_callback())
    }

    /// Returns the part of the lateness from before the beginning of the tape.
    pub fn unexplained(&self) -> Duration {
        let explained = self.parts.iter().map(|part| part.time).sum();
        self.lateness.saturating_sub(explained)
    }
}

impl Tape {
    /// Returns why a timer, a callback or a task was late: for its turn with the greatest
    /// [lateness](Turn::lateness) on this tape. `None` if it has no turn here with a known due
    /// time.
    ///
    /// The handle must belong to the loop of the tape. It may have ended; its turns are then found
    /// until its slot has been reused 256 times.
    ///
    /// ```
    /// use mainspring::testing::SimClock;
    /// use mainspring::{EventLoop, Recorder};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let recorder = Recorder::ring(64);
    /// let mut el = EventLoop::builder().clock(clock.clone()).record(recorder).build()?;
    /// let timer = el.call_later(Duration::from_millis(5), |_, _| {});
    /// let slow = el.call_soon(move |_, _| clock.advance(Duration::from_millis(20)));
    /// el.set_name(slow, "compress");
    /// el.run()?;
    /// let blame = el.tape().unwrap().blame(timer).unwrap();
    /// assert_eq!(blame.lateness(), Duration::from_millis(15));
    /// assert!(blame.culprit().unwrap().place.starts_with("compress ("));
    /// assert!(blame.to_string().contains("ran 15.0ms late: 15.0ms of it callback compress ("));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn blame(&self, handle: impl Into<Handle>) -> Option<Blame> {
        let late = self.turns_of(handle.into().key).filter(|turn| turn.due.is_some());
        self.blame_turn(late.max_by_key(|turn| turn.lateness())?.number)
    }

    /// Returns why the turn with this [number](Turn::number) was late, for a tape of another
    /// process, where no handle exists. `None` if the tape does not contain the turn or its due
    /// time.
    ///
    /// ```
    /// # use mainspring::testing::SimClock;
    /// # use mainspring::{EventLoop, Recorder};
    /// # use std::time::Duration;
    /// # let clock = SimClock::new();
    /// # let recorder = Recorder::ring(64);
    /// # let mut el = EventLoop::builder().clock(clock.clone()).record(recorder).build()?;
    /// el.call_later(Duration::from_millis(5), |_, _| {});
    /// el.call_soon(move |_, _| clock.advance(Duration::from_millis(20)));
    /// el.run()?;
    /// let tape = el.tape().unwrap();
    /// let delayed = tape.turns().iter().max_by_key(|turn| turn.lateness()).unwrap();
    /// let blame = tape.blame_turn(delayed.number).unwrap();
    /// assert_eq!(blame.parts()[0].time, Duration::from_millis(15));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn blame_turn(&self, number: u64) -> Option<Blame> {
        let turn = self.turn(number)?;
        let (due, lateness) = (turn.due?, turn.lateness()?);
        let parts = self.parts_between(due, turn);
        Some(Blame { turn: turn.clone(), lateness, parts })
    }

    /// Returns the turns of a registration. The numbers of a slot repeat after 256 registrations,
    /// so these are the last ones that match.
    fn turns_of(&self, key: Key) -> impl Iterator<Item = &Turn> {
        let id = TurnId::of(key);
        let is_of_slot = move |turn: &&Turn| match turn.kind {
            TurnKind::Loop | TurnKind::Sleep => false,
            TurnKind::Task => key.is_task_layer() && turn.id.slot() == id.slot(),
            TurnKind::Soon => key.is_soon() && turn.cause != Cause::Thread,
            _ => key.is_callback() && turn.id.slot() == id.slot(),
        };
        let of_slot = self.turns().iter().rev().filter(is_of_slot);
        of_slot.skip_while(move |turn| turn.id != id).take_while(move |turn| turn.id == id)
    }

    /// Returns the turns that ran from `due` to the beginning of `late`, by place.
    fn parts_between(&self, due: Duration, late: &Turn) -> Vec<BlamePart> {
        let turns = self.turns();
        let first = turns.partition_point(|turn| turn.end() <= due);
        let mut parts: HashMap<(TurnKind, &str), BlamePart> = HashMap::new();
        for turn in turns[first..].iter().take_while(|turn| turn.number < late.number) {
            let (kind, place) = (turn.kind, turn.place.clone());
            let time = turn.end().saturating_sub(turn.at.max(due));
            let part = parts.entry((kind, &turn.place)).or_insert(BlamePart {
                kind,
                place,
                turns: 0,
                time: Duration::ZERO,
            });
            part.turns += usize::from(!time.is_zero());
            part.time += time;
        }
        let mut parts: Vec<BlamePart> = parts.into_values().collect();
        parts.retain(|part| !part.time.is_zero());
        // The place as well, so that the order is the same each time.
        parts.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.place.cmp(&b.place)));
        parts
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blame { turn, lateness, parts } = self;
        let limit = if turn.is_due_exact() { "" } else { "at most " };
        write!(f, "{} {} ran {limit}{lateness:.1?} late", turn.kind, turn.place)?;
        for (index, part) in parts.iter().take(SHOWN).enumerate() {
            let (separator, of_it) = if index == 0 { (": ", "of it ") } else { (", ", "") };
            write!(f, "{separator}{:.1?} {of_it}{part}", part.time)?;
        }
        if parts.len() > SHOWN {
            write!(f, ", and {} more", parts.len() - SHOWN)?;
        }
        let unexplained = self.unexplained();
        if !unexplained.is_zero() {
            let separator = if parts.is_empty() { ": " } else { ", " };
            write!(f, "{separator}{unexplained:.1?} before the tape begins")?;
        }
        Ok(())
    }
}

impl fmt::Display for BlamePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.place.is_empty() {
            write!(f, " {}", self.place)?;
        }
        if self.turns > 1 {
            write!(f, " ({} turns)", self.turns)?;
        }
        Ok(())
    }
}

//! The contents of a tape as lines of text: the turn that runs, and the places by their time.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use mainspring::{Cause, Tape, Turn, TurnKind};

use super::source::{Source, State};
use super::text::{duration, time_of_day};

/// A tape at the time of its reading.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    source: &'a Source,
    tape: &'a Tape,
    state: State,
    /// Time of the reading, counted from the creation of the loop. Of a process that has ended, the
    /// beginning of its last turn.
    now: Duration,
    /// Beginning of the period.
    begin: Duration,
}

/// The turns of one kind and place within the period.
#[derive(Debug, Default)]
struct Row {
    turns: u64,
    total: Duration,
    worst: Duration,
    /// End of the last turn.
    last: Duration,
}

impl<'a> Summary<'a> {
    /// Summarizes the last `period` of a tape, or all of it.
    pub(crate) fn new(source: &'a Source, tape: &'a Tape, period: Option<Duration>) -> Summary<'a> {
        let state = source.state(tape);
        let last = tape.turns().last().map_or(Duration::ZERO, |turn| turn.at);
        let now = if state == State::Ended { last } else { last + tape.age() };
        let oldest = tape.turns().first().map_or(now, |turn| turn.at);
        let begin = period.map_or(oldest, |period| oldest.max(now.saturating_sub(period)));
        Summary { source, tape, state, now, begin }
    }

    /// Writes what runs now, or ran last.
    pub(crate) fn write_head(&self, out: &mut impl Write) -> io::Result<()> {
        let (tape, pid) = (self.tape, self.tape.process());
        let span = duration(self.now.saturating_sub(self.begin));
        let turns = match self.turns().count() {
            1 => "1 turn".to_owned(),
            turns => format!("{turns} turns"),
        };
        writeln!(out, "tape     {}: {turns} in {span}", self.source.name)?;
        let state = match self.state {
            State::Runs => "runs",
            State::Stopped => "is stopped",
            State::Ended => "has ended",
            State::Unknown => "cannot be checked",
        };
        let started = time_of_day(tape.started());
        writeln!(out, "process  {pid} {state}; its loop was created at {started}")?;
        let Some(turn) = tape.turns().last() else { return writeln!(out, "now      no turn yet") };
        let began = time_of_day(tape.started() + turn.at);
        let cause = self.cause(turn);
        if self.state == State::Ended {
            return writeln!(out, "last     {}, since {began}{cause}", named(turn));
        }
        let since = duration(tape.age());
        writeln!(out, "now      {} for {since}, since {began}{cause}", named(turn))
    }

    /// Writes a line for each place, the longest time first, and at most `limit` of them.
    pub(crate) fn write_places(&self, out: &mut impl Write, limit: usize) -> io::Result<()> {
        writeln!(
            out,
            "{:<14} {:>9} {:>12} {:>11} {:>11} {:>11} {:>6}  PLACE",
            "KIND", "TURNS", "ENDED AGO", "TOTAL", "MEAN", "WORST", "TIME",
        )?;
        let span = self.now.saturating_sub(self.begin).as_secs_f64();
        for ((kind, place), row) in self.rows().iter().take(limit) {
            let share = if span > 0.0 { row.total.as_secs_f64() / span * 100.0 } else { 0.0 };
            let last = self.now.saturating_sub(row.last);
            let last = if last.is_zero() { "now".to_owned() } else { duration(last) };
            let mean = row.total.div_f64(row.turns.max(1) as f64);
            let [total, mean, worst] = [row.total, mean, row.worst].map(duration);
            let (kind, turns) = (kind.to_string(), row.turns);
            let line = format!(
                "{kind:<14} {turns:>9} {last:>12} {total:>11} {mean:>11} {worst:>11} \
                 {share:>5.1}%  {place}",
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Returns the turns of the period.
    fn turns(&self) -> impl Iterator<Item = &'a Turn> {
        self.tape.turns().iter().filter(|turn| self.end(turn) >= self.begin)
    }

    /// Returns the end of a turn. The one that runs ends now.
    fn end(&self, turn: &Turn) -> Duration {
        turn.lasted.map_or(self.now, |lasted| turn.at + lasted)
    }

    fn rows(&self) -> Vec<((TurnKind, &'a str), Row)> {
        let mut rows: HashMap<(TurnKind, &str), Row> = HashMap::new();
        for turn in self.turns() {
            let (row, end) = (rows.entry((turn.kind, &*turn.place)).or_default(), self.end(turn));
            row.turns += 1;
            row.total += end.saturating_sub(turn.at.max(self.begin));
            row.worst = row.worst.max(end.saturating_sub(turn.at));
            row.last = row.last.max(end);
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        // By kind and place as well, so that rows of the same time do not change places.
        rows.sort_by_key(|((kind, place), row)| {
            (std::cmp::Reverse(row.total), kind.to_string(), *place)
        });
        rows
    }

    fn cause(&self, turn: &Turn) -> String {
        match turn.cause {
            Cause::Loop => String::new(),
            Cause::Timer if turn.kind == TurnKind::Timer => String::new(),
            Cause::Turn(number) => {
                let by = self.tape.turns().iter().rev().find(|turn| turn.number == number);
                by.map_or_else(String::new, |by| format!(", queued by {}", named(by)))
            }
            cause => format!(", because of {cause}"),
        }
    }
}

/// Returns the kind and the place of a turn.
fn named(turn: &Turn) -> String {
    match turn.kind {
        TurnKind::Loop => "the loop itself".to_owned(),
        TurnKind::Sleep => "no callback: the loop sleeps".to_owned(),
        kind => format!("{kind} {}", turn.place),
    }
}

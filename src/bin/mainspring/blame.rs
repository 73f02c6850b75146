//! `mainspring blame`: the turns that were late, and what ran instead.

use std::cmp::Reverse;
use std::io::{self, BufWriter, Write};

use mainspring::{Blame, Tape};

use super::arguments::Arguments;
use super::failure::Failure;
use super::source::Source;
use super::text::time_of_day;

/// Number of turns that are shown.
const SHOWN: usize = 10;

pub(crate) fn run(
    arguments: &Arguments,
    sources: &[Source],
    place: Option<&str>,
) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    for source in sources {
        let tape = source.read()?;
        let late = most_delayed(&tape, arguments, place);
        write(&mut out, &tape, &late, place).map_err(|error| Failure::output(&error))?;
    }
    out.flush().map_err(|error| Failure::output(&error))
}

/// Returns why the turns with the longest delays were late, the longest delay first. `place` is a
/// part of their places.
fn most_delayed(tape: &Tape, arguments: &Arguments, place: Option<&str>) -> Vec<Blame> {
    let period = arguments.last.map(|time| tape.clone().last(time));
    let turns = period.as_ref().unwrap_or(tape).turns().iter();
    let mut late: Vec<_> = turns
        .filter(|turn| turn.lateness().is_some_and(|lateness| !lateness.is_zero()))
        .filter(|turn| place.is_none_or(|place| turn.place.contains(place)))
        .collect();
    late.sort_by_key(|turn| Reverse(turn.lateness()));
    // Their causes may be before the period.
    late.iter().take(SHOWN).filter_map(|turn| tape.blame_turn(turn.number)).collect()
}

fn write(out: &mut impl Write, tape: &Tape, late: &[Blame], place: Option<&str>) -> io::Result<()> {
    if late.is_empty() {
        let is_of = |place: &str| tape.turns().iter().any(|turn| turn.place.contains(place));
        return match place {
            Some(place) if !is_of(place) => writeln!(out, "no turn has a place with {place:?}"),
            _ => writeln!(out, "no turn was late"),
        };
    }
    late.iter().try_for_each(|blame| {
        writeln!(out, "{}  {blame}", time_of_day(tape.started() + blame.turn().at))
    })
}

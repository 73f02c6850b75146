//! Callbacks that are long compared with the others of their loop.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::time::Duration;

use super::flag::{Flag, FlagKind};
use crate::metrics::Histogram;
use crate::tape::{Tape, TurnKind};

/// Turns that are needed for a comparison.
const ENOUGH: usize = 20;
/// Minimum duration of a single long turn.
const LONG_ONCE: Duration = Duration::from_millis(100);
const LONG_REPEATED: Duration = Duration::from_millis(1);
/// Number of long turns that are repeated.
const REPEATED: usize = 3;

/// The kind and the text of a place.
type Place<'a> = (TurnKind, &'a str);

/// The turns of a place.
#[derive(Default)]
struct PlaceTurns {
    lasted: Vec<Duration>,
    /// Durations of those for which another place has waited.
    waited_for: Vec<Duration>,
}

/// Returns a flag for each place with long turns: with one of a hundred times the 99th percentile
/// of all other places, and at least 100 ms; or with three of ten times, and at least 1 ms, for
/// which another place has waited. One alone may be the system's fault, and in an idle loop no
/// place waits. With few other turns, 100 ms are long.
pub(crate) fn long_calls_of_tape(tape: &Tape, flags: &mut Vec<Flag>) {
    let mut places: HashMap<Place<'_>, PlaceTurns> = HashMap::new();
    let (mut all, mut waiting) = (Vec::new(), Waiting::default());
    for turn in tape.turns().iter().rev().filter(|turn| turn.kind.is_callback()) {
        let (place, lasted) = ((turn.kind, &*turn.place), turn.lasted.unwrap_or_default());
        let own = places.entry(place).or_default();
        own.lasted.push(lasted);
        own.waited_for.extend(waiting.is_due(place, turn.at + lasted).then_some(lasted));
        all.push(lasted);
        waiting.add(place, turn.due);
    }
    let all = LazyCell::new(|| {
        all.sort_unstable();
        all
    });
    let mut found = Vec::new();
    for ((kind, place), PlaceTurns { lasted: mut own, waited_for }) in places {
        own.sort_unstable();
        let Some(longest) = own.last().copied().filter(|longest| *longest >= LONG_REPEATED) else {
            continue;
        };
        let usual = usual_of_others(&all, &own);
        let once = usual.map_or(LONG_ONCE, |usual| LONG_ONCE.max(usual * 100));
        let repeated = usual.map_or(LONG_ONCE, |usual| LONG_REPEATED.max(usual * 10));
        let long_ones = |times: &[Duration]| times.iter().filter(|time| **time >= repeated).count();
        let long = long_ones(&own);
        if longest >= once || long_ones(&waited_for) >= REPEATED {
            let usual = usual
                .map_or(String::new(), |usual| format!(", 99 % of the others {usual:.1?} or less"));
            let figures = format!("ran {longest:.1?}, {long} of {} turns long{usual}", own.len());
            found.push((longest, Some(format!("{kind} {place}")), figures));
        }
    }
    found.sort_by(|one, other| other.cmp(one));
    flags.extend(
        found
            .into_iter()
            .map(|(_, place, figures)| Flag::new(FlagKind::LongCallback, place, figures)),
    );
}

/// The earliest due times of later turns, of two places.
#[derive(Default)]
struct Waiting<'a>(Vec<(Place<'a>, Duration)>);

impl<'a> Waiting<'a> {
    fn add(&mut self, place: Place<'a>, due: Option<Duration>) {
        let Some(due) = due else { return };
        match self.0.iter_mut().find(|(known, _)| *known == place) {
            Some((_, earliest)) => *earliest = due.min(*earliest),
            None => self.0.push((place, due)),
        }
        self.0.sort_by_key(|(_, due)| *due);
        self.0.truncate(2);
    }

    /// Returns true if a turn of another place was due long before `end`.
    fn is_due(&self, place: Place<'_>, end: Duration) -> bool {
        let mut others = self.0.iter().filter(|(other, _)| *other != place);
        others.next().is_some_and(|(_, due)| *due + LONG_REPEATED <= end)
    }
}

/// Returns the 99th percentile of the elements of `all` that are not in `own`, if there are enough.
/// Both are sorted. Only the last percent is read, because there may be hundreds of places.
fn usual_of_others(all: &[Duration], own: &[Duration]) -> Option<Duration> {
    let last = (all.len() - own.len()).checked_sub(ENOUGH)? + ENOUGH - 1;
    let mut own = own.iter().rev().peekable();
    let mut others = all.iter().rev().filter(|time| own.next_if(|next| next == time).is_none());
    others.nth(last - last * 99 / 100).copied()
}

/// Returns a flag if a call was long. The histogram has no places.
pub(crate) fn long_calls_of_durations(durations: &Histogram, flags: &mut Vec<Flag>) {
    let (longest, usual) = (durations.max(), durations.quantile(0.99));
    // If the longest one is among the last percent, it is compared with itself.
    let is_comparable = durations.count() > 100;
    if longest >= LONG_ONCE && (!is_comparable || longest >= usual * 100) {
        let figures = format!(
            "a callback ran {longest:.1?}, 99 % of them {usual:.1?} or less; a tape has its place"
        );
        flags.push(Flag::new(FlagKind::LongCallback, None, figures));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e7_the_usual_time_is_the_99th_percentile_of_the_others() {
        let others = |count: u64| (1..=count).map(Duration::from_millis);
        let own = [3, 150, 300].map(Duration::from_millis);
        let usual = |count| {
            let mut all: Vec<Duration> = others(count).chain(own).collect();
            all.sort_unstable();
            usual_of_others(&all, &own).map(|time| time.as_millis())
        };
        assert_eq!([19, 20, 100, 200].map(usual), [None, Some(19), Some(99), Some(198)]);
    }
}

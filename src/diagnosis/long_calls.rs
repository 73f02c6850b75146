//! Callbacks that are long, compared with the other ones of their loop.

use std::collections::HashMap;
use std::time::Duration;

use super::flag::{Flag, FlagKind};
use crate::metrics::Metrics;
use crate::tape::{Tape, TurnKind};

/// Turns that are needed for a comparison.
const ENOUGH: usize = 20;
/// A single turn is long from here on, repeated ones from there.
const LONG_ONCE: Duration = Duration::from_millis(100);
const LONG_REPEATED: Duration = Duration::from_millis(1);
/// Number of long turns that are repeated.
const REPEATED: usize = 3;

/// Returns a flag for each place with long turns: with one of a hundred times the 99th percentile
/// of all other places, and at least 100 ms; or with three of ten times, and at least 1 ms. One
/// alone may be the system's fault. With few other turns, 100 ms are long.
pub(crate) fn long_calls_of_tape(tape: &Tape, flags: &mut Vec<Flag>) {
    let mut places: HashMap<(TurnKind, &str), Vec<Duration>> = HashMap::new();
    let mut all = Vec::new();
    for turn in tape.turns().iter().filter(|turn| turn.kind.is_callback()) {
        let lasted = turn.lasted.unwrap_or_default();
        places.entry((turn.kind, &turn.place)).or_default().push(lasted);
        all.push(lasted);
    }
    let mut found = Vec::new();
    for ((kind, place), mut own) in places {
        own.sort_unstable();
        let Some(longest) = own.last().copied().filter(|longest| *longest >= LONG_REPEATED) else {
            continue;
        };
        let others = without(&all, &own);
        let usual = (others.len() >= ENOUGH).then(|| others[(others.len() - 1) * 99 / 100]);
        let once = usual.map_or(LONG_ONCE, |usual| LONG_ONCE.max(usual * 100));
        let repeated = usual.map_or(LONG_ONCE, |usual| LONG_REPEATED.max(usual * 10));
        let long = own.iter().filter(|time| **time >= repeated).count();
        if longest >= once || long >= REPEATED {
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

/// Returns the sorted elements of `all` that are not in `own`, which is sorted.
fn without(all: &[Duration], own: &[Duration]) -> Vec<Duration> {
    let mut all = all.to_vec();
    all.sort_unstable();
    let mut own = own.iter().peekable();
    all.retain(|time| own.next_if(|next| *next == time).is_none());
    all
}

/// Returns a flag if a call was long. The histogram has no places.
pub(crate) fn long_calls_of_metrics(metrics: &Metrics, flags: &mut Vec<Flag>) {
    let durations = metrics.call_durations();
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

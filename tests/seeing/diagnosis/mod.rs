//! Red flags (docs/contract.md, section E).

mod calls;
mod limits;
mod loops;
mod registrations;

use mainspring::{Diagnosis, EventLoop, FlagKind};

use crate::support::ticks::tick;

/// Returns the kinds of the flags.
fn kinds(diagnosis: &Diagnosis) -> Vec<FlagKind> {
    diagnosis.flags().iter().map(|flag| flag.kind()).collect()
}

/// Returns true if the only flag has this kind, and a place that ends with this line of the file.
fn is_only(diagnosis: &Diagnosis, kind: FlagKind, file: &str, line: u32) -> bool {
    let ending = format!("{file}:{line}");
    let is_place = |place: &str| place.trim_end_matches(')').ends_with(&ending);
    kinds(diagnosis) == [kind] && diagnosis.flags()[0].place().is_some_and(is_place)
}

/// Runs this number of ticks that do not sleep.
fn ticks<S>(el: &mut EventLoop<S>, count: u32) {
    (0..count).for_each(|_| _ = tick(el));
}

//! The pictures of the guide (docs/contract.md, section G): each is a run on simulated time, and
//! its tape and its snapshots show what the guide states.
//!
//! `MAINSPRING_WRITE_FIGURES=1 cargo test -p mainspring-tests --test guide` writes the figures.

mod architecture;
mod cooperative;
mod execution_flow;
mod figure;
pub mod files;
mod five_fetches;
pub mod lanes;
mod life_of_a_callback;
mod life_of_a_task;
mod life_of_a_watcher;
mod memory;
mod one_fetch;
mod rows;
mod states;

use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Cause, EventLoop, Recorder, SelectorKind, Tape, Turn, TurnKind};

use crate::support::simulated_builder;

/// Returns a loop with simulated time that records, and its clock. The clock moves while a callback
/// runs only if the callback moves it.
fn recorded<S>(kind: SelectorKind, state: S) -> (EventLoop<S>, SimClock) {
    let (builder, clock) = simulated_builder(kind);
    let builder = builder.record(Recorder::ring(1024));
    (builder.build_with(state).expect("a loop"), clock)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Returns a time as the figures have it.
fn in_words(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// A turn of a tape, as far as it is the same in each run. A descriptor has no number, and a cause
/// that is a turn has the name of that turn.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: String,
    at: Duration,
    lasted: Duration,
    cause: String,
}

impl Step {
    fn end(&self) -> Duration {
        self.at + self.lasted
    }

    fn is_sleep(&self) -> bool {
        self.name == TurnKind::Sleep.to_string()
    }
}

/// Returns the calls of the selector, callbacks and tasks of a tape. The end of the last turn is
/// the end of the run, at `end`. Calls of the selector that follow each other are one: some
/// selectors return once more, to report that a new socket is writable.
fn steps(tape: &Tape, end: Duration) -> Vec<Step> {
    let turns = tape.turns().iter().filter(|turn| turn.kind != TurnKind::Loop);
    let step = |turn: &Turn| Step {
        name: name(turn),
        at: turn.at,
        lasted: turn.lasted.unwrap_or(end.saturating_sub(turn.at)),
        cause: match turn.cause {
            Cause::Fd(_) => "descriptor".to_owned(),
            Cause::Turn(number) => name(&tape.turns()[number as usize]),
            cause => cause.to_string(),
        },
    };
    let mut steps: Vec<Step> = Vec::new();
    for step in turns.map(step) {
        match steps.last_mut() {
            Some(last) if last.is_sleep() && step.is_sleep() => last.lasted += step.lasted,
            _ => steps.push(step),
        }
    }
    steps
}

/// Returns the name of a registration without its place, or the kind of a turn of the loop.
fn name(turn: &Turn) -> String {
    match turn.place.split_once(" (") {
        Some((name, _)) => name.to_owned(),
        None => turn.kind.to_string(),
    }
}

/// Returns the turns of the registration called `name`.
fn turns_of<'a>(steps: &'a [Step], name: &str) -> Vec<&'a Step> {
    steps.iter().filter(|step| step.name == name).collect()
}

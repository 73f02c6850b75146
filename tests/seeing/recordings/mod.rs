//! Recordings (docs/contract.md, section R).

mod black_box;
mod exports;
mod pictures;
mod places;
mod traces;
mod turns;

use mainspring::{EventLoop, EventLoopBuilder, Recorder, SelectorKind, Tape, Turn};

use crate::support::simulated_builder;

/// Returns a loop with simulated time that records, and has no other instrument.
fn recorded<S>(kind: SelectorKind, recorder: Recorder, state: S) -> EventLoop<S> {
    builder(kind).record(recorder).await_lines(false).build_with(state).expect("a loop")
}

fn builder(kind: SelectorKind) -> EventLoopBuilder {
    simulated_builder(kind).0
}

/// Returns the turns of callbacks and tasks.
fn callbacks(tape: &Tape) -> Vec<Turn> {
    tape.turns().iter().filter(|turn| turn.kind.is_callback()).cloned().collect()
}

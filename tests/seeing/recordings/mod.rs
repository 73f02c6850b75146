//! Recordings (docs/contract.md, section R).

mod black_box;
mod exports;
mod pictures;
mod traces;
mod turns;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, EventLoopBuilder, Recorder, SelectorKind, Tape, Turn};

use crate::support::loopback;

/// Returns a loop with simulated time that records, and has no other instrument.
fn recorded<S>(kind: SelectorKind, recorder: Recorder, state: S) -> EventLoop<S> {
    builder(kind).record(recorder).await_lines(false).build_with(state).expect("a loop")
}

fn builder(kind: SelectorKind) -> EventLoopBuilder {
    EventLoop::builder().selector(loopback::selector(kind)).clock(SimClock::new())
}

/// Returns the turns of callbacks and tasks.
fn callbacks(tape: &Tape) -> Vec<Turn> {
    tape.turns().iter().filter(|turn| turn.kind.is_callback()).cloned().collect()
}

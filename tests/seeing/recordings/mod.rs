//! Recordings (docs/contract.md, section R).

mod black_box;
mod exports;
mod pictures;
mod turns;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, Recorder, SelectorKind, Tape, Turn};

use crate::support::loopback;

/// Returns a loop with simulated time that records.
fn recorded<S>(kind: SelectorKind, recorder: Recorder, state: S) -> EventLoop<S> {
    let builder = EventLoop::builder().selector(loopback::selector(kind)).clock(SimClock::new());
    builder.record(recorder).build_with(state).expect("a loop")
}

/// Returns the turns of callbacks and tasks.
fn callbacks(tape: &Tape) -> Vec<Turn> {
    tape.turns().iter().filter(|turn| turn.kind.is_callback()).cloned().collect()
}

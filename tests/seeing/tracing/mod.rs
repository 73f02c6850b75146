//! Spans of tasks for subscribers of the crate tracing (docs/contract.md, R10 to R13).

mod recorder;
mod spans;
mod subscribers;
mod wakes;

use mainspring::EventLoop;
use recorder::{Recorder, Wants};

use crate::support::{on_every_selector, simulated};

/// Runs `check` on every selector with a loop and the recorder of its spans, and then checks that
/// each span was closed. `check` may drop the loop.
fn traced(check: impl Fn(&Recorder, EventLoop)) {
    on_every_selector(|kind| {
        let recorder = Recorder::new(Wants::Everything);
        let (el, _clock) = simulated(kind, ());
        recorder.record(|| check(&recorder, el));
        recorder.assert_all_closed();
    });
}

//! Loops for the tests: one for each selector kind, with simulated time.

use mainspring::testing::SimClock;
use mainspring::{EventLoop, SelectorKind};

/// Runs `check` on a loop of each kind that the system has.
pub fn on_every_selector(mut check: impl FnMut(SelectorKind)) {
    for kind in SelectorKind::available() {
        println!("on {kind}"); // Shown when the test fails.
        check(*kind);
    }
}

/// A loop of this kind whose time is simulated.
pub fn simulated<S>(kind: SelectorKind, state: S) -> (EventLoop<S>, SimClock) {
    let clock = SimClock::new();
    let builder = EventLoop::builder().selector(kind).clock(clock.clone());
    (builder.build_with(state).expect("a loop"), clock)
}

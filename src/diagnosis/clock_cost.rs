//! The cost of reading the clock.

use std::hint::black_box;
use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

const CALLS: u32 = 32;
const ROUNDS: u32 = 8;

/// Returns the costs of `read` and of a trivial system call, if `read` costs as much.
///
/// The shortest of several rounds counts: a round may be interrupted.
pub(crate) fn clock_cost(read: impl Fn() -> Instant) -> Option<(Duration, Duration)> {
    let clock = shortest(|| _ = black_box(read()));
    let system_call = shortest(|| _ = black_box(parent_id()));
    (clock >= system_call).then_some((clock, system_call))
}

/// Returns the time that one call takes.
fn shortest(mut call: impl FnMut()) -> Duration {
    let mut round = || {
        let began = Instant::now();
        (0..CALLS).for_each(|_| call());
        began.elapsed()
    };
    let times = (0..ROUNDS).map(|_| round());
    times.min().unwrap_or_default() / CALLS
}

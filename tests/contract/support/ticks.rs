//! Ticks that do not sleep.

use std::time::{Duration, Instant};

use mainspring::EventLoop;

/// Runs one tick that does not sleep. Returns the number of handles that ran.
pub fn tick<S>(el: &mut EventLoop<S>) -> usize {
    el.tick(Some(Duration::ZERO)).expect("a tick")
}

/// Ticks until `done` returns true, for input that the kernel may deliver late.
///
/// # Panics
///
/// Panics after a million ticks, or after a minute. After a tick that ran nothing it sleeps for a
/// millisecond.
#[track_caller]
pub fn wait_until<S>(el: &mut EventLoop<S>, mut done: impl FnMut(&mut EventLoop<S>) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    for _ in 0..1_000_000 {
        if done(el) {
            return;
        }
        if tick(el) == 0 {
            assert!(Instant::now() < end, "the condition did not hold within a minute");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    panic!("the condition did not hold within a million ticks");
}

//! Ticks of a loop that logs what its callbacks see.

use std::time::Duration;

use mainspring::EventLoop;

pub fn tick(el: &mut EventLoop<Vec<String>>) -> usize {
    el.tick(Some(Duration::ZERO)).unwrap()
}

/// Ticks until no callback runs any more, which must not take long. Returns the log.
pub fn run_until_idle(el: &mut EventLoop<Vec<String>>) -> Vec<String> {
    let ticks = (0..20).take_while(|_| tick(el) > 0).count();
    assert!(ticks < 20, "the loop spins: {:?}", el.state());
    std::mem::take(el.state_mut())
}

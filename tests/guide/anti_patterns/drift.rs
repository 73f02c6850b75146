//! A periodic timer that arms itself again (docs/contract.md, G10).

use mainspring::testing::SimClock;
use mainspring::{LoopHandle, Result};

use super::ON_TIME;
use super::stage::{Journal, MS, play, work};

fn misbehaves(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    sample_later(el, clock.clone());
    Ok(())
}

fn sample_later(el: &LoopHandle<Journal>, clock: SimClock) {
    let timer = el.call_later(10 * MS, move |el, journal: &mut Journal| {
        sample(journal, &clock);
        // 10 ms from now, not from when this was due.
        sample_later(el, clock);
    });
    el.set_name(timer, "sampler");
}

fn cured(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    let clock = clock.clone();
    let timer = el.call_every(10 * MS, move |_, journal| sample(journal, &clock))?;
    el.set_name(timer, "sampler");
    Ok(())
}

#[test]
fn g10_arming_again_drifts() {
    let [written, cured] = play("drift", 120 * MS, misbehaves, cured);
    assert_eq!(written.journal.beats, [10, 23, 36, 49, 62, 75, 88, 101, 114]);
    assert!(written.is_on_time("sampler"), "it drifts, but is never late");
    assert_eq!(cured.journal.beats, ON_TIME[..11]);
}

/// Stands for taking a sample, which takes 3 ms.
fn sample(journal: &mut Journal, clock: &SimClock) {
    journal.beats.push(clock.elapsed().as_millis());
    work(clock, 3 * MS);
}

//! Rounds: both sides do the same work in turn.

use super::Side;
use super::child::Child;
use super::figures::Pairs;
use super::options::Options;

/// Runs pairs of rounds. `measure` returns the figure of one round.
pub fn pairs(options: &Options, mut measure: impl FnMut(Side) -> f64) -> Pairs {
    let pair = |_| Side::BOTH.map(&mut measure);
    Pairs((0..options.rounds).map(pair).collect())
}

/// Returns the amount of work that takes as long as a round. `run` does an amount of work and
/// returns its nanoseconds.
pub fn calibrate(options: &Options, least: u64, mut run: impl FnMut(u64) -> f64) -> u64 {
    let wanted = options.seconds * 1e9;
    let mut work = least;
    loop {
        let took = run(work).max(1.0);
        if took >= wanted / 8.0 {
            return ((work as f64 * wanted / took) as u64).max(least);
        }
        work *= 4;
    }
}

/// Measures a worker of each side, started with `words`. The figures are CPU nanoseconds per unit
/// of work.
pub fn measure(options: &Options, words: &[&str]) -> Pairs {
    let [mut raw, mut ours] = Side::BOTH.map(|side| Child::start(words, side));
    let work = calibrate(options, 1000, |work| raw.request(work) as f64);
    ours.request(work); // Warm-up.
    pairs(options, |side| {
        let child = match side {
            Side::Raw => &mut raw,
            Side::Mainspring => &mut ours,
        };
        child.request(work) as f64 / work as f64
    })
}

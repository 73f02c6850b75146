//! Both sides with the same work, in turn.

use super::Side;
use super::child::Child;
use super::figures::Pairs;
use super::options::Options;

/// Runs pairs of rounds; `measure` gives the figure of one round.
pub fn pairs(options: &Options, mut measure: impl FnMut(Side) -> f64) -> Pairs {
    let pair = |_| Side::BOTH.map(&mut measure);
    Pairs((0..options.rounds).map(pair).collect())
}

/// How much work takes as long as a round is to take; `run` does some and tells the nanoseconds it
/// took.
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

/// CPU nanoseconds for each unit of work of two workers that were started with these words. They
/// are asked for an amount of work and answer with its CPU nanoseconds.
pub fn race(options: &Options, words: &[&str]) -> Pairs {
    let [mut raw, mut ours] = Side::BOTH.map(|side| Child::start(words, side));
    let work = calibrate(options, 1000, |work| raw.ask(work) as f64);
    ours.ask(work); // To get warm.
    pairs(options, |side| {
        let child = match side {
            Side::Raw => &mut raw,
            Side::Mainspring => &mut ours,
        };
        child.ask(work) as f64 / work as f64
    })
}

//! A turn that takes too long, as reported by a watchdog.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::tape::Turn;

/// A turn that has not ended within the limit of a [`Watchdog`](crate::Watchdog).
///
/// `Display` writes one line: `callback src/log.rs:90 has been running for 252.1ms, in tick 17`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The turn: its kind, its place with its name, and its cause.
    pub turn: Turn,
    /// Number of the tick.
    pub tick: u64,
    /// Time for which the watchdog has seen it running: at most a quarter of the limit less than
    /// the real time.
    pub lasted: Duration,
    /// Number of stalls that were not reported since the last report, because of the rate limit.
    pub suppressed: u64,
    /// The error of [`write_tape`](crate::Watchdog::write_tape).
    pub tape_error: Option<io::Error>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stall { turn, tick, lasted, suppressed, tape_error } = self;
        let (kind, place) = (turn.kind, &turn.place);
        write!(f, "{kind} {place} has been running for {lasted:.1?}, in tick {tick}")?;
        if *suppressed > 0 {
            write!(f, ", after {suppressed} stalls without a report")?;
        }
        match tape_error {
            Some(error) => write!(f, "; its tape cannot be written: {error}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Recorder, Recording, Start};

    #[test]
    fn e6_a_report_has_the_number_of_stalls_before_it() {
        let recording = Recording::open(&Recorder::ring(16), || 0).unwrap();
        recording.begin(0, 0, Start::LOOP);
        let turn = recording.tape().unwrap().turns()[0].clone();
        let (lasted, error) = (Duration::from_millis(250), io::ErrorKind::NotFound.into());
        let mut stall = Stall { turn, tick: 17, lasted, suppressed: 0, tape_error: None };
        let text = "loop  has been running for 250.0ms, in tick 17";
        assert_eq!(stall.to_string(), text);
        (stall.suppressed, stall.tape_error) = (3, Some(error));
        let more = ", after 3 stalls without a report; its tape cannot be written: ";
        assert_eq!(stall.to_string(), format!("{text}{more}entity not found"));
    }
}

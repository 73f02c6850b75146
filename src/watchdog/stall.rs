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

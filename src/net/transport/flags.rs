//! The state of a connection as flags, and their legal combinations.
//!
//! | flags | never together with | only together with one of |
//! |---|---|---|
//! | `QUEUED` | `WRITE_SHUT`, `LINGERING`, `FAILING`, `DONE` | |
//! | `UNFLUSHED` | `LINGERING`, `FAILING`, `DONE` | `CUSTOM` |
//! | `SHUTDOWN_DUE` | `WRITE_SHUT`, `FAILING` | |
//! | `EOF` and `WRITE_SHUT` | | `DONE` |
//! | `READ_HELD` | | `WRITING_PAUSED` |
//! | `LINGERING` | `EOF`, `TWO_FDS`, `FAILING` | `CLOSING` |
//! | `LINGERING` | | `WRITE_SHUT` |
//! | `LINGERING` | | `LIMITED`, `DONE` |
//! | `FAILING` | `EOF`, `READ_PAUSED`, `READ_HELD` | |
//! | `LIMITED` | `DONE` | |
//! | `EDGE` | `CUSTOM`, `TWO_FDS` | |
//! | `MAYBE_READABLE` | | `EDGE`, `CUSTOM`, `FAILING` |
//!
//! Other combinations are legal. In debug builds [`Flags::verify`] checks the table at the end of
//! each run of the callback.
//!
//! Each flag is one bit, although some exclude each other: so a run tests any number of states with
//! one mask.

use bitflags::bitflags;

bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Flags: u32 {
        // States of reading.

        /// The user has paused reading.
        const READ_PAUSED = 1;
        /// The default `pause_writing` has paused reading until the queue is short again.
        const READ_HELD = 1 << 1;
        /// The end of the input was read.
        const EOF = 1 << 2;

        // States of writing.

        /// The write queue is not empty.
        const QUEUED = 1 << 3;
        /// The stream has accepted bytes that it could not pass to the kernel yet.
        const UNFLUSHED = 1 << 4;
        /// The user has shut down writing; the stream follows after the queue is sent.
        const SHUTDOWN_DUE = 1 << 5;
        /// The stream is shut down for writing.
        const WRITE_SHUT = 1 << 6;

        // States of the connection.

        /// `connection_made` was not called yet.
        const UNANNOUNCED = 1 << 7;
        /// The user has closed the connection; it ends after the queue is sent.
        const CLOSING = 1 << 8;
        /// Writing has failed. The input that has arrived is delivered first, then the error.
        const FAILING = 1 << 9;
        /// Everything is sent and writing is shut down; the end of the peer's input is awaited.
        const LINGERING = 1 << 10;
        /// The connection is over; only `connection_lost` is left to call.
        const DONE = 1 << 11;

        // Water marks and time limits.

        /// `pause_writing` was called, and `resume_writing` was not called since.
        const WRITING_PAUSED = 1 << 12;
        /// A time limit is in force; there is a timer.
        const LIMITED = 1 << 13;

        // Properties of the stream.

        /// The stream is of a user-defined type, which may hold bytes in either direction that the
        /// kernel does not report.
        const CUSTOM = 1 << 14;
        /// The stream is edge-triggered: the kernel reports new input, but not remaining input.
        const EDGE = 1 << 15;
        /// The stream has a descriptor for each direction.
        const TWO_FDS = 1 << 16;

        // Runs of the callback.

        /// The callback is running.
        const RUNNING = 1 << 17;
        /// The ready deque has an entry of the connection that no event of its stream has queued.
        const SELF_QUEUED = 1 << 18;
        /// The stream may hold input that no event will report. A read that returns `WouldBlock`
        /// clears this.
        const MAYBE_READABLE = 1 << 19;
        /// The latest tick that has used up its reads is stored, and may be this tick.
        const READ_MARKED = 1 << 20;
        /// The callback was replaced while it runs; the new one owns the connection.
        const REPLACED = 1 << 21;

        /// Writes are rejected.
        const NO_WRITE = Self::CLOSING.bits() | Self::SHUTDOWN_DUE.bits() | Self::WRITE_SHUT.bits()
            | Self::DONE.bits() | Self::FAILING.bits();
        /// Nothing is read, or the protocol does not get it.
        const NO_READ = Self::READ_PAUSED.bits() | Self::READ_HELD.bits() | Self::EOF.bits()
            | Self::CLOSING.bits() | Self::DONE.bits();
        /// Bytes wait until the kernel accepts more.
        const UNSENT = Self::QUEUED.bits() | Self::UNFLUSHED.bits();
        /// A run has something to do before it reads, or may not read.
        const SLOW_START = Self::UNANNOUNCED.bits() | Self::CUSTOM.bits() | Self::NO_READ.bits()
            | Self::MAYBE_READABLE.bits() | Self::READ_MARKED.bits();
        /// A read needs more checks than its count.
        const SLOW_READ = Self::CLOSING.bits() | Self::DONE.bits() | Self::CUSTOM.bits()
            | Self::FAILING.bits() | Self::LIMITED.bits();
        /// A write needs more than one call of the stream.
        const SLOW_WRITE = Self::NO_WRITE.bits() | Self::QUEUED.bits() | Self::CUSTOM.bits()
            | Self::LIMITED.bits();
        /// A run has something to do after it has read.
        const SLOW_END = Self::QUEUED.bits() | Self::WRITING_PAUSED.bits()
            | Self::SHUTDOWN_DUE.bits() | Self::CLOSING.bits() | Self::DONE.bits()
            | Self::MAYBE_READABLE.bits() | Self::UNFLUSHED.bits() | Self::LIMITED.bits()
            | Self::REPLACED.bits();
    }
}

/// Flags, those that exclude all of them together, and those of which they need one. Empty: they
/// need none.
#[cfg(any(test, debug_assertions))]
type Rule = (Flags, Flags, Flags);

/// The table of the module's documentation.
#[cfg(any(test, debug_assertions))]
fn rules() -> [Rule; 12] {
    use Flags as F;
    let none = Flags::empty();
    [
        (F::QUEUED, F::WRITE_SHUT | F::LINGERING | F::FAILING | F::DONE, none),
        (F::UNFLUSHED, F::LINGERING | F::FAILING | F::DONE, F::CUSTOM),
        (F::SHUTDOWN_DUE, F::WRITE_SHUT | F::FAILING, none),
        (F::EOF | F::WRITE_SHUT, none, F::DONE),
        (F::READ_HELD, none, F::WRITING_PAUSED),
        (F::LINGERING, F::EOF | F::TWO_FDS | F::FAILING, F::CLOSING),
        (F::LINGERING, none, F::WRITE_SHUT),
        (F::LINGERING, none, F::LIMITED | F::DONE),
        (F::FAILING, F::EOF | F::READ_PAUSED | F::READ_HELD, none),
        (F::LIMITED, F::DONE, none),
        (F::EDGE, F::CUSTOM | F::TWO_FDS, none),
        (F::MAYBE_READABLE, none, F::EDGE | F::CUSTOM | F::FAILING),
    ]
}

#[cfg(any(test, debug_assertions))]
impl Flags {
    /// Checks the combination. The error is the flags of the first rule that is broken.
    pub(super) fn verify(self) -> Result<(), Flags> {
        for (flags, excluded, needed) in rules() {
            let is_broken =
                self.intersects(excluded) || !needed.is_empty() && !self.intersects(needed);
            if self.contains(flags) && is_broken {
                return Err(flags);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_of_a_connection_are_legal() {
        let lingering = Flags::CLOSING | Flags::WRITE_SHUT | Flags::LINGERING;
        let legal = [
            Flags::empty(),
            Flags::EDGE | Flags::MAYBE_READABLE | Flags::READ_PAUSED,
            Flags::QUEUED | Flags::WRITING_PAUSED | Flags::READ_HELD,
            Flags::QUEUED | Flags::CLOSING | Flags::LIMITED,
            Flags::QUEUED | Flags::SHUTDOWN_DUE,
            Flags::WRITE_SHUT,
            lingering | Flags::LIMITED,
            lingering | Flags::DONE,
            Flags::FAILING | Flags::MAYBE_READABLE,
            Flags::EOF | Flags::WRITE_SHUT | Flags::DONE,
        ];
        for flags in legal {
            assert_eq!(flags.verify(), Ok(()), "{flags:?}");
        }
    }

    #[test]
    fn illegal_states_are_found() {
        let illegal = [
            (Flags::QUEUED | Flags::DONE, Flags::QUEUED),
            (Flags::UNFLUSHED | Flags::CUSTOM | Flags::FAILING, Flags::UNFLUSHED),
            (Flags::UNFLUSHED, Flags::UNFLUSHED),
            (Flags::SHUTDOWN_DUE | Flags::WRITE_SHUT, Flags::SHUTDOWN_DUE),
            (Flags::EOF | Flags::WRITE_SHUT, Flags::EOF | Flags::WRITE_SHUT),
            (Flags::READ_HELD | Flags::QUEUED, Flags::READ_HELD),
            (Flags::LINGERING | Flags::CLOSING, Flags::LINGERING),
            (Flags::LINGERING | Flags::CLOSING | Flags::WRITE_SHUT, Flags::LINGERING),
            (Flags::LINGERING | Flags::WRITE_SHUT, Flags::LINGERING),
            (Flags::FAILING | Flags::READ_PAUSED, Flags::FAILING),
            (Flags::LIMITED | Flags::DONE, Flags::LIMITED),
            (Flags::EDGE | Flags::CUSTOM, Flags::EDGE),
            (Flags::MAYBE_READABLE, Flags::MAYBE_READABLE),
        ];
        for (flags, flag) in illegal {
            assert_eq!(flags.verify(), Err(flag), "{flags:?}");
        }
    }
}

//! The state of a connection as flags, and their legal combinations.
//!
//! | flag | never together with | only together with |
//! |---|---|---|
//! | `QUEUED` | `WRITE_SHUT`, `LINGERING`, `FAILING`, `DONE` | |
//! | `UNFLUSHED` | `LINGERING`, `FAILING`, `DONE` | |
//! | `SHUTDOWN_DUE` | `WRITE_SHUT`, `FAILING` | |
//! | `LINGERING` | `EOF`, `TWO_FDS`, `FAILING` | `CLOSING` and `WRITE_SHUT` |
//! | `FAILING` | `EOF`, `READ_PAUSED`, `READ_HELD` | |
//! | `LIMITED` | `DONE` | |
//! | `EDGE` | `CUSTOM`, `TWO_FDS` | |
//! | `MAYBE_READABLE` | | `EDGE`, `CUSTOM` or `FAILING` |
//!
//! Other combinations are legal. In debug builds [`Flags::verify`] checks the table at the end of
//! each run of the callback, except a run that ends the connection or the callback.

use bitflags::bitflags;

bitflags! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Flags: u32 {
        /// The user has paused reading.
        const READ_PAUSED = 1;
        /// The end of the input was read.
        const EOF = 1 << 1;
        /// The user has closed the connection; it ends after the queue is sent.
        const CLOSING = 1 << 2;
        /// The user has shut down writing; the stream follows after the queue is sent.
        const SHUTDOWN_DUE = 1 << 3;
        /// The stream is shut down for writing.
        const WRITE_SHUT = 1 << 4;
        /// The connection is over; only `connection_lost` is left to call.
        const DONE = 1 << 5;
        /// `pause_writing` was called, and `resume_writing` was not called since.
        const WRITING_PAUSED = 1 << 6;
        /// The ready deque has an entry of the connection that no event of its stream has queued.
        const SELF_QUEUED = 1 << 7;
        /// The write queue is not empty.
        const QUEUED = 1 << 8;
        /// Everything is sent and writing is shut down; the end of the peer's input is awaited.
        const LINGERING = 1 << 9;
        /// The stream has a descriptor for each direction.
        const TWO_FDS = 1 << 10;
        /// `connection_made` was not called yet.
        const UNANNOUNCED = 1 << 11;
        /// The stream is edge-triggered: the kernel reports new input, but not remaining input.
        const EDGE = 1 << 12;
        /// The stream may hold input that no event will report. A read that returns `WouldBlock`
        /// clears this.
        const MAYBE_READABLE = 1 << 13;
        /// The default `pause_writing` has paused reading until the queue is short again.
        const READ_HELD = 1 << 14;
        /// The callback is running.
        const RUNNING = 1 << 15;
        /// The stream is of a user-defined type, which may hold bytes in either direction that the
        /// kernel does not report.
        const CUSTOM = 1 << 16;
        /// Writing has failed. The input that has arrived is delivered first, then the error.
        const FAILING = 1 << 17;
        /// The stream has accepted bytes that it could not pass to the kernel yet.
        const UNFLUSHED = 1 << 18;
        /// A time limit is in force; there is a timer.
        const LIMITED = 1 << 19;
        /// The callback was replaced while it runs; the new one owns the connection.
        const REPLACED = 1 << 20;
        /// The latest tick that has used up its reads is stored, and may be this tick.
        const READ_MARKED = 1 << 21;

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

/// A flag, the flags that exclude it, and flags of which it needs one. Empty: needs none.
#[cfg(any(test, debug_assertions))]
type Rule = (Flags, Flags, Flags);

/// The table of the module's documentation.
#[cfg(any(test, debug_assertions))]
const RULES: &[Rule] = &[
    (
        Flags::QUEUED,
        Flags::WRITE_SHUT.union(Flags::LINGERING).union(Flags::FAILING).union(Flags::DONE),
        Flags::empty(),
    ),
    (Flags::UNFLUSHED, Flags::LINGERING.union(Flags::FAILING).union(Flags::DONE), Flags::empty()),
    (Flags::SHUTDOWN_DUE, Flags::WRITE_SHUT.union(Flags::FAILING), Flags::empty()),
    (Flags::LINGERING, Flags::EOF.union(Flags::TWO_FDS).union(Flags::FAILING), Flags::CLOSING),
    (Flags::LINGERING, Flags::empty(), Flags::WRITE_SHUT),
    (Flags::FAILING, Flags::EOF.union(Flags::READ_PAUSED).union(Flags::READ_HELD), Flags::empty()),
    (Flags::LIMITED, Flags::DONE, Flags::empty()),
    (Flags::EDGE, Flags::CUSTOM.union(Flags::TWO_FDS), Flags::empty()),
    (Flags::MAYBE_READABLE, Flags::empty(), Flags::EDGE.union(Flags::CUSTOM).union(Flags::FAILING)),
];

#[cfg(any(test, debug_assertions))]
impl Flags {
    /// Checks the combination. The error is the first flag that breaks its rule.
    pub(super) fn verify(self) -> Result<(), Flags> {
        for &(flag, excluded, needed) in RULES {
            let is_broken =
                self.intersects(excluded) || !needed.is_empty() && !self.intersects(needed);
            if self.contains(flag) && is_broken {
                return Err(flag);
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
            Flags::EOF | Flags::DONE,
        ];
        for flags in legal {
            assert_eq!(flags.verify(), Ok(()), "{flags:?}");
        }
    }

    #[test]
    fn illegal_states_are_found() {
        let illegal = [
            (Flags::QUEUED | Flags::DONE, Flags::QUEUED),
            (Flags::UNFLUSHED | Flags::FAILING, Flags::UNFLUSHED),
            (Flags::SHUTDOWN_DUE | Flags::WRITE_SHUT, Flags::SHUTDOWN_DUE),
            (Flags::LINGERING | Flags::CLOSING, Flags::LINGERING),
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

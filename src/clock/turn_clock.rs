//! The clock of instruments: the loop's clock, read a thousand times a second.
//!
//! In between, the time is computed from the cycle counter of the CPU, which takes a third of a
//! reading. Each reading of the clock measures the length of a cycle again. While two measurements
//! in a row do not agree, as on a CPU that changes the rate of its counter, the clock is read each
//! time.

use std::cell::Cell;

use mainspring_sys::cycles::cycles;

/// Nanoseconds for which the counter is used after a reading of the clock.
const WINDOW: u64 = 1_000_000;

/// Most cycles that a reading of the clock takes, unless it was interrupted.
const READING: u64 = 1 << 11;

/// A clock that is cheap to read.
#[derive(Debug, Default)]
pub(super) struct TurnClock {
    /// Counter and time of a reading of the clock.
    cycles: Cell<u64>,
    nanos: Cell<u64>,
    /// Length of a cycle in nanoseconds, times 2^32; zero if it was not measured yet.
    scale: Cell<u64>,
    /// Number of cycles from the reading on for which the length is used; zero without one.
    valid: Cell<u64>,
}

impl TurnClock {
    /// Returns the time in nanoseconds. `read` reads the clock.
    #[inline]
    pub(super) fn now(&self, read: impl Fn() -> u64) -> u64 {
        match cycles() {
            Some(before) => self.now_at(before, read, || cycles().unwrap_or(before)),
            None => read(),
        }
    }

    /// Returns the time when the counter is `before`. `after` reads the counter again.
    #[inline]
    fn now_at(&self, before: u64, read: impl Fn() -> u64, after: impl Fn() -> u64) -> u64 {
        let passed = before.wrapping_sub(self.cycles.get());
        if passed < self.valid.get() {
            // A window has less than 2^64 units of 2^-32 nanoseconds.
            return self.nanos.get() + ((passed * self.scale.get()) >> 32);
        }
        self.measure(before, read, after)
    }

    /// Reads the clock, and measures the length of a cycle since the last measurement.
    #[cold]
    fn measure(&self, before: u64, read: impl Fn() -> u64, after: impl Fn() -> u64) -> u64 {
        let nanos = read();
        let took = after().wrapping_sub(before);
        let passed = before.wrapping_sub(self.cycles.get());
        let time = nanos.saturating_sub(self.nanos.get());
        if time >= WINDOW && passed > 0 && took <= READING {
            let scale = (u128::from(time) << 32) / u128::from(passed);
            self.set(before, nanos, u64::try_from(scale).unwrap_or(u64::MAX));
        }
        nanos
    }

    fn set(&self, cycles: u64, nanos: u64, scale: u64) {
        let previous = self.scale.replace(scale);
        let agrees = previous.abs_diff(scale) <= previous >> 10;
        self.cycles.set(cycles);
        self.nanos.set(nanos);
        self.valid.set(if agrees { (WINDOW << 32) / scale.max(1) } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock, a counter, and the number of readings of the clock.
    #[derive(Default)]
    struct Machine {
        nanos: Cell<u64>,
        cycles: Cell<u64>,
        reads: Cell<u64>,
    }

    impl Machine {
        fn pass(&self, nanos: u64, cycles: u64) {
            self.nanos.set(self.nanos.get() + nanos);
            self.cycles.set(self.cycles.get() + cycles);
        }

        /// Returns the time of `clock`. A reading takes `took` cycles.
        fn now(&self, clock: &TurnClock, took: u64) -> u64 {
            let read = || {
                self.reads.set(self.reads.get() + 1);
                self.nanos.get()
            };
            clock.now_at(self.cycles.get(), read, || self.cycles.get() + took)
        }
    }

    #[test]
    fn it_reads_the_clock_once_in_a_window() {
        let (clock, machine) = (TurnClock::default(), Machine::default());
        for _ in 0..4000 {
            machine.pass(WINDOW / 100, 3 * WINDOW / 100);
            let error = machine.nanos.get() - machine.now(&clock, 0);
            assert!(error <= 1, "{error}");
        }
        // Two windows pass before two lengths of a cycle agree.
        assert_eq!(machine.reads.get(), 200 + 38);
    }

    #[test]
    fn a_length_that_changes_is_not_used_until_it_is_confirmed() {
        let (clock, machine) = (TurnClock::default(), Machine::default());
        for cycles in [2, 2, 2, 3, 3] {
            machine.pass(WINDOW, cycles * WINDOW);
            assert_eq!(machine.now(&clock, 0), machine.nanos.get());
        }
        assert_eq!((machine.reads.get(), clock.valid.get()), (5, 3 * WINDOW));
        machine.pass(WINDOW, 4 * WINDOW);
        machine.now(&clock, 0);
        assert_eq!(clock.valid.get(), 0);
    }

    #[test]
    fn an_interrupted_reading_measures_nothing() {
        let (clock, machine) = (TurnClock::default(), Machine::default());
        for _ in 0..4 {
            machine.pass(WINDOW, WINDOW);
            assert_eq!(machine.now(&clock, READING + 1), machine.nanos.get());
        }
        assert_eq!((machine.reads.get(), clock.scale.get()), (4, 0));
    }
}

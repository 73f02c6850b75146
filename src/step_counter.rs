//! A count of steps, by which unit tests check how the cost of an operation grows. Outside of unit
//! tests a step is nothing.

#[cfg(test)]
thread_local! {
    static TAKEN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts one step of a loop whose length depends on the number of registrations.
#[inline(always)]
pub(crate) fn step() {
    #[cfg(test)]
    TAKEN.set(TAKEN.get() + 1);
}

/// Returns the number of steps that `run` takes.
#[cfg(all(not(loom), test))]
pub(crate) fn count(run: impl FnOnce()) -> u64 {
    let before = TAKEN.get();
    run();
    TAKEN.get() - before
}

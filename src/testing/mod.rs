//! Simulated time, for tests of programs that use a loop.

mod clock;
#[cfg(all(not(loom), test))]
mod growth;

pub use clock::SimClock;

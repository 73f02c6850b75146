//! For tests of programs that use the loop: time that takes none.

mod clock;
#[cfg(all(not(loom), test))]
mod growth;

pub use clock::SimClock;

//! For tests of programs that use the loop: time that takes none.

mod clock;

pub use clock::SimClock;

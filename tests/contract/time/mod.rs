//! Timers and intervals (section T of docs/contract.md).

mod deadlines;
mod intervals;
mod wall_clock;

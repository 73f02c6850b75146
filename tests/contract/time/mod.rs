//! Timers and intervals (section T of docs/contract.md).

mod boot_time;
mod deadlines;
mod intervals;
mod kernel_timers;
mod wall_clock;

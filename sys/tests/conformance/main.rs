//! One suite over every selector: what the contract promises must hold for each of them, and be the
//! same on all.
//!
//! The expected values are those of poll(2), as measured (`truth`), and poll(2) itself, asked by
//! the test at the same moment.

mod closed;
mod edges;
mod ends;
mod environment;
mod errors;
mod fairness;
mod identity;
mod modes;
mod scripts;
#[path = "../short_dir/mod.rs"]
mod short_dir;
mod situations;
mod support;
mod truth;
mod waits;
mod wakeups;

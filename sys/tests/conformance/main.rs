//! Conformance suite: checks the contract on every selector, with the same results on all.
//!
//! The expected values were measured with poll(2) (`truth`), or come from poll(2) itself, called by
//! the test at the same time.

mod closed;
#[path = "../default_signals/mod.rs"]
mod default_signals;
mod edges;
mod ends;
mod environment;
mod errors;
mod fairness;
#[path = "../fd_limit/mod.rs"]
mod fd_limit;
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

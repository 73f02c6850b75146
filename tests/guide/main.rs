//! The guide, checked: the tables of other event loops have a row for each symbol, excerpts of
//! programs are parts of these, and each picture is what a run draws.

// `Ok(stream.cancel())` keeps a callback that only calls on one line.
#![allow(clippy::unit_arg)]

mod anti_patterns;
mod comparison;
mod pages;
mod pictures;
mod porting;
mod stuck_daemon;
mod unit_files;
mod units;

/// The fixtures of the contract.
#[allow(dead_code, unused_imports)]
#[path = "../contract/support/mod.rs"]
mod support;

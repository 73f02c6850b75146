//! The contract of snapshots, numbers, recordings and explanations (docs/contract.md, sections O,
//! N, R and E), on every available selector.
//!
//! A test's name begins with the id of the sentence that it checks. The folders are the sections.

// `Ok(*calls += 1)` keeps a callback that only counts on one line.
#![allow(clippy::unit_arg)]

mod blame;
mod diagnosis;
mod numbers;
mod outside;
mod recordings;
mod snapshots;
#[cfg(feature = "tracing")]
mod tracing;
mod waits;
mod watchdogs;

/// The fixtures of the first part of the contract.
#[allow(dead_code, unused_imports)]
#[path = "../contract/support/mod.rs"]
mod support;

//! The contract of the daemon kit (docs/contract.md, sections C, L, D, Y, M and B), on every
//! available selector.
//!
//! A test's name begins with the id of the sentence that it checks. The folders are the sections.

// `Ok(*calls += 1)` keeps a callback that only counts on one line.
#![allow(clippy::unit_arg)]

mod children;
mod copying;
mod datagrams;
mod descriptors;
mod service;
mod terminals;

/// The fixtures of the first part of the contract.
#[allow(dead_code, unused_imports)]
#[path = "../contract/support/mod.rs"]
mod support;

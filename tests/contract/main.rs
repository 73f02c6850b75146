//! The contract of the loop (docs/contract.md), sentence by sentence, on every available selector.
//!
//! A test's name begins with the id of the sentence that it checks. The folders are the sections of
//! the contract; `support` has the shared fixtures and `models` the random programs.

// `Ok(*calls += 1)` keeps a callback that only counts on one line.
#![allow(clippy::unit_arg)]

mod errors;
mod models;
mod queue;
mod servers;
mod signals;
mod sockets;
mod streams;
mod support;
mod tasks;
mod threads;
mod time;
mod watchers;

//! Spans of tasks for subscribers of the crate tracing (docs/contract.md, R10 to R13).

mod recorder;
mod spans;
mod subscribers;
mod wakes;

//! Heartbeats and watchdogs (docs/contract.md, section E).

mod running;
mod stalls;

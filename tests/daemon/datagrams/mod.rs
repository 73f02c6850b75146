//! Datagram endpoints (docs/contract.md, section M).

mod callbacks;
mod edges;
mod endings;
mod facts;
mod fairness;
mod faults;
mod queue;
mod saturation;
mod sending;
mod support;
mod tasks;

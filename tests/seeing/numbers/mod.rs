//! Numbers (docs/contract.md, section N).

mod bytes;
mod counters;
mod spurious;
mod times;
mod turns;

//! Numbers (docs/contract.md, section N).

mod counters;
mod times;

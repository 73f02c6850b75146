//! The reasons why turns were late (docs/contract.md, section E).

mod planted;
mod turns;

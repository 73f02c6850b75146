//! The reasons why turns were late (docs/contract.md, section E).

mod corners;
mod planted;
mod turns;

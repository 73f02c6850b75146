//! Recordings (docs/contract.md, section R).

//! Snapshots (docs/contract.md, section O).

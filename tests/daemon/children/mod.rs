//! Child processes (docs/contract.md, section C).

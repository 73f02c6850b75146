//! Copies between streams, and lines (docs/contract.md, section B).

//! Numbers (docs/contract.md, section N).

//! The life of a service (docs/contract.md, section L).

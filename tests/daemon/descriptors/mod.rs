//! Descriptors that are sent to other processes (docs/contract.md, section D).

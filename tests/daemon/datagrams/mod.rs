//! Datagram endpoints (docs/contract.md, section M).

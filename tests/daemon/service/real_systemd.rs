//! Cross-checks with systemd and with other crates (docs/contract.md, L1, L4).

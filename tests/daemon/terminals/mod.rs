//! Standard input and terminals (docs/contract.md, section Y).

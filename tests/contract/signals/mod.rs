//! Signal handlers and SIGPIPE (X3, X4 and X8 of docs/contract.md).

mod handlers;
mod receivers;
mod sigpipe;

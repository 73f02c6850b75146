//! Accepting connections (S4 of docs/contract.md).

mod accept_backoff;
mod accept_errors;
mod accept_tasks;
mod connection_limits;
mod fd_limit;
mod serve;

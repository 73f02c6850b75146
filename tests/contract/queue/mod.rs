//! The ready deque: order, fairness, stopping and closing (section Q of docs/contract.md).

mod connection_flood;
mod embedding;
mod fairness;
mod host_loops;
mod order;
mod selector_calls;
mod stop_and_close;
mod thread_flood;

//! Futures and tasks (section F of docs/contract.md).

mod blocking_pool;
mod blocking_pool_drops;
mod budget;
mod cancellation;
mod combinators;
mod detached_errors;
mod done_callbacks;
mod drops;
mod ecosystem;
mod foreign_wakers;
mod group_cancellation;
mod groups;
mod lifecycle;
mod panics;
mod promises;
mod reports;
mod run_until;
mod scopes;
mod shields;
mod shutdown;
mod spawn_blocking;
mod timeouts_and_sleeps;
mod wakers;

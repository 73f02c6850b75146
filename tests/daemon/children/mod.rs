//! Child processes (docs/contract.md, section C, X5 and X6).

mod groups;
mod inheritance;
mod lifetimes;
mod orphans;
mod other_processes;
mod pipes;
mod scarcity;
mod small_pid_space;
mod statuses;
mod storm;
mod support;

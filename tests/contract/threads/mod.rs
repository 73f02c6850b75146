//! Calls and tasks from other threads (X1 and X2 of docs/contract.md).

mod remote;
mod remote_tasks;

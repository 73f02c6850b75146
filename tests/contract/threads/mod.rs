//! Calls and tasks from other threads (X1, X2 and X11 of docs/contract.md).

mod remote;
mod remote_tasks;
mod thread_bound;

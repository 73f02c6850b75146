//! Watched descriptors, for callbacks and tasks (section W of docs/contract.md).

mod blocking_flag;
mod custom_selector;
mod edge_triggered;
mod errors;
mod failed_rebuild;
mod forgotten_io;
mod interest;
mod io;
mod io_in_two_loops;
mod io_unsupported;
mod io_waiters;
mod loop_descriptors;
mod owned_and_borrowed;
mod readiness;
mod replace_and_remove;
mod replace_while_running;
mod reused_numbers;

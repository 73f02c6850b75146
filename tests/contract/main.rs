//! The contract of the loop, sentence by sentence, on every selector that the system has.
//!
//! A test's name begins with the id of the sentence that it judges.

// `Ok(*calls += 1)`: a callback that only counts is worth one line.
#![allow(clippy::unit_arg)]

mod accept_failures;
mod accepting;
mod async_net;
mod blocking;
mod borrowed;
mod broken_pipes;
mod budgets;
mod chaos;
mod chaos_model;
mod chunks;
mod combine;
mod connects;
mod counted;
mod datagrams;
mod debug;
mod descriptors;
mod detached;
mod edge_mode;
mod edges;
mod embedding;
mod endings;
mod executor;
mod executor_drops;
mod fairness;
mod fd_limit;
mod files;
mod flood;
#[cfg(feature = "futures-io")]
mod futures_io;
mod group_ends;
mod groups;
mod happy_eyeballs;
mod heirs;
mod io;
mod io_waiters;
mod lingering;
mod lookup;
mod messages;
mod moments;
mod own_selector;
mod own_streams;
mod panics;
mod promises;
mod queue;
mod reports;
mod running;
mod scopes;
mod servers;
mod shields;
mod shutdown;
mod signals;
mod soak;
mod spy;
mod stream_model;
mod streams;
mod support;
mod task_budget;
mod task_callbacks;
mod task_drops;
mod task_libraries;
mod task_model;
mod task_panics;
mod task_remote;
mod task_reports;
mod task_runs;
mod task_time;
mod task_twin;
mod tasks;
mod threads;
mod time;
mod timer_model;
mod two_loops;
mod wakers;
mod watcher_errors;
mod watcher_flags;
mod watcher_lives;
mod watcher_model;
mod watcher_numbers;
mod watcher_pause;
mod watchers;
mod water;

//! Random programs, compared with a model of what the contract promises.

mod alive;
mod chaos;
mod chaos_world;
mod connection;
mod task_twin;
mod tasks;
mod timers;
mod watchers;

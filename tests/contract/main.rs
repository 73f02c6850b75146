//! The contract of the loop, sentence by sentence, on every selector that the system has.
//!
//! A test's name begins with the id of the sentence that it judges.

mod files;
mod spy;
mod support;
mod watcher_errors;
mod watcher_flags;
mod watcher_lives;
mod watchers;

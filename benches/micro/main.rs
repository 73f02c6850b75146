//! Microbenchmarks: what one operation of each part costs, through the public API.
//!
//! ```sh
//! cargo bench --bench micro                             # everything, in less than a minute
//! cargo bench --bench micro -- timers --max-time 5      # what has `timers` in its name, for longer
//! cargo test --bench micro                              # each once, to see that it works
//! ```
//!
//! They tell which part a change has made slower. The other benches compare the loop with one that
//! is written by hand, and `compare` with its peers; there the rounds of the opponents are
//! interleaved, because this machine's noise is part of every figure, and here too: look at `median`
//! and `fastest`.
//!
//! An iteration is one operation where the name says nothing else. Where it is many, the second line
//! of a row says how many items (callbacks, timers, tasks) a second that is.
//!
//! # The harness
//!
//! [divan](https://docs.rs/divan), and not criterion, for three reasons. It chooses the iterations
//! of a sample by the clock's precision and ends by a time limit, so that a hundred cells take half
//! a minute, where criterion takes eight seconds for each unless told otherwise in each. Kinds of
//! selectors and sizes are arguments, and become a tree. And it keeps nothing from the last run to
//! compare with, which on a shared machine would mostly report the neighbours.

mod doorbell;
mod ready;
mod tasks;
mod timers;
mod transports;
mod watchers;

use std::time::Duration;

use divan::Divan;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() {
    // A thousand ready descriptors are more than some systems give without being asked.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    Divan::default()
        .min_time(Duration::from_millis(100))
        .max_time(Duration::from_millis(300))
        .config_with_args()
        .main();
}

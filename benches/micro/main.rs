//! Microbenchmarks: what one operation of each part costs, through the public API.
//!
//! ```sh
//! cargo bench --bench micro                                  # everything, in less than a minute
//! cargo bench --bench micro -- timers                        # what has `timers` in its name
//! cargo bench --bench micro -- ready --min-time 3 --max-time 5
//! cargo test --bench micro                                   # each once, to see that it works
//! ```
//!
//! They tell which part a change has made slower. The other benches compare the loop with one that
//! is written by hand, and `compare` with its peers.
//!
//! Figures are time by the clock, so what else the machine does is in `mean` and `slowest`, and in
//! all of a cell whose iterations are longer than a scheduler's slice. `median` and `fastest` are
//! what to look at.
//!
//! An iteration is one operation where the name says nothing else. Where it is many, a second line
//! says how many items (callbacks, timers, tasks) a second that is.
//!
//! # The harness
//!
//! [divan](https://docs.rs/divan), and not criterion, for three reasons. It ends a cell by a time
//! limit, so that all take less than a minute; criterion takes eight seconds for each unless told
//! otherwise. Kinds of selectors and sizes are arguments, and become a tree. And it keeps
//! nothing from the last run to compare with, which on a shared machine would mostly report the
//! neighbours.

mod doorbell;
mod ready;
mod tasks;
mod timers;
mod transports;
mod watchers;

use std::time::Duration;

use divan::Divan;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The iterations in a sample of what takes some 100 ns. With one, which divan would choose, the
/// clock's steps are seen in the figure; with many more, a neighbour is in most samples.
const SHORT: u32 = 100;

/// The same for what takes a microsecond, or so with the least of its arguments.
const FEW: u32 = 10;

fn main() {
    // A thousand ready descriptors are more than some systems give without being asked.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    Divan::default()
        .min_time(Duration::from_millis(200))
        .max_time(Duration::from_millis(600))
        .config_with_args()
        .main();
}

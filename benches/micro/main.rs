//! Microbenchmarks: the cost of one operation of each part, through the public API.
//!
//! ```sh
//! cargo bench --bench micro                                  # everything, in less than a minute
//! cargo bench --bench micro -- timers                        # those with `timers` in the name
//! cargo bench --bench micro -- ready --min-time 3 --max-time 5
//! cargo test --bench micro                                   # one iteration of each
//! ```
//!
//! They show which part a change has made slower. The other benches compare the loop with a
//! hand-written one, and `compare` with its peers.
//!
//! Figures are wall times. Other load affects `mean` and `slowest`, and all figures of a cell with
//! iterations longer than a time slice of the scheduler. Use `median` and `fastest`.
//!
//! An iteration is one operation unless the name contains a number. For several operations a second
//! line has the items (callbacks, timers, tasks) per second.
//!
//! # The harness
//!
//! [divan](https://docs.rs/divan) rather than criterion, for three reasons. It limits the time of
//! each cell, so all cells take less than a minute; criterion takes eight seconds for each by
//! default. Kinds of selectors and sizes are arguments, shown as a tree. And it does not compare
//! with the last run, which on a shared machine mostly reports other load.

mod ready;
mod tasks;
mod timers;
mod transports;
mod wakeup;
mod watchers;

use std::time::Duration;

use divan::Divan;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Iterations in a sample of operations of some 100 ns. With one, the default of divan, the
/// resolution of the clock shows in the figure. With many more, other load affects most samples.
const SHORT: u32 = 100;

/// Iterations in a sample of operations of a microsecond or more.
const FEW: u32 = 10;

fn main() {
    // The default limit of some systems is below the thousand descriptors of `watchers`.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    Divan::default()
        .min_time(Duration::from_millis(200))
        .max_time(Duration::from_millis(600))
        .config_with_args()
        .main();
}

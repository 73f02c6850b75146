//! Parts of the workers of all peers: requests, CPU time, memory, deadlines.
//!
//! A worker is this program, or a program in C or Python with the same convention. Each line of
//! standard input is an amount of work. The worker does it and prints a line of figures.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use crate::raw;

pub mod children;
pub mod echo;
pub mod fetches;
pub mod http;
pub mod pipes;
pub mod post;

/// Does `work` for each number on standard input, and prints the figures that it returns.
pub fn run_requests<const N: usize>(mut work: impl FnMut(u64) -> [u64; N]) {
    for line in io::stdin().lines() {
        let amount = line.expect("standard input is text");
        let figures = work(amount.trim().parse().expect("an amount of work is a number"));
        println!("{}", figures.map(|figure| figure.to_string()).join(" "));
    }
}

/// Returns the CPU time of this thread.
pub fn cpu() -> Duration {
    raw::cpu_of_this_thread()
}

/// Returns the nanoseconds of CPU time of this thread since `before`.
pub fn since(before: Duration) -> u64 {
    (cpu() - before).as_nanos() as u64
}

/// Returns the share of the CPU time since `before` for the requested work. The last batch may have
/// done more than that.
pub fn since_for(before: Duration, requested: u64, done: u64) -> u64 {
    (u128::from(since(before)) * u128::from(requested) / u128::from(done)) as u64
}

/// Returns the CPU time of all threads of this process.
pub fn process_cpu() -> Duration {
    raw::cpu_of(std::process::id()).expect("a process has a CPU clock")
}

/// Returns the nanoseconds of CPU time of all threads since `before`.
pub fn since_process(before: Duration) -> u64 {
    (process_cpu() - before).as_nanos() as u64
}

/// Returns the resident memory of this process in bytes.
pub fn memory() -> u64 {
    memory_of(std::process::id(), "Rss:")
}

/// Returns a sum of `/proc/PID/smaps_rollup` in bytes, such as `Rss:`.
pub fn memory_of(process: u32, sum: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let text = text.expect("/proc/PID/smaps_rollup is readable");
    let line = text.lines().find_map(|line| line.strip_prefix(sum)).unwrap_or_default();
    let kilobytes: u64 =
        line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes");
    kilobytes * 1024
}

/// Returns two lists with reserved memory: for tasks, and for what they wait for.
pub fn lists<T, U>(count: u64) -> (Vec<T>, Vec<U>) {
    (Vec::with_capacity(count as usize), Vec::with_capacity(count as usize))
}

/// Duration of sleeps that do not end during a measurement.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Number of tasks in the scenario `switch`.
pub const YIELDING_TASKS: u64 = 100;

/// Number of callbacks that are queued at once in the scenario `batch`.
pub const BATCH: u64 = 1000;

/// A task that spawns its successor: the counterpart of a callback that queues the next one.
#[derive(Debug)]
pub struct Link {
    /// Number of successors.
    pub left: u64,
    /// Dropped by the last task, which ends the chain.
    pub end: oneshot::Sender<()>,
    pub spawn: fn(Link),
}

/// The future of a [`Link`].
pub async fn link(Link { left, end, spawn }: Link) {
    if left > 0 {
        spawn(Link { left: left - 1, end, spawn });
    }
}

/// Returns deadlines that are due soon after the last one is inserted, 200 ns apart on average.
pub fn near_deadlines(count: u64) -> Vec<Instant> {
    let inserted = Duration::from_millis(50) + Duration::from_micros(count);
    deadlines(Instant::now() + inserted, Duration::from_nanos(200 * count), count)
}

/// Returns deadlines within `span` from `start`, in a random order that is the same for all peers.
pub fn deadlines(start: Instant, span: Duration, count: u64) -> Vec<Instant> {
    let mut noise = 1u64;
    let deadline = |_| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        start + Duration::from_nanos((noise >> 20) % span.as_nanos() as u64)
    };
    (0..count).map(deadline).collect()
}

//! What the workers of all peers share: questions and answers, CPU time, memory, deadlines.
//!
//! A worker is this program again (or a program in C or Python that keeps the same convention). It
//! reads a number a line, does so much work, and prints what it took: one or more numbers.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use crate::raw;

pub mod echo;
pub mod http;
pub mod pipes;
pub mod post;

/// Answers each number from standard input with the figures that `work` gives.
pub fn run_requests<const N: usize>(mut work: impl FnMut(u64) -> [u64; N]) {
    for line in io::stdin().lines() {
        let question = line.expect("a question is text");
        let figures = work(question.trim().parse().expect("a question is a number"));
        println!("{}", figures.map(|figure| figure.to_string()).join(" "));
    }
}

/// CPU time of this thread so far.
pub fn cpu() -> Duration {
    raw::cpu_of_this_thread()
}

/// Nanoseconds of CPU time since then.
pub fn since(before: Duration) -> u64 {
    (cpu() - before).as_nanos() as u64
}

/// The same for the part that was asked for, where more was done: a batch is not cut short.
pub fn since_for(before: Duration, asked: u64, did: u64) -> u64 {
    (u128::from(since(before)) * u128::from(asked) / u128::from(did)) as u64
}

/// CPU time of all threads of this process so far.
pub fn process_cpu() -> Duration {
    raw::cpu_of(std::process::id()).expect("a process has a CPU clock")
}

/// Nanoseconds of CPU time of all threads since then.
pub fn since_process(before: Duration) -> u64 {
    (process_cpu() - before).as_nanos() as u64
}

/// Bytes of this process that are in memory.
pub fn memory() -> u64 {
    memory_of(std::process::id(), "Rss:")
}

/// Bytes of a process, by the kernel's own sum.
pub fn memory_of(process: u32, sum: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let text = text.expect("the kernel tells it");
    let line = text.lines().find_map(|line| line.strip_prefix(sum)).unwrap_or_default();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

/// Two lists with room for so many: the tasks, and what they wait for.
pub fn lists<T, U>(count: u64) -> (Vec<T>, Vec<U>) {
    (Vec::with_capacity(count as usize), Vec::with_capacity(count as usize))
}

/// How long those sleep who are not to wake up.
pub const HOUR: Duration = Duration::from_secs(3600);

/// How many tasks take turns in the scenario `switch`.
pub const YIELDING_TASKS: u64 = 100;

/// How many callbacks are queued at once in the scenario `batch`.
pub const BATCH: u64 = 1000;

/// A task that spawns its successor, for so many times: what a callback does that queues the next.
#[derive(Debug)]
pub struct Link {
    pub left: u64,
    /// Tells the end, when it is dropped.
    pub end: oneshot::Sender<()>,
    pub spawn: fn(Link),
}

/// Its future.
pub async fn link(Link { left, end, spawn }: Link) {
    if left > 0 {
        spawn(Link { left: left - 1, end, spawn });
    }
}

/// So many deadlines that are soon due: when the last one is inserted, and 200 ns apart on average.
pub fn soon(count: u64) -> Vec<Instant> {
    let inserted = Duration::from_millis(50) + Duration::from_micros(count);
    deadlines(Instant::now() + inserted, Duration::from_nanos(200 * count), count)
}

/// So many deadlines in a random order, within `span` from `start`; the same for all peers.
pub fn deadlines(start: Instant, span: Duration, count: u64) -> Vec<Instant> {
    let mut noise = 1u64;
    let deadline = |_| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        start + Duration::from_nanos((noise >> 20) % span.as_nanos() as u64)
    };
    (0..count).map(deadline).collect()
}

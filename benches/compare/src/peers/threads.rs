//! Threads of std as units of concurrency.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use super::peer::{Peer, Works};
use crate::work::fetches::{Fetch, run_fetches, server};
use crate::work::{HOUR, YIELDING_TASKS, memory, process_cpu, run_requests, since_process};

pub const PEER: Peer = Peer::with_version("threads", "(std)", WORKS);

const WORKS: Works = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("asleep", asleep),
    ("fetches", fetches),
];

fn spawn(_: &[usize]) {
    run_requests(|count| {
        let before = process_cpu();
        // A thread occupies memory until it is joined, so only a thousand exist at a time.
        for _ in 0..count.div_ceil(1000) {
            let threads: Vec<_> = (0..1000).map(|_| thread::spawn(|| {})).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
        }
        [since_process(before)]
    });
}

fn switch(_: &[usize]) {
    run_requests(|count| {
        let before = process_cpu();
        let turns = move || (0..count / YIELDING_TASKS).for_each(|_| thread::yield_now());
        let threads: Vec<_> = (0..YIELDING_TASKS).map(|_| thread::spawn(turns)).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
        [since_process(before)]
    });
}

fn waiting(_: &[usize]) {
    run_requests(|count| {
        let mut senders = Vec::with_capacity(count as usize);
        memory_growth(count, || {
            let (sender, receiver) = mpsc::sync_channel::<()>(1);
            senders.push(sender);
            move || receiver.recv().unwrap_or_default()
        })
    });
}

fn asleep(_: &[usize]) {
    run_requests(|count| memory_growth(count, || || thread::sleep(HOUR)));
}

/// Returns the growth of memory by threads that wait in `body`.
fn memory_growth<F: FnOnce() + Send + 'static>(
    count: u64,
    mut body: impl FnMut() -> F,
) -> [u64; 1] {
    let all_began = Arc::new(Barrier::new(count as usize + 1));
    let before = memory();
    let mut threads = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (all_began, body) = (Arc::clone(&all_began), body());
        threads.push(thread::spawn(move || {
            all_began.wait();
            body();
        }));
    }
    all_began.wait();
    thread::sleep(Duration::from_millis(50)); // Lets all threads reach their wait.
    [memory() - before]
}

/// A thread for each fetch.
fn fetches(sizes: &[usize]) {
    let server = server(sizes);
    run_fetches(|count| {
        let start = |_| thread::spawn(move || Fetch::blocking(server));
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread ends")).collect()
    });
}

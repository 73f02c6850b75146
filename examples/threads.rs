//! Threads that post their results into the loop.
//!
//! `cargo run --example threads` counts primes on four threads. A thread reaches the loop by a
//! `Remote`, and what it sends is a closure that runs on the loop's thread with the state at hand:
//! no channel, no lock, and nothing to poll. `run` returns when the last remote is gone, because
//! then nothing can come any more.

use std::env;
use std::ops::Range;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};

use mainspring::{EventLoop, Remote};

const LIMIT: u32 = 200_000;
const WORKERS: u32 = 4;

#[derive(Default)]
struct Tally {
    reports: u32,
    primes: usize,
}

fn run() -> mainspring::Result<()> {
    let mut el = EventLoop::with_state(Tally::default())?;
    let share = LIMIT / WORKERS;
    let workers: Vec<_> =
        (0..WORKERS).map(|i| spawn(el.remote(), i * share..(i + 1) * share)).collect();

    el.run()?;
    for worker in workers {
        worker.join().expect("a worker does not panic")?;
    }
    let Tally { reports, primes } = el.state();
    println!("{primes} primes below {LIMIT}, from {reports} threads");
    Ok(())
}

/// A thread that counts, posts what it found, and drops its remote.
fn spawn(remote: Remote<Tally>, range: Range<u32>) -> JoinHandle<mainspring::Result<()>> {
    thread::spawn(move || {
        let found = range.clone().filter(|&n| is_prime(n)).count();
        remote.call_soon(move |_el, tally| {
            println!("{found} primes in {range:?}");
            tally.reports += 1;
            tally.primes += found;
        })
    })
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

fn main() -> ExitCode {
    if let Some(argument) = env::args_os().nth(1) {
        eprintln!("threads: unexpected argument {argument:?}");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("threads: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

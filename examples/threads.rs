//! Threads that send their results to the loop.
//!
//! `cargo run --example threads` counts primes on four threads. A thread reaches the loop through a
//! `Remote`. It sends closures, which run on the loop's thread with access to the state: no
//! channel, no lock, and nothing to poll. `run` returns when the last remote is dropped, because
//! then no further closure can arrive.

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

/// Starts a thread that counts, sends its result, and drops its remote.
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

//! Every kind of timer: one-shot, at an instant, at intervals, and an idle limit that is postponed.
//!
//! `cargo run --example timers` prints each callback with its time, and ends in less than a second:
//! `run` returns when nothing is left that could call back.

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use mainspring::{EventLoop, LoopHandle};

/// State of the loop: the start of the program.
type Began = Instant;

const IDLE_LIMIT: Duration = ms(200);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn print_with_time(began: &Began, text: &str) {
    println!("T={:3}ms  {text}", began.elapsed().as_millis());
}

fn run() -> mainspring::Result<()> {
    let mut el = EventLoop::with_state(Instant::now())?;
    let began = *el.state();

    el.call_soon(|_, began| print_with_time(began, "call_soon: in the next tick"));
    el.call_later(ms(50), |_, began| print_with_time(began, "call_later: 50 ms from now"));
    el.call_at(began + ms(75), |_, began| {
        print_with_time(began, "call_at: 75 ms after the beginning")
    });

    let never =
        el.call_later(ms(100), |_, began| print_with_time(began, "a cancelled callback has run"));
    el.call_later(ms(25), move |el, began| {
        if el.cancel(never) {
            print_with_time(began, "cancel: the callback of T=100ms never runs");
        }
    });

    // The interval stands for a connection with traffic. Each packet pushes the limit back, which
    // allocates nothing.
    let idle =
        el.add_timer(|_, began| print_with_time(began, "idle limit: 200 ms without a packet"))?;
    el.reset_after(idle, IDLE_LIMIT);
    let packets = el.call_every(ms(80), move |el, began| {
        el.reset_after(idle, IDLE_LIMIT);
        print_with_time(
            began,
            &format!("call_every: a packet, {} missed before it", el.missed_ticks()),
        );
    })?;
    el.call_later(ms(90), block_the_loop);
    el.call_later(ms(420), move |el, began| {
        el.cancel(packets);
        print_with_time(began, "cancel: no more packets");
    });

    el.run()?;
    print_with_time(el.state(), "nothing is left to do");
    Ok(())
}

/// Blocks the loop, which no callback should do. The interval skips the ticks missed meanwhile, and
/// keeps its grid.
fn block_the_loop(_el: &LoopHandle<Began>, began: &mut Began) {
    thread::sleep(ms(170));
    print_with_time(began, "a callback that took 170 ms has returned");
}

fn main() -> ExitCode {
    if let Some(argument) = env::args_os().nth(1) {
        eprintln!("timers: unexpected argument {argument:?}");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("timers: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

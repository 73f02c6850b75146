//! Instructions of a turn without instruments, which must not grow unnoticed.
//!
//! The compiler decides for each call what it inlines. So a change to one function may cost
//! the turns of all others twenty instructions, far less than the noise of a time. This counts them
//! under valgrind's callgrind, and fails if a count is more than [`TOLERANCE`] above the recorded
//! one. Counts of another compiler are printed, and not compared.
//!
//! * `dispatch`: a hundred readable pipes, each of which is reported in each tick;
//! * `call_soon`: a thousand closures in a tick;
//! * `chain`: a closure that queues the next one, so one in a tick;
//! * `timers`: a thousand timers that are due in one tick, with their insertion;
//! * `switch`: a hundred tasks that yield.
//!
//! If a change is worth more instructions, record the new counts in [`TURNS`].

mod raw;
mod support;

use std::io::Write;
use std::process::{self, Command};
use std::time::Duration;

use mainspring::{EventLoop, LoopHandle, yield_now};
use support::child::{is_installed, run_requests};
use support::options::{Effort, Options};
use support::table::Table;
use support::{Side, instructions, run};

/// The compiler of the recorded counts.
const COMPILER: &str = "rustc 1.95.0 (59807616e 2026-04-14)";

/// A kind of turn: its name, the work for a number of turns, and the recorded instructions of one.
type Turn = (&'static str, fn(u64), f64);

const TURNS: &[Turn] = &[
    ("dispatch", dispatch, 167.0),
    ("call_soon", call_soon, 152.4),
    ("chain", chain, 423.3),
    ("timers", timers, 784.6),
    ("switch", switch, 305.5),
];

/// The part by which a count may be above the recorded one. Runs differ by less than a thousandth.
const TOLERANCE: f64 = 0.03;

fn main() {
    run("turns", run_bench, |words, _| {
        let turn = TURNS.iter().find(|turn| turn.0 == words[0]);
        let (_, work, _) = turn.expect("the main process passes a kind of turn");
        run_requests(|count| {
            work(count);
            count
        });
    });
}

fn run_bench(options: &Options) {
    if options.effort == Effort::Smoke {
        return TURNS.iter().for_each(|(_, work, _)| work(1000));
    }
    if !is_installed("valgrind") {
        return println!("skipped: valgrind is not installed");
    }
    let mut table = Table::new(&["instructions", "recorded", "now", "ratio"]);
    let mut above = Vec::new();
    for (name, _, recorded) in TURNS {
        options.progress(name);
        let now = instructions::per_unit(&[name], Side::Mainspring);
        let ratio = now / recorded;
        table.row([(*name).to_owned(), figure(*recorded), figure(now), format!("{ratio:.3}")]);
        if ratio > 1.0 + TOLERANCE {
            above.push(*name);
        }
    }
    table.print(options);
    match compiler() {
        Some(compiler) if compiler == COMPILER => fail_if_any(&above),
        _ => println!("not compared: the recorded counts are those of {COMPILER}"),
    }
}

fn figure(count: f64) -> String {
    format!("{count:.1}")
}

fn fail_if_any(above: &[&str]) {
    if !above.is_empty() {
        eprintln!("more instructions than recorded in benches/turns.rs: {}", above.join(", "));
        process::exit(1);
    }
}

/// Returns the name and version of the compiler, if it runs on the machine of the counts.
fn compiler() -> Option<String> {
    let output = Command::new("rustc").arg("-V").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    cfg!(target_arch = "x86_64").then(|| version.trim().to_owned())
}

fn dispatch(count: u64) {
    let mut el = EventLoop::with_state(count).expect("a loop");
    let mut writers = Vec::new();
    for _ in 0..100 {
        let (reader, mut writer) = std::io::pipe().expect("there are descriptors");
        writer.write_all(b"x").expect("a pipe has room for a byte");
        writers.push(writer);
        let watched = el.add_reader(reader, |el, left: &mut u64, _| {
            *left -= 1;
            if *left == 0 {
                el.stop();
            }
            Ok(())
        });
        watched.expect("a pipe can be watched");
    }
    el.run_forever().expect("the loop runs");
}

fn call_soon(count: u64) {
    let mut el = EventLoop::with_state(0u64).expect("a loop");
    for _ in 0..count.div_ceil(1000) {
        for number in 0..1000 {
            el.call_soon(move |_, sum| *sum = sum.wrapping_add(number));
        }
        el.tick(None).expect("the loop runs");
    }
}

fn chain(count: u64) {
    fn link(el: &LoopHandle<u64>, left: &mut u64) {
        *left -= 1;
        match *left {
            0 => el.stop(),
            _ => _ = el.call_soon(link),
        }
    }
    let mut el = EventLoop::with_state(count).expect("a loop");
    el.call_soon(link);
    el.run_forever().expect("the loop runs");
}

fn timers(count: u64) {
    let mut el = EventLoop::with_state(0u64).expect("a loop");
    for _ in 0..count.div_ceil(1000) {
        for _ in 0..1000 {
            el.call_later(Duration::ZERO, |_, ran| *ran += 1);
        }
        el.tick(None).expect("the loop runs");
    }
}

fn switch(count: u64) {
    let mut el = EventLoop::new().expect("a loop");
    for _ in 0..100 {
        let turns = async move {
            for _ in 0..count / 100 {
                yield_now().await;
            }
        };
        el.spawn(turns).detach();
    }
    el.run().expect("the loop runs");
}

//! Operating-system processes as units of concurrency: this program, which waits for a line.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use super::peer::{Peer, Works};
use crate::work::children::{command, run_children};
use crate::work::fetches::{Fetch, run_fetches, server};
use crate::work::{YIELDING_TASKS, memory_of, process_cpu, run_requests, since_process};
use crate::worker::FLAG;

pub const PEER: Peer = Peer::with_version("processes", "(std)", WORKS);

const WORKS: Works = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("unit", unit),
    ("fetches", fetches),
    ("fetch", fetch),
    ("children", children),
];

/// A running process, and its pipes.
struct Unit {
    process: Child,
    requests: ChildStdin,
    figures: BufReader<ChildStdout>,
}

impl Unit {
    /// Starts a process and waits until it runs.
    fn start() -> Unit {
        let mut unit = Unit::start_for("unit", &[]);
        unit.line();
        unit
    }

    /// Starts a process that does the work of a scenario.
    fn start_for(scenario: &str, sizes: &[usize]) -> Unit {
        let program = std::env::current_exe().expect("the path of this program");
        let mut command = Command::new(program);
        command.args([FLAG, PEER.name, scenario]).args(sizes.iter().map(usize::to_string));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process can be started");
        let requests = process.stdin.take().expect("it is a pipe");
        let figures = BufReader::new(process.stdout.take().expect("it is a pipe"));
        Unit { process, requests, figures }
    }

    fn line(&mut self) -> u64 {
        let mut line = String::new();
        self.figures.read_line(&mut line).expect("a unit prints text");
        line.trim().parse().expect("a unit prints numbers")
    }

    fn join(mut self) {
        drop(self.requests);
        self.process.wait().expect("a process ends");
    }
}

/// The work of such a process: it yields a number of times, and prints the CPU time.
fn unit(_: &[usize]) {
    println!("0");
    for line in io::stdin().lines() {
        let count: u64 = line.expect("text").trim().parse().expect("a number");
        let before = process_cpu();
        (0..count).for_each(|_| thread::yield_now());
        println!("{}", since_process(before));
    }
}

/// Measures wall time, because the CPU time belongs to many processes.
fn spawn(_: &[usize]) {
    run_requests(|count| {
        let began = Instant::now();
        (0..count).for_each(|_| Unit::start().join());
        [began.elapsed().as_nanos() as u64]
    });
}

fn switch(_: &[usize]) {
    let mut units: Vec<Unit> = (0..YIELDING_TASKS).map(|_| Unit::start()).collect();
    run_requests(|count| {
        for unit in &mut units {
            writeln!(unit.requests, "{}", count / YIELDING_TASKS)
                .expect("the process reads its standard input");
        }
        [units.iter_mut().map(Unit::line).sum()]
    });
}

/// Adds up proportional shares of memory, so that shared pages count once.
fn waiting(_: &[usize]) {
    run_requests(|count| {
        let units: Vec<Unit> = (0..count).map(|_| Unit::start()).collect();
        let shares = units.iter().map(|unit| memory_of(unit.process.id(), "Pss:")).sum();
        units.into_iter().for_each(Unit::join);
        [shares]
    });
}

/// Starts so many, and waits for each.
fn children(sizes: &[usize]) {
    run_children(|count| {
        let mut left = count;
        while left > 0 {
            let at_once = left.min(sizes[0]);
            let started: Vec<Child> =
                (0..at_once).map(|_| command().spawn().expect("a child")).collect();
            for mut child in started {
                assert!(child.wait().expect("its status").success());
            }
            left -= at_once;
        }
    });
}

/// A process for each fetch.
fn fetches(sizes: &[usize]) {
    run_fetches(|count| {
        let start = |_| (Instant::now(), common_clock(), Unit::start_for("fetch", sizes));
        let units: Vec<_> = (0..count).map(start).collect();
        let fetch = |(began, begin, mut unit): (Instant, u64, Unit)| {
            let [first_byte, ended, cpu] = [(); 3].map(|()| unit.line());
            unit.join();
            Fetch::at(began, [0, first_byte - begin, ended - begin], cpu)
        };
        units.into_iter().map(fetch).collect()
    });
}

/// The work of such a process: it fetches, and prints the times on a clock that both processes
/// share, and its CPU time.
fn fetch(sizes: &[usize]) {
    let (start, start_at) = (Instant::now(), common_clock());
    let [_, first_byte, ended] = Fetch::blocking(server(sizes)).since(start);
    println!("{}\n{}\n{}", start_at + first_byte, start_at + ended, process_cpu().as_nanos());
}

/// Returns the nanoseconds of the monotonic clock, which all processes share.
fn common_clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

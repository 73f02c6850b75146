//! Operating-system processes as units of concurrency: this program, which waits for a line.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use super::peer::{Peer, Works};
use crate::work::{YIELDING_TASKS, memory_of, process_cpu, run_requests, since_process};
use crate::worker::FLAG;

pub const PEER: Peer = Peer::with_version("processes", "(std)", WORKS);

const WORKS: Works = &[("spawn", spawn), ("switch", switch), ("waiting", waiting), ("unit", unit)];

/// A running process, and its pipes.
struct Unit {
    process: Child,
    requests: ChildStdin,
    figures: BufReader<ChildStdout>,
}

impl Unit {
    /// Starts a process and waits until it runs.
    fn start() -> Unit {
        let program = std::env::current_exe().expect("the path of this program");
        let mut command = Command::new(program);
        command.args([FLAG, PEER.name, "unit"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process can be started");
        let requests = process.stdin.take().expect("it is a pipe");
        let figures = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let mut unit = Unit { process, requests, figures };
        unit.line();
        unit
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
        let began = std::time::Instant::now();
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

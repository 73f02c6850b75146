//! Processes of the system, one for each unit of work: this program again, which waits for a line.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use super::peer::{Peer, Works};
use crate::work::{YIELDING_TASKS, memory_of, process_cpu, run_requests, since_process};
use crate::worker::FLAG;

pub const PEER: Peer = Peer::with_version("processes", "(std)", WORKS);

const WORKS: Works = &[("spawn", spawn), ("switch", switch), ("waiting", waiting), ("unit", unit)];

/// A process that was started, and its pipes.
struct Unit {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Unit {
    /// Starts one and waits until it has begun.
    fn start() -> Unit {
        let program = std::env::current_exe().expect("a process knows its program");
        let mut command = Command::new(program);
        command.args([FLAG, PEER.name, "unit"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process can be started");
        let questions = process.stdin.take().expect("it is a pipe");
        let answers = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let mut unit = Unit { process, questions, answers };
        unit.line();
        unit
    }

    fn line(&mut self) -> u64 {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a unit prints text");
        line.trim().parse().expect("a unit prints numbers")
    }

    fn join(mut self) {
        drop(self.questions);
        self.process.wait().expect("a process ends");
    }
}

/// What such a process does: it yields so often, and tells the CPU time of that.
fn unit(_: &[usize]) {
    println!("0");
    for line in io::stdin().lines() {
        let count: u64 = line.expect("text").trim().parse().expect("a number");
        let before = process_cpu();
        (0..count).for_each(|_| thread::yield_now());
        println!("{}", since_process(before));
    }
}

/// Wall time, since the CPU time is that of many processes.
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
            writeln!(unit.questions, "{}", count / YIELDING_TASKS).expect("a unit listens");
        }
        [units.iter_mut().map(Unit::line).sum()]
    });
}

/// Their proportional shares of memory: what all have in common counts once.
fn waiting(_: &[usize]) {
    run_requests(|count| {
        let units: Vec<Unit> = (0..count).map(|_| Unit::start()).collect();
        let shares = units.iter().map(|unit| memory_of(unit.process.id(), "Pss:")).sum();
        units.into_iter().for_each(Unit::join);
        [shares]
    });
}

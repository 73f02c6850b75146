//! Instructions in user space, counted by valgrind's callgrind: they do not jitter. What the kernel
//! does is not in them.

use std::io::{self, Error};

use crate::contest::Contest;
use crate::cores::Place;
use crate::peers::Peer;
use crate::worker::{Worker, under};

const TOOL: &[&str] = &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

/// Instructions for each unit of work. The start and the end of a process cancel out: two runs of
/// different length are compared.
pub fn per_unit(
    contest: &Contest,
    peer: &Peer,
    scenario: &str,
    sizes: &[usize],
    least: u64,
) -> io::Result<f64> {
    let (few, many) = (least * 20, least * 120);
    let count = |work: u64| -> io::Result<f64> {
        let command = under(TOOL, peer.command(scenario, sizes)?);
        let mut worker = contest.cores.at(Place::Alone, || Worker::start(command))?;
        worker.ask(few)?; // The buffers get their size here.
        worker.ask(work)?;
        collected(&worker.end()?)
    };
    Ok((count(many)? - count(few)?) / (many - few) as f64)
}

/// The number of instructions in callgrind's report.
fn collected(report: &str) -> io::Result<f64> {
    let number = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let number = number.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| Error::other("callgrind has not counted"))
}

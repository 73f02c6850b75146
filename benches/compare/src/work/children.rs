//! The scenario `children`: programs that end at once are started, and waited for.

use std::process::Command;
use std::time::Instant;

use super::{process_cpu, run_requests, since_process};

/// Returns the command of a program that does nothing.
pub fn command() -> Command {
    Command::new("/bin/true")
}

/// Lets `run` start and wait for each requested number of children. The figures are wall time and
/// CPU time of this process, in nanoseconds.
pub fn run_children(mut run: impl FnMut(usize)) {
    run_requests(|count| {
        let (began, before) = (Instant::now(), process_cpu());
        run(count as usize);
        [began.elapsed().as_nanos() as u64, since_process(before)]
    });
}

/// Returns the number of children that each of `at_once` tasks starts, one after the other.
pub fn shares(count: usize, at_once: usize) -> impl Iterator<Item = usize> {
    (0..at_once).map(move |task| (task..count).step_by(at_once).count())
}

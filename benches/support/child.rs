//! Worker processes of a bench. They run the same program, read amounts of work from standard
//! input, and print a figure for each.

use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use super::Side;
use crate::raw;

/// First word of the command line of a worker.
pub const WORKER: &str = "--worker";

/// Returns the first and the last core at the first call, before the main process moved to the last
/// one. Workers inherit that restriction, so they cannot find the first core themselves.
pub fn cores() -> (usize, usize) {
    static CORES: OnceLock<(usize, usize)> = OnceLock::new();
    *CORES.get_or_init(|| raw::cores().expect("sched_getaffinity(2) works for the calling thread"))
}

/// A running worker. Dropping it kills the process.
pub struct Child {
    process: process::Child,
    requests: Option<ChildStdin>,
    figures: BufReader<ChildStdout>,
    errors: Option<ChildStderr>,
}

impl Child {
    /// Starts a worker with `words` on its command line.
    pub fn start(words: &[&str], side: Side) -> Child {
        Child::start_under(&[], words, side)
    }

    /// Starts a worker under a tool such as valgrind, which reports on standard error.
    pub fn start_under(tool: &[&str], words: &[&str], side: Side) -> Child {
        let bench = env::current_exe().expect("the path of this program");
        let mut command = match tool {
            [] => Command::new(bench),
            [tool, options @ ..] => {
                let mut command = Command::new(tool);
                command.args(options).arg(bench).stderr(Stdio::piped());
                command
            }
        };
        let (first, _) = cores();
        command.arg(WORKER).arg(first.to_string()).args(words).arg(side.name());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a worker can be started");
        let requests = process.stdin.take();
        let figures = BufReader::new(process.stdout.take().expect("standard output is a pipe"));
        let errors = process.stderr.take();
        Child { process, requests, figures, errors }
    }

    /// Returns the next line that the worker prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.figures.read_line(&mut line).expect("a worker prints text");
        assert!(!line.is_empty(), "the worker ended early");
        line
    }

    /// Requests an amount of work, and waits for the figure.
    pub fn request(&mut self, amount: impl Display) -> u64 {
        let requests = self.requests.as_mut().expect("the worker accepts requests");
        writeln!(requests, "{amount}").expect("the worker reads its standard input");
        self.line().trim().parse().expect("the worker prints a number")
    }

    /// Ends the requests, waits for the process, and returns the report of its tool.
    pub fn end(mut self) -> String {
        drop(self.requests.take());
        let mut report = String::new();
        if let Some(mut errors) = self.errors.take() {
            errors.read_to_string(&mut report).expect("a report is text");
        }
        self.process.wait().expect("a worker ends");
        report
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Errors are ignored: the process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does `work` for each amount on standard input, and prints the figure that it returns.
pub fn run_requests(mut work: impl FnMut(u64) -> u64) {
    for line in io::stdin().lines() {
        let amount = line.expect("standard input is text");
        let amount = amount.trim().parse().expect("an amount of work is a number");
        println!("{}", work(amount));
    }
}

/// Returns true if the tool runs on this system.
pub fn is_installed(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

//! Processes that work for a bench: its own program again, which reads questions from standard
//! input and answers on standard output.

use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use super::Side;
use crate::raw;

/// The first word of a worker's command line.
pub const WORKER: &str = "--worker";

/// The first and the last core, as they were before the leader went to the last: its workers inherit
/// that, and could not find the first any more.
pub fn cores() -> (usize, usize) {
    static CORES: OnceLock<(usize, usize)> = OnceLock::new();
    *CORES.get_or_init(|| raw::cores().expect("a process may ask for its cores"))
}

/// A worker. It is killed when this is dropped.
pub struct Child {
    process: process::Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    errors: Option<ChildStderr>,
}

impl Child {
    /// Starts a worker with these words.
    pub fn start(words: &[&str], side: Side) -> Child {
        Child::start_under(&[], words, side)
    }

    /// Starts a worker under a tool such as valgrind, whose report goes to standard error.
    pub fn start_under(tool: &[&str], words: &[&str], side: Side) -> Child {
        let bench = env::current_exe().expect("a process knows its program");
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
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("standard output is a pipe"));
        let errors = process.stderr.take();
        Child { process, questions, answers, errors }
    }

    /// The next line that the worker prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a worker prints text");
        assert!(!line.is_empty(), "a worker has ended early");
        line
    }

    /// Asks for a number and waits for it.
    pub fn ask(&mut self, question: impl Display) -> u64 {
        let questions = self.questions.as_mut().expect("a worker is asked before its end");
        writeln!(questions, "{question}").expect("a worker listens");
        self.line().trim().parse().expect("a worker answers with a number")
    }

    /// Asks no more, waits for the worker's end, and returns what its tool has reported.
    pub fn end(mut self) -> String {
        drop(self.questions.take());
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
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The worker's side: answers each number from standard input.
pub fn answer(mut work: impl FnMut(u64) -> u64) {
    for line in io::stdin().lines() {
        let question = line.expect("a question is text");
        let question = question.trim().parse().expect("a question is a number");
        println!("{}", work(question));
    }
}

/// Whether a tool can be run here.
pub fn is_installed(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

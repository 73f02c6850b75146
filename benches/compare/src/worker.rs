//! A process that works for one peer, seen from the leading process.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The first word of the command line of a worker that is this program.
pub const FLAG: &str = "--worker";

/// A worker that says nothing for so long has lost its way.
const TIMEOUT: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// A command under a tool such as strace, whose report goes to standard error.
pub fn under(tool: &[&str], command: Command) -> Command {
    let [tool, options @ ..] = tool else { return command };
    let mut under = Command::new(tool);
    under.args(options).arg(command.get_program()).args(command.get_args());
    under.stderr(Stdio::piped());
    under
}

/// A worker. It is killed when this is dropped.
#[derive(Debug)]
pub struct Worker {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    errors: Option<ChildStderr>,
}

impl Worker {
    /// Starts a worker; its standard error is ours, unless the command says otherwise.
    pub fn start(mut command: Command) -> io::Result<Worker> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let errors = process.stderr.take();
        Ok(Worker { process, questions, answers, errors })
    }

    /// Asks for an amount of work, and waits for the figures.
    pub fn request(&mut self, question: impl Display) -> io::Result<Vec<f64>> {
        let questions = self.questions.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(questions, "{question}")?;
        self.figures()
    }

    /// The figures on the next line that it prints.
    pub fn figures(&mut self) -> io::Result<Vec<f64>> {
        let mut waiting = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
        if poll(&mut waiting, Some(&TIMEOUT))? == 0 {
            return Err(Error::new(io::ErrorKind::TimedOut, "it does not answer"));
        }
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(Error::other(format!("it has ended early, {}", self.process.wait()?)));
        }
        let figure = |word: &str| word.parse().map_err(|_| Error::other(format!("it said {line}")));
        line.split_whitespace().map(figure).collect()
    }

    /// Asks no more, waits for the end, and returns what its standard error has said.
    pub fn end(mut self) -> io::Result<String> {
        drop(self.questions.take());
        let mut report = String::new();
        if let Some(mut errors) = self.errors.take() {
            errors.read_to_string(&mut report)?;
        }
        self.process.wait()?;
        Ok(report)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! A worker: a process that does the work of one peer. This is the side of the main process.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// First word of the command line of a worker in this program.
pub const FLAG: &str = "--worker";

/// Longest wait for an answer; a worker that takes longer is broken.
const TIMEOUT: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

/// Returns the command under a tool such as strace, with its standard error, where the tool
/// reports, in a pipe. An empty `tool` returns the command unchanged.
pub fn under(tool: &[&str], command: Command) -> Command {
    let [tool, options @ ..] = tool else { return command };
    let mut under = Command::new(tool);
    under.args(options).arg(command.get_program()).args(command.get_args());
    under.stderr(Stdio::piped());
    under
}

/// A running worker. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    process: Child,
    requests: Option<ChildStdin>,
    figures: BufReader<ChildStdout>,
    errors: Option<ChildStderr>,
}

impl Worker {
    /// Starts a worker. It inherits the standard error unless the command has another one.
    pub fn start(mut command: Command) -> io::Result<Worker> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let requests = process.stdin.take();
        let figures = BufReader::new(process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let errors = process.stderr.take();
        Ok(Worker { process, requests, figures, errors })
    }

    /// Requests an amount of work, and waits for the figures.
    pub fn request(&mut self, amount: impl Display) -> io::Result<Vec<f64>> {
        let requests = self.requests.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(requests, "{amount}")?;
        self.figures()
    }

    /// Returns the figures of the next line that the worker prints.
    pub fn figures(&mut self) -> io::Result<Vec<f64>> {
        let mut waiting = [PollFd::new(self.figures.get_ref(), PollFlags::IN)];
        if poll(&mut waiting, Some(&TIMEOUT))? == 0 {
            return Err(Error::new(io::ErrorKind::TimedOut, "the worker does not answer"));
        }
        let mut line = String::new();
        if self.figures.read_line(&mut line)? == 0 {
            return Err(Error::other(format!("the worker ended early, {}", self.process.wait()?)));
        }
        let figure = |word: &str| {
            word.parse().map_err(|_| Error::other(format!("the worker printed {line:?}")))
        };
        line.split_whitespace().map(figure).collect()
    }

    /// Ends the requests, waits for the process, and returns the text of its standard error.
    pub fn end(mut self) -> io::Result<String> {
        drop(self.requests.take());
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
        // Errors are ignored: the process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! A process supervisor: starts commands, prefixes their output, and restarts them with exponential
//! backoff.
//!
//! ```text
//! cargo run --example supervise -- [--grace SECONDS] [--give-up FAILURES] COMMAND ..
//! ```
//!
//! Each COMMAND is a line for `sh`. A command that exits successfully is not restarted. A failed
//! one is restarted after a pause, which doubles from 100 ms to 10 s, and is reset after a run of
//! ten seconds. TERM or Ctrl-C stops everything: each process group gets TERM, and KILL when the
//! grace period is over.

use std::env;
use std::io::{self, PipeReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mainspring::io::BufReader;
use mainspring::process::Child;
use mainspring::{Error, EventLoop, Io, Result, Shutdown, Signal, Task, sleep, spawn, timeout};

/// First and longest pause before a restart, and the duration of a run that ends the growth.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const STABLE: Duration = Duration::from_secs(10);

/// Time that the last lines of a command have to arrive after its end.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The tasks that print the output of a command.
type Printers = Vec<Task<Result<()>>>;

/// Command line.
#[derive(Debug)]
struct Options {
    grace: Duration,
    /// Failures in a row after which a command is given up; 0 for never.
    give_up: u32,
    commands: Vec<String>,
}

impl Options {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options { grace: Duration::from_secs(5), give_up: 0, commands: vec![] };
        while let Some(arg) = args.next() {
            let mut number = |what: &str| {
                let value = args.next().and_then(|value| value.parse::<u32>().ok());
                value.ok_or_else(|| Error::other(format!("{arg} needs a number of {what}")))
            };
            match arg.as_str() {
                "--grace" => options.grace = Duration::from_secs(number("seconds")?.into()),
                "--give-up" => options.give_up = number("failures")?,
                _ if arg.starts_with('-') => {
                    return Err(Error::other(format!("there is no option {arg}")));
                }
                _ => options.commands.push(arg),
            }
        }
        if options.commands.is_empty() {
            return Err(Error::other("no command; usage: [--grace S] [--give-up N] COMMAND .."));
        }
        Ok(options)
    }
}

/// Prints a pipe of a command line by line, until its end. A part of a line that is longer than
/// 64 KiB is printed as a line.
async fn print_lines(name: usize, pipe: PipeReader) -> Result<()> {
    let mut reader = BufReader::new(Io::new(pipe)?);
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                line.extend_from_slice(reader.buffer());
                reader.consume(line.len());
            }
            Err(error) => return Err(error.into()),
        }
        println!("{name}| {}", String::from_utf8_lossy(&line).trim_end());
    }
}

/// Starts a command as the leader of a process group, so that all its processes can be ended.
fn start(name: usize, command: &str) -> Result<(Child, Printers)> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).process_group(0);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Child::spawn(shell)?;
    let pipes = [child.take_stdout(), child.take_stderr()].into_iter().flatten();
    let printers = pipes.map(|pipe| spawn(print_lines(name, pipe))).collect();
    println!("{name}: started as process {}", child.id());
    Ok((child, printers))
}

/// Waits for the last lines of a command that has ended. A process that it has left behind may hold
/// the pipes longer; its lines are printed as they come.
async fn finish(printers: Printers) -> Result<()> {
    for printer in printers {
        if let Ok(printed) = timeout(LAST_LINES, printer).await {
            printed??;
        }
    }
    Ok(())
}

/// Runs a command once. Returns `None` if the shutdown has ended it.
async fn run_once(name: usize, command: &str, stop: &Stop) -> Result<Option<ExitStatus>> {
    let (child, printers) = start(name, command)?;
    if let Some(status) = stop.shutdown.until_started(child.wait()).await {
        finish(printers).await?;
        return status.map(Some);
    }
    match child.kill_group_after(stop.grace) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {} // It ended meanwhile.
        result => result?,
    }
    let status = child.wait().await?;
    finish(printers).await?;
    println!("{name}: stopped, {status}");
    Ok(None)
}

/// Runs a command until it succeeds, is given up, or the supervisor stops.
async fn supervise(name: usize, command: String, give_up: u32, stop: Stop) -> Result<()> {
    let mut failures = 0;
    while !stop.shutdown.is_started() {
        let began = Instant::now();
        let Some(status) = run_once(name, &command, &stop).await? else { return Ok(()) };
        println!("{name}: {status}");
        if status.success() {
            return Ok(());
        }
        failures = if began.elapsed() < STABLE { failures + 1 } else { 1 };
        if failures == give_up {
            let message = format!("{name}: given up after {failures} failures: {command}");
            return Err(Error::other(message));
        }
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.saturating_pow(failures - 1));
        println!("{name}: next start in {pause:?}");
        stop.shutdown.until_started(sleep(pause)).await;
    }
    Ok(())
}

/// The end of the supervisor, and the time that commands have to end.
#[derive(Clone)]
struct Stop {
    shutdown: Shutdown,
    grace: Duration,
}

fn run(options: Options) -> Result<()> {
    let mut el = EventLoop::new()?;
    let stop = Stop { shutdown: Shutdown::new(), grace: options.grace };
    for signal in [Signal::TERM, Signal::INT] {
        let shutdown = stop.shutdown.clone();
        el.add_signal_handler(signal, move |_, ()| {
            println!("{signal}: stopping");
            shutdown.begin(Duration::MAX);
        })?;
    }
    el.run_until_complete(async move {
        let supervisors: Vec<_> = (1..)
            .zip(options.commands)
            .map(|(name, command)| spawn(supervise(name, command, options.give_up, stop.clone())))
            .collect();
        let mut result = Ok(());
        for supervisor in supervisors {
            // One that gives up leaves the others running.
            result = result.and(supervisor.await?);
        }
        result
    })?
}

fn main() -> ExitCode {
    let result = Options::from_args(env::args().skip(1));
    let (code, error) = match result.map(run) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => (1, error),
        Err(error) => (2, error),
    };
    eprintln!("supervise: {}", error.chain());
    ExitCode::from(code)
}

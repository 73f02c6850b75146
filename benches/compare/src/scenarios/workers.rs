//! Several cores: `examples/workers` with one worker and with two. Each worker has its own
//! listener, or all are served by one acceptor.
//!
//! A worker is a thread. Four daemons take turns. The clients are one thread of the main process on
//! the last core; the daemon may use all cores.
//!
//! * `wall`: time from the first request to the last, per request. With two cores it depends on the
//!   clients, too: they need about as much time as the echo, and share a core with a worker.
//! * `server`: CPU time of the daemon's process per request. The ratio of two workers to one shows
//!   how they scale if the clients are elsewhere.
//! * `clients`: CPU time of the clients per request.

use std::env;
use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::scenario::Scenario;
use crate::comparison::{Comparison, progress};
use crate::cores::Placement;
use crate::load::Load;
use crate::raw;
use crate::table::{Base, Column, Table};

pub const SCENARIO: Scenario = Scenario {
    name: "workers",
    about: "the example with a loop for each core: 1 and 2 of them",
    run,
};

/// The command lines of the daemons.
const DAEMONS: &[(&str, &[&str])] = &[
    ("1 worker", &["--workers", "1"]),
    ("2 workers", &["--workers", "2"]),
    ("1, handover", &["--workers", "1", "--handover"]),
    ("2, handover", &["--workers", "2", "--handover"]),
];

const FIGURES: [&str; 3] = ["wall", "server", "clients"];
const CONNECTIONS: usize = 50;
const SIZE: usize = 64;
/// Most rounds, because a round takes some seconds.
const MOST_ROUNDS: usize = 3;
/// Number of connections of a round. A closed connection occupies its pair of ports for a minute,
/// so there are fewer connections than ports.
const CHURNED: usize = 10_000;

/// Wall time, CPU time of the daemon and CPU time of the clients, per request.
type Costs = [f64; 3];

fn run(comparison: &mut Comparison) {
    let program = match build() {
        Ok(program) => program,
        Err(error) => return comparison.report_missing(format!("skipped: workers: {error}")),
    };
    for (title, unit, measure) in [
        ("Workers: echo of 64 bytes, 50 connections", "ns a request", echo as Measure),
        ("Workers: connect, echo, close, 50 at once", "ns a connection", churn),
    ] {
        let mut table = Table::new(title, unit, Base::Peer(DAEMONS[0].0));
        table.is_partial = true;
        match rounds(comparison, &program, title, measure) {
            Ok(figures) => table.columns = columns(&figures),
            Err(error) => return comparison.report_missing(format!("failed: workers: {error}")),
        }
        comparison.add(table);
    }
}

type Measure = fn(&Comparison, &Daemon) -> io::Result<Costs>;

/// Returns the costs by round and daemon.
fn rounds(
    comparison: &Comparison,
    program: &Path,
    title: &str,
    measure: Measure,
) -> io::Result<Vec<Vec<Costs>>> {
    let round = |round| {
        let one = |(name, arguments): &(&str, &[&str])| {
            progress(&format!("{title}, round {round}: {name}"));
            let daemon = comparison
                .cores
                .start_at(Placement::AllCores, || Daemon::start(program, arguments))?;
            let costs = measure(comparison, &daemon)?;
            daemon.end()?;
            Ok(costs)
        };
        DAEMONS.iter().map(one).collect()
    };
    let all = (1..=comparison.options.rounds.min(MOST_ROUNDS)).map(round).collect();
    progress("");
    all
}

fn columns(rounds: &[Vec<Costs>]) -> Vec<Column> {
    let column = |(index, name): (usize, &&str)| {
        let of = |number: usize| rounds.iter().map(|round| round[number][index]).collect();
        let figures = DAEMONS.iter().enumerate().map(|(at, (daemon, _))| (*daemon, of(at)));
        Column { name: (*name).to_owned(), figures: figures.collect() }
    };
    FIGURES.iter().enumerate().map(column).collect()
}

fn echo(comparison: &Comparison, daemon: &Daemon) -> io::Result<Costs> {
    let mut load = Load::connect(daemon.address, CONNECTIONS, SIZE, 1)?;
    let trial = CONNECTIONS * 40;
    let took = load.run(trial)?.as_secs_f64();
    let requests = (trial as f64 * comparison.options.seconds / took).max(trial as f64) as usize;
    daemon.costs(requests, || load.run(requests).map(drop))
}

fn churn(_: &Comparison, daemon: &Daemon) -> io::Result<Costs> {
    batches(daemon.address, CHURNED / 10)?;
    daemon.costs(CHURNED, || batches(daemon.address, CHURNED))
}

fn batches(address: SocketAddr, connections: usize) -> io::Result<()> {
    let message = [b'm'; SIZE];
    for _ in 0..connections / CONNECTIONS {
        let mut streams = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&message)?;
            streams.push(stream);
        }
        for mut stream in streams {
            let mut echo = [0; SIZE];
            stream.read_exact(&mut echo)?;
            if echo != message {
                return Err(Error::other("an echo has wrong bytes"));
            }
        }
    }
    Ok(())
}

/// Builds the example with the release profile, in the target directory of this program.
fn build() -> io::Result<PathBuf> {
    let this = env::current_exe()?;
    let folder = this.parent().ok_or(io::ErrorKind::NotFound)?;
    let target = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--package", "mainspring"]);
    cargo.args(["--example", "workers", "--target-dir"]).arg(target);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if !status.success() {
        return Err(Error::other("cargo cannot build the example"));
    }
    Ok(target.join("release/examples/workers"))
}

/// The running example. Dropping it kills the process.
struct Daemon {
    process: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Daemon {
    fn start(program: &Path, arguments: &[&str]) -> io::Result<Daemon> {
        let mut process = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut daemon = Daemon { process, output, address: ([0, 0, 0, 0], 0).into() };
        let mut line = String::new();
        daemon.output.read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ").map(str::parse);
        daemon.address = address.and_then(Result::ok).ok_or_else(|| Error::other(line))?;
        Ok(daemon)
    }

    fn costs(&self, requests: usize, work: impl FnOnce() -> io::Result<()>) -> io::Result<Costs> {
        let server = || raw::cpu_of(self.process.id());
        let before = (Instant::now(), server()?, raw::cpu_of_this_thread());
        work()?;
        let took = [before.0.elapsed(), server()? - before.1, raw::cpu_of_this_thread() - before.2];
        Ok(took.map(|time: Duration| time.as_nanos() as f64 / requests as f64))
    }

    /// Ends the daemon with SIGTERM, and waits for its tally.
    fn end(mut self) -> io::Result<()> {
        let process = Pid::from_child(&self.process);
        kill_process(process, Signal::TERM)?;
        let mut tally = String::new();
        self.output.read_to_string(&mut tally)?;
        if tally.contains("total: ") {
            Ok(())
        } else {
            Err(Error::other("the daemon printed no tally"))
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Errors are ignored: the process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

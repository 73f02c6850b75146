//! System calls of a server, counted from outside.
//!
//! perf counts without stopping the server (the tracepoint `raw_syscalls:sys_enter`), while the
//! clients work as ever: it needs the right to trace. Where it has not got it, strace counts. It
//! stops the server at each call, so that more connections are ready in each wait than otherwise.
//!
//! What io_uring does is no system call; only the calls that submit to it are.

use std::io::{self, Error};
use std::process::{Command, Stdio};

use crate::contest::Contest;
use crate::cores::Place;
use crate::peers::Peer;
use crate::server::Server;
use crate::worker::{Worker, under};

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Perf,
    Strace,
}

const PERF: &[&str] = &["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter"];
const STRACE: &[&str] = &["strace", "-f", "-c", "-U", "calls,name"];

impl Counter {
    /// Who can count here, or why nobody can and what would help.
    pub fn here() -> Result<Counter, String> {
        let works = |tool: &[&str]| {
            let mut command = under(tool, Command::new("true"));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        match (works(PERF), works(STRACE)) {
            (true, _) => Ok(Counter::Perf),
            (false, true) => Ok(Counter::Strace),
            _ => Err("neither perf (which needs the right to trace) nor strace works here; get \
                      one with: apt-get install strace"
                .to_owned()),
        }
    }

    /// A sentence for the table.
    pub fn told(self) -> &'static str {
        match self {
            Counter::Perf => "Counted by `perf stat -e raw_syscalls:sys_enter -p SERVER`.",
            Counter::Strace => {
                "Counted by `strace -f -c`, which slows the server down: more is ready in each wait."
            }
        }
    }
}

/// System calls for each unit of work of a server. `connect` gives what works for an amount.
pub fn per_unit<W>(
    counter: Counter,
    contest: &Contest,
    peer: &Peer,
    amount: usize,
    connect: impl Fn(&Server) -> io::Result<W>,
) -> io::Result<f64>
where
    W: FnMut(usize) -> io::Result<()>,
{
    let calls = match counter {
        Counter::Perf => {
            let server = Server::start(contest, peer, "echo")?;
            let mut work = connect(&server)?;
            work(amount)?; // All are accepted, and buffers get their size.
            let mut perf = Perf::attach(contest, &server)?;
            work(amount)?;
            perf.wait_for_server()?;
            counted_by_perf(&perf.0.end()?)?
        }
        // Starting, accepting and closing cancel out.
        Counter::Strace => {
            let counted = |amount| -> io::Result<f64> {
                let server = Server::start_under(STRACE, contest, peer, "echo")?;
                connect(&server)?(amount)?;
                Ok(counted_by_strace(&server.end()?))
            };
            counted(amount * 2)? - counted(amount)?
        }
    };
    Ok(calls / amount as f64)
}

/// perf counts as long as its command runs, which is a `cat` here: what we say to it comes back as
/// soon as the counting has begun, and it ends when we say no more.
struct Perf(Worker);

impl Perf {
    fn attach(contest: &Contest, server: &Server) -> io::Result<Perf> {
        let process = server.process().to_string();
        let tool: Vec<&str> = PERF.iter().copied().chain(["-p", &process]).collect();
        let command = under(&tool, Command::new("cat"));
        let mut perf = Perf(contest.cores.at(Place::Anywhere, || Worker::start(command))?);
        perf.wait_for_server()?;
        Ok(perf)
    }

    /// A word that goes to and fro, by which time the server sleeps again.
    fn wait_for_server(&mut self) -> io::Result<()> {
        self.0.ask(0).map(drop)
    }
}

/// The number in perf's line of words with commas between them.
fn counted_by_perf(report: &str) -> io::Result<f64> {
    let line = report.lines().find(|line| line.contains("sys_enter"));
    let count = line.and_then(|line| line.split(',').next()?.parse().ok());
    count.ok_or_else(|| Error::other(format!("perf has not counted: {report}")))
}

/// The sum of strace's table of calls and names.
fn counted_by_strace(report: &str) -> f64 {
    let calls = report.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        if name.trim() == "total" { None } else { count.parse::<f64>().ok() }
    });
    calls.sum()
}

#[cfg(test)]
mod tests {
    use super::{counted_by_perf, counted_by_strace};

    #[test]
    fn the_total_of_strace_is_not_counted_twice() {
        let report = "    calls syscall\n--------- ------\n       20 recvfrom\n        3 sendto\n\
                      --------- ------\n       23 total\n";
        assert_eq!(counted_by_strace(report), 23.0);
    }

    #[test]
    fn the_count_of_perf_is_before_the_first_comma() {
        let report = "# started\n4007,,raw_syscalls:sys_enter,1200,100.00,,\n";
        assert_eq!(counted_by_perf(report).unwrap(), 4007.0);
        assert!(counted_by_perf("<not counted>,,raw_syscalls:sys_enter,0,0.00,,").is_err());
    }
}

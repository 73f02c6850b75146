//! Tools that count what a process does, such as strace: they start it, and report when it ends.
//!
//! Work is done at two lengths, by two processes, and what counts is the difference: starting,
//! warming up and ending cancel out.

use std::io;
use std::process::{Command, Stdio};

use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::worker::{Worker, under};

/// A tool and its options, in front of the command that it counts; it reports on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Tool(pub &'static [&'static str]);

/// What a tool has said of work of two lengths, or of work without its start and its end.
#[derive(Debug)]
pub struct Reports {
    few: Option<String>,
    many: String,
    /// By how much one is longer than the other.
    apart: f64,
}

/// The longer work is so many times the shorter one.
const LENGTHS: u64 = 6;

impl Tool {
    /// Whether it is here, and has the right to do it.
    pub fn works(self) -> bool {
        let mut command = under(self.0, Command::new("true"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Counts a worker that does `least`, whereby it gets warm, and then as much or more.
    pub fn of_worker(
        self,
        comparison: &Comparison,
        peer: &Peer,
        (scenario, sizes): (&str, &[usize]),
        place: Placement,
        least: u64,
    ) -> io::Result<Reports> {
        let report = |amount: u64| {
            let command = under(self.0, peer.command(scenario, sizes)?);
            let mut worker = comparison.cores.start_at(place, || Worker::start(command))?;
            worker.request(least)?;
            worker.request(amount)?;
            worker.end()
        };
        Reports::of(least, report)
    }

    /// Counts a server of echoes. `connect` gives what works for an amount.
    pub fn of_server<W>(
        self,
        comparison: &Comparison,
        peer: &Peer,
        least: usize,
        connect: impl Fn(&Server) -> io::Result<W>,
    ) -> io::Result<Reports>
    where
        W: FnMut(usize) -> io::Result<()>,
    {
        let report = |amount: u64| {
            let server = Server::start_under(self.0, comparison, peer, "echo")?;
            connect(&server)?(amount as usize)?;
            server.end()
        };
        Reports::of(least as u64, report)
    }
}

impl Reports {
    fn of(least: u64, report: impl Fn(u64) -> io::Result<String>) -> io::Result<Reports> {
        let most = least * LENGTHS;
        let (few, many) = (Some(report(least)?), report(most)?);
        Ok(Reports { few, many, apart: (most - least) as f64 })
    }

    /// Of work that was counted without its start and its end.
    pub fn of_all(report: String, amount: usize) -> Reports {
        Reports { few: None, many: report, apart: amount as f64 }
    }

    /// The count that `read` finds in a report, for each unit of work.
    pub fn per_unit(&self, read: impl Fn(&str) -> io::Result<f64>) -> io::Result<f64> {
        let few = self.few.as_deref().map_or(Ok(0.0), &read)?;
        Ok((read(&self.many)? - few) / self.apart)
    }

    /// The longer one.
    pub fn last(&self) -> &str {
        &self.many
    }
}

#[cfg(test)]
mod tests {
    use super::Reports;

    #[test]
    fn what_happens_once_cancels_out() {
        let reports = Reports::of(10, |amount| Ok((700 + 3 * amount).to_string())).unwrap();
        assert_eq!(reports.per_unit(|report| Ok(report.parse().unwrap())).unwrap(), 3.0);
        assert_eq!(reports.last(), "880");
        let reports = Reports::of_all("30".to_owned(), 10);
        assert_eq!(reports.per_unit(|report| Ok(report.parse().unwrap())).unwrap(), 3.0);
    }

    #[test]
    fn a_tool_that_is_not_here_does_not_work() {
        assert!(!super::Tool(&["/nowhere/strace", "-f"]).works());
        assert!(super::Tool(&["env"]).works());
    }
}

//! Tools such as strace that start a process and report counts when it ends.
//!
//! Two processes do a short and a long amount of work. The difference of their counts excludes
//! start, warm-up and end.

use std::io;
use std::process::{Command, Stdio};

use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::worker::{Worker, under};

/// A tool with its options, in front of the command that it counts. It reports on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Tool(pub &'static [&'static str]);

/// Reports of a tool about a short and a long amount of work.
#[derive(Debug)]
pub struct Reports {
    /// `None` if the long report excludes start and end.
    short: Option<String>,
    long: String,
    /// Units of work that the long report has more than the short one.
    difference: f64,
}

/// Ratio of the long amount of work to the short one.
const LENGTH_RATIO: u64 = 6;

impl Tool {
    /// Returns true if the tool is installed and has the permissions that it needs.
    pub fn works(self) -> bool {
        let mut command = under(self.0, Command::new("true"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Counts a worker that does `least` units to warm up, and then the short or the long amount.
    pub fn count_worker(
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

    /// Counts an echo server. `connect` returns a function that does an amount of work.
    pub fn count_server<W>(
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
        let most = least * LENGTH_RATIO;
        let (short, long) = (Some(report(least)?), report(most)?);
        Ok(Reports { short, long, difference: (most - least) as f64 })
    }

    /// A report about `amount` units of work that excludes start and end.
    pub fn of_work(report: String, amount: usize) -> Reports {
        Reports { short: None, long: report, difference: amount as f64 }
    }

    /// Returns the count that `read` finds in the reports, per unit of work.
    pub fn per_unit(&self, read: impl Fn(&str) -> io::Result<f64>) -> io::Result<f64> {
        let short = self.short.as_deref().map_or(Ok(0.0), &read)?;
        Ok((read(&self.long)? - short) / self.difference)
    }

    /// Returns the report about the long amount of work.
    pub fn long(&self) -> &str {
        &self.long
    }
}

#[cfg(test)]
mod tests {
    use super::Reports;

    #[test]
    fn constant_costs_cancel_out() {
        let reports = Reports::of(10, |amount| Ok((700 + 3 * amount).to_string())).unwrap();
        assert_eq!(reports.per_unit(|report| Ok(report.parse().unwrap())).unwrap(), 3.0);
        assert_eq!(reports.long(), "880");
        let reports = Reports::of_work("30".to_owned(), 10);
        assert_eq!(reports.per_unit(|report| Ok(report.parse().unwrap())).unwrap(), 3.0);
    }

    #[test]
    fn missing_tool_does_not_work() {
        assert!(!super::Tool(&["/nowhere/strace", "-f"]).works());
        assert!(super::Tool(&["env"]).works());
    }
}

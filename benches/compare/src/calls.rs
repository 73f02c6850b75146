//! System calls of a server, counted from outside.
//!
//! perf counts with the tracepoint `raw_syscalls:sys_enter`, which does not stop the server, but
//! needs the permission to trace. Without it strace counts. It stops the server at each call, so
//! that more connections are ready in each wait.
//!
//! Operations of io_uring are no system calls; only the calls that submit them are counted.

use std::io::{self, Error};
use std::process::Command;

use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::tools::{Reports, Tool};
use crate::worker::{Worker, under};

/// The program that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Perf,
    Strace,
}

pub const PERF: Tool =
    Tool(&["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter,context-switches"]);
/// Counts by name, for the calls that loops make. (strace reports all names.)
const PERF_NAMES: Tool = Tool(&["perf", "stat", "-x,", "-e", EVENTS]);
const EVENTS: &str = concat!(
    "syscalls:sys_enter_accept4,syscalls:sys_enter_epoll_wait,syscalls:sys_enter_epoll_pwait,",
    "syscalls:sys_enter_epoll_ctl,syscalls:sys_enter_read,syscalls:sys_enter_recvfrom,",
    "syscalls:sys_enter_write,syscalls:sys_enter_sendto,syscalls:sys_enter_sendmsg,",
    "syscalls:sys_enter_close,syscalls:sys_enter_shutdown,syscalls:sys_enter_fcntl,",
    "syscalls:sys_enter_ioctl,syscalls:sys_enter_setsockopt,syscalls:sys_enter_timerfd_settime,",
    "syscalls:sys_enter_futex,syscalls:sys_enter_io_uring_enter",
);
const STRACE: Tool = Tool(&["strace", "-f", "-c", "-U", "calls,name"]);

impl Counter {
    /// Returns a counter that works on this system.
    ///
    /// # Errors
    ///
    /// The reason why there is none, with a remedy.
    pub fn available() -> Result<Counter, String> {
        match (PERF.works(), STRACE.works()) {
            (true, _) => Ok(Counter::Perf),
            (false, true) => Ok(Counter::Strace),
            _ => Err("neither perf (which needs the permission to trace) nor strace works; \
                      install one with: apt-get install strace"
                .to_owned()),
        }
    }

    /// Returns a note for the table.
    pub fn note(self) -> &'static str {
        match self {
            Counter::Perf => "Counted by `perf stat -e raw_syscalls:sys_enter`.",
            Counter::Strace => {
                "Counted by `strace -f -c`, which slows the server down, so that more fds are ready in each wait."
            }
        }
    }

    /// Returns the tool that counts all calls.
    pub fn tool(self) -> Tool {
        match self {
            Counter::Perf => PERF,
            Counter::Strace => STRACE,
        }
    }

    /// Returns the tool that counts calls by name.
    pub fn tool_of_names(self) -> Tool {
        match self {
            Counter::Perf => PERF_NAMES,
            Counter::Strace => STRACE,
        }
    }

    /// Returns the number of calls in the report of [`tool`](Counter::tool).
    pub fn read(self, report: &str) -> io::Result<f64> {
        match self {
            Counter::Perf => counted_by_perf(report, "sys_enter"),
            Counter::Strace => Ok(names_by_strace(report).iter().map(|(_, count)| count).sum()),
        }
    }

    /// Returns the names of the calls, and their numbers per unit of work.
    pub fn names(self, reports: &Reports) -> io::Result<Vec<(String, f64)>> {
        let names = match self {
            Counter::Perf => names_by_perf,
            Counter::Strace => names_by_strace,
        };
        let each = |(name, _): (String, f64)| {
            let of_name = |report: &str| {
                let found = names(report).into_iter().find(|it| it.0 == name);
                Ok(found.map_or(0.0, |it| it.1))
            };
            Ok((name.clone(), reports.per_unit(of_name)?))
        };
        names(reports.long()).into_iter().map(each).collect()
    }
}

/// Returns the number of context switches in perf's report.
pub fn switches(report: &str) -> io::Result<f64> {
    counted_by_perf(report, "context-switches")
}

/// Returns the system calls of a server per unit of work. `connect` returns a function that does an
/// amount of work.
pub fn per_unit<W>(
    counter: Counter,
    comparison: &Comparison,
    peer: &Peer,
    amount: usize,
    connect: impl Fn(&Server) -> io::Result<W>,
) -> io::Result<f64>
where
    W: FnMut(usize) -> io::Result<()>,
{
    let reports = reports(counter, counter.tool(), comparison, peer, amount, connect)?;
    reports.per_unit(|report| counter.read(report))
}

/// Returns the reports of a tool of the counter about a server.
pub fn reports<W>(
    counter: Counter,
    tool: Tool,
    comparison: &Comparison,
    peer: &Peer,
    amount: usize,
    connect: impl Fn(&Server) -> io::Result<W>,
) -> io::Result<Reports>
where
    W: FnMut(usize) -> io::Result<()>,
{
    if counter == Counter::Strace {
        return tool.count_server(comparison, peer, amount, connect);
    }
    let server = Server::start(comparison, peer, "echo")?;
    let mut work = connect(&server)?;
    work(amount)?; // Accepts all connections and lets buffers grow.
    let mut perf = Perf::attach(tool, comparison, &server)?;
    work(amount)?;
    perf.wait_for_server()?;
    Ok(Reports::of_work(perf.0.end()?, amount))
}

/// perf, attached to a process. It counts while its command runs. The command is `cat`: it echoes a
/// line once counting has begun, and ends with its standard input.
struct Perf(Worker);

impl Perf {
    fn attach(tool: Tool, comparison: &Comparison, server: &Server) -> io::Result<Perf> {
        let process = server.process().to_string();
        let tool: Vec<&str> = tool.0.iter().copied().chain(["-p", &process]).collect();
        let command = under(&tool, Command::new("cat"));
        let mut perf =
            Perf(comparison.cores.start_at(Placement::AllCores, || Worker::start(command))?);
        perf.wait_for_server()?;
        Ok(perf)
    }

    /// Waits for an echo of `cat`. By then the server is idle again.
    fn wait_for_server(&mut self) -> io::Result<()> {
        self.0.request(0).map(drop)
    }
}

/// Returns the number in perf's line about an event. The fields are separated by commas.
fn counted_by_perf(report: &str, event: &str) -> io::Result<f64> {
    let line = report.lines().find(|line| line.contains(event));
    let count = line.and_then(|line| line.split(',').next()?.parse().ok());
    count.ok_or_else(|| Error::other(format!("perf's report has no count: {report}")))
}

/// Returns the names and numbers in perf's report.
fn names_by_perf(report: &str) -> Vec<(String, f64)> {
    let calls = report.lines().filter_map(|line| {
        let (count, rest) = line.split_once(',')?;
        let name = rest.split_once("syscalls:sys_enter_")?.1.split(',').next()?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    calls.collect()
}

/// Returns the names and numbers in strace's report.
fn names_by_strace(report: &str) -> Vec<(String, f64)> {
    let calls = report.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        let (count, name) = (count.parse().ok()?, name.trim());
        if name == "total" { None } else { Some((name.to_owned(), count)) }
    });
    calls.collect()
}

#[cfg(test)]
mod tests {
    use super::{Counter, switches};
    use crate::tools::Reports;

    #[test]
    fn total_of_strace_is_not_counted() {
        let report = "    calls syscall\n--------- ------\n       20 recvfrom\n        3 sendto\n\
                      --------- ------\n       23 total\n";
        assert_eq!(Counter::Strace.read(report).unwrap(), 23.0);
    }

    #[test]
    fn calls_are_counted_by_name() {
        let by_perf = "7,,syscalls:sys_enter_close,1200,100.00,,\n\
                       <not counted>,,syscalls:sys_enter_read,0,0.00,,\n";
        let by_strace = "    calls syscall\n------- ------\n   7 close\n------- ------\n 7 total\n";
        for (counter, report) in [(Counter::Perf, by_perf), (Counter::Strace, by_strace)] {
            let reports = Reports::of_work(report.to_owned(), 2);
            assert_eq!(counter.names(&reports).unwrap(), [("close".to_owned(), 3.5)]);
        }
    }

    #[test]
    fn count_of_perf_is_before_the_first_comma() {
        let report = "# started\n4007,,raw_syscalls:sys_enter,1200,100.00,,\n\
                      15,,context-switches,1200,100.00,,\n";
        assert_eq!(Counter::Perf.read(report).unwrap(), 4007.0);
        assert_eq!(switches(report).unwrap(), 15.0);
        assert!(Counter::Perf.read("<not counted>,,raw_syscalls:sys_enter,0,0.00,,").is_err());
    }
}

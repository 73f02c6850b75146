//! System calls of a server, counted from outside.
//!
//! perf counts without stopping the server (the tracepoint `raw_syscalls:sys_enter`), while the
//! clients work as ever: it needs the right to trace. Where it has not got it, strace counts. It
//! stops the server at each call, so that more connections are ready in each wait than otherwise.
//!
//! What io_uring does is no system call; only the calls that submit to it are.

use std::io::{self, Error};
use std::process::Command;

use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::tools::{Reports, Tool};
use crate::worker::{Worker, under};

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Perf,
    Strace,
}

pub const PERF: Tool =
    Tool(&["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter,context-switches"]);
/// The same by name, of the calls that loops make; strace knows all names.
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
    /// Who can count here, or why nobody can and what would help.
    pub fn here() -> Result<Counter, String> {
        match (PERF.works(), STRACE.works()) {
            (true, _) => Ok(Counter::Perf),
            (false, true) => Ok(Counter::Strace),
            _ => Err("neither perf (which needs the right to trace) nor strace works here; get \
                      one with: apt-get install strace"
                .to_owned()),
        }
    }

    /// A sentence for the table.
    pub fn note(self) -> &'static str {
        match self {
            Counter::Perf => "Counted by `perf stat -e raw_syscalls:sys_enter`.",
            Counter::Strace => {
                "Counted by `strace -f -c`, which slows the server down: more is ready in each wait."
            }
        }
    }

    /// What a worker is started under.
    pub fn tool(self) -> Tool {
        match self {
            Counter::Perf => PERF,
            Counter::Strace => STRACE,
        }
    }

    /// The same, where names are asked for.
    pub fn tool_of_names(self) -> Tool {
        match self {
            Counter::Perf => PERF_NAMES,
            Counter::Strace => STRACE,
        }
    }

    /// The number of calls in the report of that tool.
    pub fn read(self, report: &str) -> io::Result<f64> {
        match self {
            Counter::Perf => counted_by_perf(report, "sys_enter"),
            Counter::Strace => Ok(names_by_strace(report).iter().map(|(_, count)| count).sum()),
        }
    }

    /// The calls for each unit of work, by their names.
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
        names(reports.last()).into_iter().map(each).collect()
    }
}

/// How often threads were taken from their cores, in perf's report.
pub fn switches(report: &str) -> io::Result<f64> {
    counted_by_perf(report, "context-switches")
}

/// System calls for each unit of work of a server. `connect` gives what works for an amount.
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

/// What a tool of the counter says of a server.
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
        return tool.of_server(comparison, peer, amount, connect);
    }
    let server = Server::start(comparison, peer, "echo")?;
    let mut work = connect(&server)?;
    work(amount)?; // All are accepted, and buffers get their size.
    let mut perf = Perf::attach(tool, comparison, &server)?;
    work(amount)?;
    perf.wait_for_server()?;
    Ok(Reports::of_all(perf.0.end()?, amount))
}

/// perf counts as long as its command runs, which is a `cat` here: what we say to it comes back as
/// soon as the counting has begun, and it ends when we say no more.
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

    /// A word that goes to and fro, by which time the server sleeps again.
    fn wait_for_server(&mut self) -> io::Result<()> {
        self.0.request(0).map(drop)
    }
}

/// The number in perf's line of an event, of words with commas between them.
fn counted_by_perf(report: &str, event: &str) -> io::Result<f64> {
    let line = report.lines().find(|line| line.contains(event));
    let count = line.and_then(|line| line.split(',').next()?.parse().ok());
    count.ok_or_else(|| Error::other(format!("perf has not counted: {report}")))
}

/// The names and numbers of perf's lines.
fn names_by_perf(report: &str) -> Vec<(String, f64)> {
    let calls = report.lines().filter_map(|line| {
        let (count, rest) = line.split_once(',')?;
        let name = rest.split_once("syscalls:sys_enter_")?.1.split(',').next()?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    calls.collect()
}

/// The lines of strace's table of calls and names.
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
    fn the_total_of_strace_is_not_counted_twice() {
        let report = "    calls syscall\n--------- ------\n       20 recvfrom\n        3 sendto\n\
                      --------- ------\n       23 total\n";
        assert_eq!(Counter::Strace.read(report).unwrap(), 23.0);
    }

    #[test]
    fn calls_have_names() {
        let by_perf = "7,,syscalls:sys_enter_close,1200,100.00,,\n\
                       <not counted>,,syscalls:sys_enter_read,0,0.00,,\n";
        let by_strace = "    calls syscall\n------- ------\n   7 close\n------- ------\n 7 total\n";
        for (counter, report) in [(Counter::Perf, by_perf), (Counter::Strace, by_strace)] {
            let reports = Reports::of_all(report.to_owned(), 2);
            assert_eq!(counter.names(&reports).unwrap(), [("close".to_owned(), 3.5)]);
        }
    }

    #[test]
    fn the_count_of_perf_is_before_the_first_comma() {
        let report = "# started\n4007,,raw_syscalls:sys_enter,1200,100.00,,\n\
                      15,,context-switches,1200,100.00,,\n";
        assert_eq!(Counter::Perf.read(report).unwrap(), 4007.0);
        assert_eq!(switches(report).unwrap(), 15.0);
        assert!(Counter::Perf.read("<not counted>,,raw_syscalls:sys_enter,0,0.00,,").is_err());
    }
}

//! TCP echo: what a request costs the server.
//!
//! A cell is `size x connections`, or `size x connections x in flight`. Each connection sends
//! requests and keeps so many under way (else one), and checks every byte that comes back. The
//! figure is the CPU time of the server's process for a request, all threads and the kernel's work
//! in its name included; it runs on one core, the load on another one.
//!
//! All have `TCP_NODELAY` (from the listener, or set for each connection by those who insist),
//! buffers of 64 KiB to read into, and a backlog of 4096. Callbacks share one buffer, tasks have one
//! each. Servers are written as the documentation of each peer writes them; where it offers a choice
//! they have what is best here: level-triggered polling, mio with a short read taken as the last.
//!
//! System calls are counted by strace, which slows the server down, so that more connections are
//! ready in each wait than otherwise. What io_uring does is no system call.

use std::io;
use std::process::{Command, Stdio};

use super::Scenario;
use crate::contest::Contest;
use crate::load::Load;
use crate::peers::Peer;
use crate::server::Server;
use crate::sheet::{RAW, Sheet};

pub const SCENARIO: Scenario =
    Scenario { name: "echo", about: "TCP echo: CPU time and system calls of the server", run };

const CELLS: &[&[usize]] = &[
    &[64, 1],
    &[64, 50],
    &[64, 1000],
    &[64, 8000],
    &[1024, 1],
    &[1024, 50],
    &[1024, 1000],
    &[1024, 8000],
    &[10240, 1],
    &[10240, 50],
    &[10240, 1000],
    &[10240, 8000],
    &[102400, 1],
    &[102400, 50],
    &[102400, 1000],
    &[102400, 8000],
    &[64, 50, 16],
    &[1024, 50, 16],
];

/// For which system calls are counted.
const COUNTED: &[&[usize]] = &[&[64, 1], &[64, 50], &[10240, 50], &[64, 50, 16]];

fn run(contest: &mut Contest) {
    let cells = contest.options.cells(CELLS);
    for cells in cells.chunk_by(|one, other| one[0] == other[0] && one.len() == other.len()) {
        let title = format!("Echo of {} bytes: CPU time of the server", cells[0][0]);
        let mut sheet = Sheet::new(title, "ns CPU a request", RAW);
        for cell in cells {
            let race = contest.race("echo", &name(cell), |contest, peer| cost(contest, peer, cell));
            sheet.add(name(cell), &race, 0);
        }
        contest.add(sheet);
    }
    if !is_strace_here() {
        return contest.tell("skipped: system calls: strace is not installed".to_owned());
    }
    let mut sheet = Sheet::new("Echo: system calls of the server", "calls a request", RAW);
    for cell in contest.options.cells(COUNTED) {
        let race =
            contest.race_once("echo", &format!("{}, strace", name(&cell)), |contest, peer| {
                Ok(vec![calls_per_request(contest, peer, &cell)?])
            });
        sheet.add(name(&cell), &race, 0);
    }
    contest.add(sheet);
}

fn name(cell: &[usize]) -> String {
    cell.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn load(server: &Server, cell: &[usize]) -> io::Result<Load> {
    Load::connect(server.address(), cell[1], cell[0], cell.get(2).copied().unwrap_or(1))
}

pub fn cost(contest: &Contest, peer: &Peer, cell: &[usize]) -> io::Result<Vec<f64>> {
    let server = Server::start(contest, peer, "echo")?;
    let mut load = load(&server, cell)?;
    let mut requests = cell[1] * 2;
    loop {
        let took = load.run(requests)?.as_secs_f64();
        if took >= contest.options.seconds / 8.0 {
            requests = (requests as f64 * contest.options.seconds / took) as usize;
            break;
        }
        requests *= 4;
    }
    let requests = requests.max(cell[1] * 2);
    let before = server.cpu()?;
    load.run(requests)?;
    Ok(vec![(server.cpu()? - before).as_nanos() as f64 / requests as f64])
}

const STRACE: &[&str] = &["strace", "-f", "-c", "-U", "calls,name"];

fn is_strace_here() -> bool {
    let mut command = Command::new(STRACE[0]);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The difference between a long and a short run, so that starting, accepting and closing cancel
/// out.
fn calls_per_request(contest: &Contest, peer: &Peer, cell: &[usize]) -> io::Result<f64> {
    let short = (cell[1] * 4).max(2000);
    let counted = |requests| -> io::Result<f64> {
        let server = Server::start_under(STRACE, contest, peer, "echo")?;
        let mut load = load(&server, cell)?;
        load.run(requests)?;
        Ok(all_calls(&server.end()?))
    };
    Ok((counted(short * 3)? - counted(short)?) / (2 * short) as f64)
}

/// The sum of strace's table of calls and names.
fn all_calls(report: &str) -> f64 {
    let calls = report.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        if name.trim() == "total" { None } else { count.parse::<f64>().ok() }
    });
    calls.sum()
}

#[cfg(test)]
mod tests {
    use super::all_calls;

    #[test]
    fn the_total_is_not_counted_twice() {
        let report = "    calls syscall\n--------- ------\n       20 recvfrom\n        3 sendto\n\
                      --------- ------\n       23 total\n";
        assert_eq!(all_calls(report), 23.0);
    }
}

//! A server of a peer in a separate process. This is the side of the main process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::peers::peer::Peer;
use crate::raw;
use crate::worker::{Worker, under};

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    worker: Worker,
    pub port: u16,
    /// Process id of the server itself, even if a tool started it.
    process: u32,
}

impl Server {
    pub fn start(comparison: &Comparison, peer: &Peer, scenario: &str) -> io::Result<Server> {
        Server::start_under(&[], comparison, peer, scenario)
    }

    /// Starts a server under a tool such as strace, which reports on standard error.
    pub fn start_under(
        tool: &[&str],
        comparison: &Comparison,
        peer: &Peer,
        scenario: &str,
    ) -> io::Result<Server> {
        let command = under(tool, peer.command(scenario, &[])?);
        let mut worker =
            comparison.cores.start_at(Placement::FirstCore, || Worker::start(command))?;
        match worker.figures()?[..] {
            [port, process] => Ok(Server { worker, port: port as u16, process: process as u32 }),
            _ => Err(io::Error::other("a server must print its port and its process id")),
        }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Returns the process id of the server itself, even if a tool started it.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Returns the CPU time of all threads of the server.
    pub fn cpu(&self) -> io::Result<Duration> {
        raw::cpu_of(self.process)
    }

    /// Ends the server with SIGTERM, and returns the report of its tool.
    pub fn end(self) -> io::Result<String> {
        let process = Pid::from_raw(self.process as i32).ok_or(io::ErrorKind::NotFound)?;
        kill_process(process, Signal::TERM)?;
        self.worker.end()
    }
}

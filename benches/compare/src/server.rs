//! An echo server of a peer, in a process of its own, seen from the leading process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::comparison::Comparison;
use crate::cores::Placement;
use crate::peers::peer::Peer;
use crate::raw;
use crate::worker::{Worker, under};

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    worker: Worker,
    pub port: u16,
    /// Its process, also where a tool was started that has started it.
    process: u32,
}

impl Server {
    pub fn start(comparison: &Comparison, peer: &Peer, scenario: &str) -> io::Result<Server> {
        Server::start_under(&[], comparison, peer, scenario)
    }

    /// Starts a server under a tool such as strace, whose report goes to standard error.
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
            _ => Err(io::Error::other("a server tells its port and its process")),
        }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its process, also where a tool has started it.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        raw::cpu_of(self.process)
    }

    /// Ends it by a signal and returns what its tool has reported.
    pub fn end(self) -> io::Result<String> {
        let process = Pid::from_raw(self.process as i32).ok_or(io::ErrorKind::NotFound)?;
        kill_process(process, Signal::TERM)?;
        self.worker.end()
    }
}

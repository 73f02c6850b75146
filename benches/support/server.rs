//! An echo server in a separate process.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process;
use std::time::Duration;

use mainspring::EventLoop;
use mainspring::net::{Address, ListenOptions, listen};
use rustix::process::{Pid, Signal, kill_process};

use super::Side;
use super::child::Child;
use crate::raw;

/// A running server. Dropping it kills the process.
pub struct Server {
    child: Child,
    port: u16,
    /// Process id of the server itself, even if a tool started it.
    pub process: u32,
}

impl Server {
    pub fn start(side: Side) -> Server {
        Server::start_under(&[], side)
    }

    pub fn start_under(tool: &[&str], side: Side) -> Server {
        Server::of(Child::start_under(tool, &["serve"], side))
    }

    /// Starts a server with these words on its command line.
    pub fn start_with(words: &[&str]) -> Server {
        Server::of(Child::start_under(&[], words, Side::Mainspring))
    }

    fn of(mut child: Child) -> Server {
        let line = child.line();
        let mut numbers = line.split_whitespace().map(|it| it.parse().expect("a number"));
        let port = numbers.next().expect("the server prints its port");
        let process = numbers.next().expect("the server prints its process id");
        Server { child, port: port as u16, process }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Returns the CPU time of the server.
    pub fn cpu(&self) -> Duration {
        raw::cpu_of(self.process).expect("a running process has a CPU clock")
    }

    /// Ends the server with SIGTERM, and returns the report of its tool.
    pub fn end(self) -> String {
        let process = Pid::from_raw(self.process as i32).expect("the process id is valid");
        kill_process(process, Signal::TERM).expect("the server still runs");
        self.child.end()
    }
}

/// The work of a server: serves until the process is killed.
pub fn serve(side: Side) {
    match side {
        Side::Raw => {
            let listener = std::net::TcpListener::from(listener());
            announce(listener.local_addr().expect("it is bound").into());
            raw::serve(listener.into()).expect("epoll works");
        }
        Side::Mainspring => serve_on(EventLoop::new().expect("the system has a selector")),
    }
}

/// Serves on this loop until the process is killed.
pub fn serve_on(mut el: EventLoop) {
    let echo = |_: &_, _: &mut (), conn: &mainspring::net::Transport, data: &[u8]| {
        conn.write(data);
        Ok(())
    };
    let server = el.serve(listener(), echo).expect("a listener can be served");
    announce(server.local_addr().expect("it is bound"));
    el.run_forever().expect("the selector works");
}

fn listener() -> OwnedFd {
    let address: Address = "0.0.0.0:0".parse().expect("an address");
    let options = ListenOptions { backlog: 4096, ..ListenOptions::default() };
    listen(&address, &options).expect("an address is free")
}

fn announce(address: Address) {
    let address = address.as_inet().expect("an internet address");
    println!("{} {}", address.port(), process::id());
}

//! The peers: one file for each, with parallel texts.
//!
//! A peer is a part of this program, or a program in C that is compiled when the contest begins, or
//! one in Python. All keep one convention: the command line names a scenario and its sizes, each
//! line of standard input is an amount of work, and the answer is a line of figures.

use std::io;
use std::process::Command;

mod calloop;
mod foreign;
mod mainspring;
mod mainspring_tasks;
mod mio;
mod monoio;
mod polling;
mod processes;
mod raw;
mod smol;
mod threads;
mod tokio;

use foreign::Foreign;

/// The work of a scenario, in a worker; it ends with the questions.
pub type Work = fn(&[usize]);

/// A way to write a daemon.
#[derive(Debug)]
pub struct Peer {
    pub name: &'static str,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// A part of this program: its package in the lock file or its version, and its scenarios.
    Rust { version: Version, work: &'static [(&'static str, Work)] },
    /// A program of its own, and the names of its scenarios.
    Foreign(Foreign, &'static [&'static str]),
}

#[derive(Debug)]
enum Version {
    /// Of the package with the name of the peer.
    Locked,
    Known(&'static str),
}

pub static ALL: &[Peer] = &[
    raw::PEER,
    mainspring::PEER,
    mainspring_tasks::PEER,
    mio::PEER,
    polling::PEER,
    calloop::PEER,
    tokio::PEER,
    smol::PEER,
    monoio::PEER,
    threads::PEER,
    processes::PEER,
    foreign::LIBUV,
    foreign::LIBEV,
    foreign::LIBEVENT,
    foreign::ASYNCIO,
    foreign::UVLOOP,
    foreign::TRIO,
];

const LOCK_FILE: &str = include_str!("../../../../Cargo.lock");

impl Peer {
    const fn rust(name: &'static str, work: &'static [(&'static str, Work)]) -> Peer {
        Peer { name, origin: Origin::Rust { version: Version::Locked, work } }
    }

    const fn own(
        name: &'static str,
        version: &'static str,
        work: &'static [(&'static str, Work)],
    ) -> Peer {
        Peer { name, origin: Origin::Rust { version: Version::Known(version), work } }
    }

    /// Its version, or why it cannot take part and how that could be changed.
    pub fn version(&self) -> Result<String, String> {
        match &self.origin {
            Origin::Rust { version: Version::Known(version), .. } => Ok((*version).to_owned()),
            Origin::Rust { version: Version::Locked, .. } => {
                Ok(format!("{}{}", locked_version(self.name), self.interface()))
            }
            Origin::Foreign(program, _) => program.version(),
        }
    }

    /// What it stands upon here, where it has a choice.
    fn interface(&self) -> &'static str {
        match self.name {
            "monoio" if self.waits_in_io_uring() => " (io_uring)",
            "monoio" => " (epoll: no io_uring here)",
            _ => "",
        }
    }

    /// Whether the scenario makes sense for it.
    pub fn has(&self, scenario: &str) -> bool {
        match &self.origin {
            Origin::Rust { work, .. } => work.iter().any(|(name, _)| *name == scenario),
            Origin::Foreign(_, scenarios) => scenarios.contains(&scenario),
        }
    }

    /// Whether another program reads its program.
    pub fn is_interpreted(&self) -> bool {
        matches!(self.origin, Origin::Foreign(Foreign::Python { .. }, _))
    }

    /// Whether it waits in a system call of io_uring.
    pub fn waits_in_io_uring(&self) -> bool {
        self.name == "monoio" && ::monoio::utils::detect_uring()
    }

    /// The command line of a worker.
    pub fn command(&self, scenario: &str, sizes: &[usize]) -> io::Result<Command> {
        let mut command = match &self.origin {
            Origin::Rust { .. } => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args([crate::worker::FLAG, self.name]);
                command
            }
            Origin::Foreign(program, _) => program.command()?,
        };
        command.arg(scenario).args(sizes.iter().map(usize::to_string));
        Ok(command)
    }
}

/// The newest, where there are several: an older one may be what another peer stands upon.
fn locked_version(package: &str) -> String {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let versions = LOCK_FILE.split(&entry).skip(1).filter_map(|rest| rest.split('"').next());
    versions.last().unwrap_or("unknown").to_owned()
}

pub fn is_known(name: &str) -> bool {
    ALL.iter().any(|peer| peer.name == name)
}

/// The worker's side.
pub fn work(peer: &str, scenario: &str, sizes: &[String]) {
    let peer = ALL.iter().find(|other| other.name == peer).expect("a peer's name");
    let Origin::Rust { work, .. } = &peer.origin else { panic!("another program") };
    let (_, work) = work.iter().find(|(name, _)| *name == scenario).expect("a scenario's name");
    let sizes: Vec<usize> =
        sizes.iter().map(|size| size.parse().expect("sizes are numbers")).collect();
    work(&sizes);
}

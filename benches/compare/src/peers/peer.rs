//! The type of a peer: a part of this program, or a program in C or Python.

use std::env;
use std::io;
use std::process::Command;

use super::program::Program;
use crate::worker::FLAG;

/// The work of a scenario in a worker. It returns when standard input ends.
pub type Work = fn(&[usize]);

/// The scenarios of a peer in this program, with their work.
pub type Works = &'static [(&'static str, Work)];

/// A way to write a daemon.
#[derive(Debug)]
pub struct Peer {
    pub name: &'static str,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Rust {
        version: Version,
        works: Works,
    },
    /// A program in another language, and the names of its scenarios.
    Program(Program, &'static [&'static str]),
}

#[derive(Debug)]
enum Version {
    /// The version of the locked package with the name of the peer.
    Locked,
    Fixed(&'static str),
}

const LOCK_FILE: &str = include_str!("../../../../Cargo.lock");

impl Peer {
    /// A crate from the lock file.
    pub const fn rust(name: &'static str, works: Works) -> Peer {
        Peer { name, origin: Origin::Rust { version: Version::Locked, works } }
    }

    /// A peer in Rust that is no crate of its name.
    pub const fn with_version(name: &'static str, version: &'static str, works: Works) -> Peer {
        Peer { name, origin: Origin::Rust { version: Version::Fixed(version), works } }
    }

    pub const fn program(
        name: &'static str,
        program: Program,
        scenarios: &'static [&'static str],
    ) -> Peer {
        Peer { name, origin: Origin::Program(program, scenarios) }
    }

    /// Returns the version.
    ///
    /// # Errors
    ///
    /// The reason why the peer is not available, with a remedy.
    pub fn version(&self) -> Result<String, String> {
        match &self.origin {
            Origin::Rust { version: Version::Fixed(version), .. } => Ok((*version).to_owned()),
            Origin::Rust { version: Version::Locked, .. } => {
                Ok(format!("{}{}", locked_version(self.name), self.interface()))
            }
            Origin::Program(program, _) => program.version(),
        }
    }

    /// Returns the kernel interface of a peer that has a choice.
    fn interface(&self) -> &'static str {
        match self.name {
            "monoio" if self.waits_in_io_uring() => " (io_uring)",
            "monoio" => " (epoll, because io_uring is not available)",
            _ => "",
        }
    }

    /// Returns true if the peer can do the work of the scenario.
    pub fn has(&self, scenario: &str) -> bool {
        match &self.origin {
            Origin::Rust { works, .. } => works.iter().any(|(name, _)| *name == scenario),
            Origin::Program(_, scenarios) => scenarios.contains(&scenario),
        }
    }

    /// Returns true if the peer runs in an interpreter.
    pub fn is_interpreted(&self) -> bool {
        matches!(self.origin, Origin::Program(Program::Python { .. }, _))
    }

    /// Returns true if the peer waits in io_uring_enter(2).
    pub fn waits_in_io_uring(&self) -> bool {
        self.name == "monoio" && ::monoio::utils::detect_uring()
    }

    /// Returns the command line of a worker.
    pub fn command(&self, scenario: &str, sizes: &[usize]) -> io::Result<Command> {
        let mut command = match &self.origin {
            Origin::Rust { .. } => {
                let mut command = Command::new(env::current_exe()?);
                command.args([FLAG, self.name]);
                command
            }
            Origin::Program(program, _) => program.command()?,
        };
        command.arg(scenario).args(sizes.iter().map(usize::to_string));
        Ok(command)
    }

    /// Does the work of a scenario in this process, which is a worker.
    pub fn run(&self, scenario: &str, sizes: &[usize]) {
        let Origin::Rust { works, .. } = &self.origin else {
            panic!("{} is another program", self.name)
        };
        let (_, work) =
            works.iter().find(|(name, _)| *name == scenario).expect("a scenario's name");
        work(sizes);
    }
}

/// Returns the newest locked version of a package: an older one is a dependency of another peer.
fn locked_version(package: &str) -> String {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let versions = LOCK_FILE.split(&entry).skip(1).filter_map(|rest| rest.split('"').next());
    versions.last().unwrap_or("unknown").to_owned()
}

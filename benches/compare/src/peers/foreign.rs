//! Peers in other languages: programs in C, compiled when the contest begins, and in Python.
//!
//! Their sources are in the folders `c` and `python`, parallel to those in Rust here. C is compiled
//! and not bound, because that is how the libraries are used, and because a binding would have to
//! be trusted.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Origin, Peer};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// A program in another language.
#[derive(Debug)]
pub enum Foreign {
    C { library: &'static str, links: &'static [&'static str], package: &'static str },
    Python { script: &'static str, flavour: &'static str, install: &'static str },
}

const IN_C: &[&str] =
    &["echo", "timers", "timers_run", "rearm", "post", "round_trip", "dispatch", "pipes"];
/// Those in C, and the floods of a server by itself.
const IN_LIBUV: &[&str] = &[
    "echo",
    "echo_posts",
    "echo_signals",
    "echo_timers",
    "timers",
    "timers_run",
    "rearm",
    "post",
    "round_trip",
    "dispatch",
    "pipes",
];
const IN_ASYNCIO: &[&str] = &[
    "spawn",
    "switch",
    "waiting",
    "asleep",
    "echo",
    "timers",
    "timers_run",
    "rearm",
    "chain",
    "batch",
    "post",
    "round_trip",
    "dispatch",
    "pipes",
];
/// It has no callbacks.
const IN_TRIO: &[&str] =
    &["spawn", "switch", "waiting", "asleep", "echo", "post", "round_trip", "pipes"];

pub const LIBUV: Peer = c("libuv", &["uv"], "libuv1-dev", IN_LIBUV);
pub const LIBEV: Peer = c("libev", &["ev"], "libev-dev", IN_C);
pub const LIBEVENT: Peer = c("libevent", &["event", "event_pthreads"], "libevent-dev", IN_C);

pub const ASYNCIO: Peer = python("asyncio", "asyncio_peer", "asyncio", "python3", IN_ASYNCIO);
pub const UVLOOP: Peer =
    python("uvloop", "asyncio_peer", "uvloop", "pip install uvloop", IN_ASYNCIO);
pub const TRIO: Peer = python("trio", "trio_peer", "trio", "pip install trio", IN_TRIO);

const fn c(
    library: &'static str,
    links: &'static [&'static str],
    package: &'static str,
    scenarios: &'static [&'static str],
) -> Peer {
    Peer {
        name: library,
        origin: Origin::Foreign(Foreign::C { library, links, package }, scenarios),
    }
}

const fn python(
    name: &'static str,
    script: &'static str,
    flavour: &'static str,
    install: &'static str,
    scenarios: &'static [&'static str],
) -> Peer {
    let program = Foreign::Python { script, flavour, install };
    Peer { name, origin: Origin::Foreign(program, scenarios) }
}

impl Foreign {
    /// Asks the program itself, which shows that it runs. In C it is compiled first.
    pub fn version(&self) -> Result<String, String> {
        if let Foreign::C { library, links, package } = self {
            compile(library, links).map_err(|reason| {
                format!("{reason}; its headers come with {package} on Debian and Ubuntu")
            })?;
        }
        let output = self.command().and_then(|mut command| command.arg("version").output());
        match (output, self) {
            (Ok(output), _) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
            (_, Foreign::Python { install, .. }) => {
                Err(format!("python3 has not got it; get it with: {install}"))
            }
            _ => Err("the program does not run".to_owned()),
        }
    }

    pub fn command(&self) -> io::Result<Command> {
        match self {
            Foreign::C { library, .. } => Ok(Command::new(built(library)?)),
            Foreign::Python { script, flavour, .. } => {
                let mut command = Command::new("python3");
                command.arg("-B").arg(format!("{FOLDER}/python/{script}.py")).arg(flavour);
                Ok(command)
            }
        }
    }
}

/// Beside this program, so that nothing is written among the sources.
fn built(library: &str) -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new(".")).join("compare-c");
    fs::create_dir_all(&folder)?;
    Ok(folder.join(library))
}

fn compile(library: &str, links: &[&str]) -> Result<(), String> {
    let program = built(library).map_err(|error| error.to_string())?;
    let mut command = Command::new("cc");
    command.args(["-O3", "-std=gnu11", "-Wall", "-pthread", "-o"]).arg(program);
    command.arg(format!("{FOLDER}/c/{library}.c"));
    command.args(links.iter().map(|name| format!("-l{name}")));
    match command.output() {
        Err(error) => Err(format!("there is no C compiler: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            let first = errors.lines().find(|line| line.contains("error")).unwrap_or_default();
            Err(format!("it does not compile: {first}"))
        }
    }
}

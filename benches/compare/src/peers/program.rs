//! Programs in C, compiled at the start of a run, and in Python.
//!
//! The C peers are compiled rather than bound: their users use the libraries that way, and a
//! binding could distort the figures.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// A program in another language.
#[derive(Debug)]
pub enum Program {
    C { library: &'static str, links: &'static [&'static str], package: &'static str },
    Python { script: &'static str, flavour: &'static str, install: &'static str },
}

impl Program {
    /// Returns the version that the program prints. A program in C is compiled first.
    ///
    /// # Errors
    ///
    /// The reason why the program does not run, with a remedy.
    pub fn version(&self) -> Result<String, String> {
        if let Program::C { library, links, package } = self {
            compile(library, links).map_err(|reason| {
                format!("{reason}; the headers are in the package {package} of Debian and Ubuntu")
            })?;
        }
        let output = self.command().and_then(|mut command| command.arg("version").output());
        match (output, self) {
            (Ok(output), _) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
            (_, Program::Python { install, .. }) => {
                Err(format!("python3 or its module is missing; install it with: {install}"))
            }
            _ => Err("the program does not run".to_owned()),
        }
    }

    pub fn command(&self) -> io::Result<Command> {
        match self {
            Program::C { library, .. } => Ok(Command::new(built(library)?)),
            Program::Python { script, flavour, .. } => {
                let mut command = Command::new("python3");
                command.arg("-B").arg(format!("{FOLDER}/python/{script}.py")).arg(flavour);
                Ok(command)
            }
        }
    }
}

/// Returns the path of the compiled program, beside this program: the sources stay clean.
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
        Err(error) => Err(format!("no C compiler: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            let first = errors.lines().find(|line| line.contains("error")).unwrap_or_default();
            Err(format!("it does not compile: {first}"))
        }
    }
}

//! The reasons why the program ends early.

use std::fmt::{self, Display};
use std::io;

/// A reason to end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments are wrong.
    Usage(String),
    /// A tape cannot be read, or a file cannot be written.
    Run(String),
    /// The reader of standard output has closed it.
    OutputClosed,
}

impl Failure {
    /// Returns the failure of an operation on `name`.
    pub(crate) fn of(operation: &str, name: impl Display, error: &io::Error) -> Failure {
        Failure::Run(format!("{operation} {name}: {}", plain(error)))
    }

    /// Returns the failure of writing to standard output.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::of("cannot write to", "standard output", error),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Run(text) => f.write_str(text),
            Failure::OutputClosed => f.write_str("standard output is closed"),
        }
    }
}

/// Returns the text of an error without the number that std adds.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

//! `mainspring` shows what an event loop does, from its tape: while it runs, while a callback does
//! not return, and after the process was killed. It never talks to the process.

#![forbid(unsafe_code)]

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

mod arguments;
mod blame;
mod failure;
mod ps;
mod source;
mod summary;
mod text;
mod top;
mod trace;

use arguments::{Arguments, Command, USAGE};
use failure::Failure;
use source::Source;

fn main() -> ExitCode {
    let ending = match Arguments::parse(env::args_os().skip(1)) {
        Ok(Some(arguments)) => run(&arguments),
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    let (text, code) = match ending {
        // A reader that closes the pipe, such as head(1), has seen enough.
        Ok(()) | Err(Failure::OutputClosed) => return ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => (format!("{text}\n{USAGE}"), 2),
        Err(Failure::Run(text)) => (format!("{text}\n"), 1),
    };
    _ = write!(io::stderr(), "mainspring: {text}"); // Standard error may be closed.
    ExitCode::from(code)
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut sources = Source::find(&arguments.source)?;
    if let Some(number) = arguments.tape {
        let count = sources.len();
        let chosen = (1..=count).contains(&number).then(|| sources.swap_remove(number - 1));
        let missing = || Failure::Run(format!("there is no tape {number}, only {count}"));
        sources = vec![chosen.ok_or_else(missing)?];
    }
    match &arguments.command {
        Command::Ps => ps::run(arguments, &sources),
        Command::Top { once } => top::run(arguments, &sources, *once),
        Command::Blame { place } => blame::run(arguments, &sources, place.as_deref()),
        Command::Trace(files) => trace::run(arguments, &sources, files),
    }
}

//! The command line.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use super::failure::Failure;
use super::text::parse_time;

pub(crate) const USAGE: &str = "\
usage: mainspring ps    TAPE|PID [--last TIME]
       mainspring top   TAPE|PID [--last TIME] [--once]
       mainspring trace TAPE|PID [--last TIME] [--svg FILE] [--perfetto FILE] [--chrome FILE]
       mainspring blame TAPE|PID [PLACE] [--last TIME]
";

const HELP: &str = "
Shows what an event loop of the crate mainspring does, from the tape of its recorder. The process
is not disturbed: it may run, hang in a callback, or have been killed.

  ps      the turn that runs, and since when; then the places by their time
  top     the same every second, of the last ten seconds; q ends it
  trace   a picture of the turns: as text, or to the files
  blame   the ten turns with the longest delays, and what ran instead; PLACE is a part of their places

  TAPE    the file of Recorder::black_box; ./4711 for a file that is named like a process
  PID     a process with any recorder, even Recorder::ring (Linux; the same user, or root)

  --last TIME      only the last turns: 500ms, 5s, 2m
  --tape NUMBER    the tape of a process that has several
  --once           one table; also if standard output is not a terminal
  --svg FILE       a picture for browsers
  --perfetto FILE  a trace for https://ui.perfetto.dev
  --chrome FILE    a trace for chrome://tracing
  -h, --help       this text
  -V, --version    the version

One FILE may be - for standard output. The exit code is 0, 1 if a tape cannot be read or a file
cannot be written, and 2 for wrong arguments.
";

/// A command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) command: Command,
    /// The file of a tape, or the number of a process.
    pub(crate) source: OsString,
    pub(crate) last: Option<Duration>,
    /// Number of a tape of the process, from 1 on.
    pub(crate) tape: Option<usize>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Ps,
    Top { once: bool },
    Trace(Files),
    Blame { place: Option<String> },
}

/// Files to write a trace to.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) svg: Option<OsString>,
    pub(crate) perfetto: Option<OsString>,
    pub(crate) chrome: Option<OsString>,
}

impl Files {
    /// Returns the number of files that are standard output.
    fn to_standard_output(&self) -> usize {
        let files = [&self.svg, &self.perfetto, &self.chrome];
        files.into_iter().flatten().filter(|file| *file == "-").count()
    }
}

impl Arguments {
    /// Parses the words after the name of the program. Returns `None` if they request a text, which
    /// is printed.
    pub(crate) fn parse(
        mut words: impl Iterator<Item = OsString>,
    ) -> Result<Option<Arguments>, Failure> {
        let (mut plain, mut options) = (Vec::new(), Options::default());
        let text = loop {
            let Some(word) = words.next() else { break None };
            match word.to_str() {
                Some("-h" | "--help") => break Some(format!("{USAGE}{HELP}")),
                Some("-V" | "--version") => {
                    break Some(format!("mainspring {}\n", env!("CARGO_PKG_VERSION")));
                }
                Some(option) if option.starts_with('-') && option != "-" => {
                    options.add(option, &mut words)?;
                }
                _ => plain.push(word),
            }
        };
        if let Some(text) = text {
            let written = io::stdout().write_all(text.as_bytes());
            return written.map(|()| None).map_err(|error| Failure::output(&error));
        }
        options.into_arguments(plain).map(Some)
    }
}

/// The options of a command line.
#[derive(Debug, Default)]
struct Options {
    last: Option<Duration>,
    tape: Option<usize>,
    once: bool,
    files: Files,
    /// Names of the options, for errors.
    names: Vec<String>,
}

impl Options {
    fn add(
        &mut self,
        option: &str,
        words: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Failure> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (option, None),
        };
        self.names.push(name.to_owned());
        if name == "--once" && value.is_none() {
            self.once = true;
            return Ok(());
        }
        let known = ["--last", "--tape", "--svg", "--perfetto", "--chrome"];
        if !known.contains(&name) {
            return Err(usage(format!("unknown option {option}")));
        }
        let value = value.or_else(|| words.next());
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| usage(format!("{name} needs a value")))?;
        let text = || value.to_str().unwrap_or_default();
        let invalid = |wanted| usage(format!("{name} {} is not {wanted}", value.display()));
        match name {
            "--last" => {
                let time = parse_time(text()).ok_or_else(|| invalid("a time, such as 5s"))?;
                self.last = Some(time);
            }
            "--tape" => {
                let number = text().parse().map_err(|_| invalid("a number"))?;
                self.tape = Some(number);
            }
            "--svg" => self.files.svg = Some(value),
            "--perfetto" => self.files.perfetto = Some(value),
            _ => self.files.chrome = Some(value),
        }
        Ok(())
    }

    fn into_arguments(self, plain: Vec<OsString>) -> Result<Arguments, Failure> {
        let mut plain = plain.into_iter();
        let name = plain.next().ok_or_else(|| usage("a command is missing".to_owned()))?;
        let (mut command, allowed): (_, &[&str]) = match name.to_str() {
            Some("ps") => (Command::Ps, &[]),
            Some("top") => (Command::Top { once: self.once }, &["--once"]),
            Some("trace") => (Command::Trace(self.files), &["--svg", "--perfetto", "--chrome"]),
            Some("blame") => (Command::Blame { place: None }, &[]),
            _ => return Err(usage(format!("unknown command {}", name.display()))),
        };
        let is_allowed =
            |option: &str| allowed.contains(&option) || matches!(option, "--last" | "--tape");
        if let Some(option) = self.names.iter().find(|option| !is_allowed(option)) {
            return Err(usage(format!("{} has no option {option}", name.display())));
        }
        let source = plain.next().filter(|source| !source.is_empty());
        let source = source.ok_or_else(|| usage("a tape or a process is missing".into()))?;
        if matches!(&command, Command::Trace(files) if files.to_standard_output() > 1) {
            return Err(usage("only one FILE can be -".to_owned()));
        }
        if let Command::Blame { place } = &mut command {
            *place = plain.next().map(|place| place.to_string_lossy().into_owned());
        }
        if let Some(word) = plain.next() {
            return Err(usage(format!("unexpected argument {}", word.display())));
        }
        Ok(Arguments { command, source, last: self.last, tape: self.tape })
    }
}

fn usage(text: String) -> Failure {
    Failure::Usage(text)
}

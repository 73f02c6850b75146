//! `mainspring trace`: pictures and traces.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use mainspring::Tape;

use super::arguments::{Arguments, Files};
use super::failure::Failure;
use super::source::Source;

pub(crate) fn run(arguments: &Arguments, sources: &[Source], files: &Files) -> Result<(), Failure> {
    let [source] = sources else {
        let text = format!("the process has {} tapes; choose one with --tape", sources.len());
        return Err(Failure::Run(text));
    };
    let tape = source.read()?;
    let tape = match arguments.last {
        Some(time) => tape.last(time),
        None => tape,
    };
    write(files.svg.as_deref(), &tape, |tape, out| out.write_all(tape.svg().as_bytes()))?;
    write(files.perfetto.as_deref(), &tape, |tape, out| tape.perfetto(out))?;
    write(files.chrome.as_deref(), &tape, |tape, out| tape.chrome_json(out))?;
    let Files { svg: None, perfetto: None, chrome: None } = files else { return Ok(()) };
    write(Some(OsStr::new("-")), &tape, |tape, out| out.write_all(tape.lanes().as_bytes()))
}

/// Writes the tape in one form to a file, or to standard output if its name is `-`.
fn write(
    name: Option<&OsStr>,
    tape: &Tape,
    form: impl FnOnce(&Tape, &mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    if name == "-" {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = form(tape, &mut out).and_then(|()| out.flush());
        return written.map_err(|error| Failure::output(&error));
    }
    let path = Path::new(name);
    let failed = |error| Failure::of("cannot write", path.display(), &error);
    if is_tape(path) {
        return Err(failed(io::Error::other("the file is a tape")));
    }
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    let written = form(tape, &mut out).and_then(|()| out.flush());
    written.map_err(|error| {
        discard(path, out);
        failed(error)
    })
}

/// Returns true if the file is a tape, of this version or another. A process that writes to a tape
/// is killed by SIGBUS when the file becomes shorter (mmap(2)), and the tape of a process that has
/// ended has no copy.
fn is_tape(path: &Path) -> bool {
    match Tape::open(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::Unsupported,
    }
}

/// Discards an unfinished trace, which could be taken for a whole one: its file is removed. If
/// `path` is a link, the file that it leads to becomes empty. A device or a pipe stays as it is.
/// Errors are ignored, because the first one counts.
fn discard(path: &Path, out: BufWriter<File>) {
    let (file, _) = out.into_parts(); // The drop of `out` would write the rest of its buffer.
    _ = file.set_len(0);
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        _ = fs::remove_file(path);
    }
}

//! `mainspring ps`: what runs, and the places.

use std::io::{self, BufWriter, Write};

use super::arguments::Arguments;
use super::failure::Failure;
use super::source::Source;
use super::summary::Summary;

pub(crate) fn run(arguments: &Arguments, sources: &[Source]) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    for (index, source) in sources.iter().enumerate() {
        let tape = source.read()?;
        let written = write_separator(&mut out, index).and_then(|()| {
            let summary = Summary::new(source, &tape, arguments.last);
            summary.write_head(&mut out)?;
            writeln!(out)?;
            summary.write_places(&mut out, usize::MAX)
        });
        written.map_err(|error| Failure::output(&error))?;
    }
    out.flush().map_err(|error| Failure::output(&error))
}

/// Writes an empty line before all tapes except the first.
pub(crate) fn write_separator(out: &mut impl Write, index: usize) -> io::Result<()> {
    if index > 0 { writeln!(out) } else { Ok(()) }
}

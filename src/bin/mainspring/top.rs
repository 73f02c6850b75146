//! `mainspring top`: the same as `ps`, every second.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use mainspring::terminal::Tty;
use mainspring::{EventLoop, timeout};

use super::arguments::Arguments;
use super::failure::Failure;
use super::ps::write_separator;
use super::source::Source;
use super::summary::Summary;

/// Period of the table, by default.
const PERIOD: Duration = Duration::from_secs(10);
const REFRESH: Duration = Duration::from_secs(1);

/// Rows of a table that has no terminal.
const ROWS: usize = 40;

/// Keys that end it: q, escape, control-C and control-D.
const QUIT: &[u8] = b"qQ\x1b\x03\x04";

pub(crate) fn run(arguments: &Arguments, sources: &[Source], once: bool) -> Result<(), Failure> {
    if !once
        && io::stdout().is_terminal()
        && let Ok(tty) = Tty::open()
    {
        return refresh(arguments, sources, tty);
    }
    let table = table(arguments, sources, ROWS)?;
    io::stdout().write_all(table.as_bytes()).map_err(|error| Failure::output(&error))
}

/// Draws the table every second, and after each key, until a key ends it.
fn refresh(arguments: &Arguments, sources: &[Source], tty: Tty) -> Result<(), Failure> {
    let failed = |error: mainspring::Error| Failure::Run(error.chain().to_string());
    let mut el = EventLoop::new().map_err(failed)?;
    let ending: Result<Result<(), mainspring::Error>, _> = el.run_until_complete(async {
        let tty = tty.into_io()?;
        let _raw = tty.get_ref().raw_mode()?;
        loop {
            let (rows, columns) = size(tty.get_ref());
            // A file that is replaced at this time can be read a second later.
            let table = table(arguments, sources, rows.saturating_sub(7))
                .unwrap_or_else(|failure| format!("{failure}\n"));
            tty.write_all(screen(&table, rows, columns).as_bytes()).await?;
            let mut keys = [0; 16];
            match timeout(REFRESH, tty.read(&mut keys)).await {
                Ok(Ok(count))
                    if count > 0 && !keys[..count].iter().any(|key| QUIT.contains(key)) => {}
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {}
            }
        }
    });
    ending.map_err(failed)?.map_err(failed)
}

/// Returns the rows and columns of a window. A terminal without a window has none.
fn size(tty: &Tty) -> (usize, usize) {
    let size = tty.window_size().ok().filter(|size| size.rows > 0 && size.columns > 0);
    size.map_or((24, 80), |size| (size.rows.into(), size.columns.into()))
}

fn table(arguments: &Arguments, sources: &[Source], rows: usize) -> Result<String, Failure> {
    let mut text = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let tape = source.read()?;
        let summary = Summary::new(source, &tape, Some(arguments.last.unwrap_or(PERIOD)));
        let written = write_separator(&mut text, index)
            .and_then(|()| summary.write_head(&mut text))
            .and_then(|()| writeln!(text))
            .and_then(|()| summary.write_places(&mut text, rows / sources.len()));
        written.map_err(|error| Failure::output(&error))?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Returns the table for a window: from its upper left corner, with each line cut.
fn screen(table: &str, rows: usize, columns: usize) -> String {
    let mut screen = "\x1b[H".to_owned();
    for line in table.lines().take(rows.saturating_sub(2)) {
        screen.extend(line.chars().take(columns));
        screen += "\x1b[K\r\n";
    }
    screen + "\x1b[J\r\nq ends\r"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_has_the_size_of_its_window() {
        let screen = screen("first line\nsecond\nthird\n", 4, 6);
        assert_eq!(screen, "\x1b[Hfirst \x1b[K\r\nsecond\x1b[K\r\n\x1b[J\r\nq ends\r");
    }
}

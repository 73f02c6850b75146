//! [`Stdin`]: standard input without a buffer and without a thread.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, BorrowedFd};

use mainspring_sys::{Interest, terminal};

use crate::error::{Error, Result};
use crate::io::source::Io;
use crate::io::{BufReader, Lines};

/// Standard input, as an event source.
///
/// It is a duplicate of descriptor 0, so it stays open when another part of the program closes
/// that. It is unbuffered: input that [`std::io::stdin`] has buffered is not read here.
///
/// A read returns 0 at the end of a file or a pipe, at `Ctrl-D`, and after the other side of a
/// pseudo terminal was closed. A read in a background process is the error `PermissionDenied`, and
/// does not stop the process. Try again after [`Signal::CONT`](crate::Signal::CONT).
///
/// With tasks:
///
/// ```
/// use mainspring::{EventLoop, terminal::Stdin};
///
/// let mut el = EventLoop::new()?;
/// el.run_until_complete(async {
///     let mut lines = Stdin::open()?.lines()?;
///     while let Some(line) = lines.next_line().await? {
///         println!("{line}");
///     }
///     Ok::<_, mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// With callbacks:
///
/// ```
/// use mainspring::{EventLoop, terminal::Stdin};
/// use std::io::Read;
///
/// let mut el = EventLoop::with_state(0)?;
/// el.add_reader(Stdin::open()?, |_el, total, stdin| {
///     let count = stdin.read(&mut [0; 4096])?;
///     *total += count;
///     if count == 0 {
///         stdin.cancel();
///     }
///     Ok(())
/// })?;
/// el.run()?;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct Stdin {
    file: File,
    is_terminal: bool,
}

impl Stdin {
    /// Duplicates descriptor 0.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`] if descriptor 0 is closed, or the process has no descriptors left.
    pub fn open() -> Result<Stdin> {
        let opened = terminal::standard_input();
        let fd = opened.map_err(|source| Error::Watch { operation: "duplicate", fd: 0, source })?;
        let is_terminal = fd.is_terminal();
        Ok(Stdin { file: fd.into(), is_terminal })
    }

    /// Returns standard input for tasks.
    ///
    /// # Errors
    ///
    /// [`Error::Watch`], for example for a descriptor that cannot be read.
    #[track_caller]
    pub fn into_io(self) -> Result<Io<Stdin>> {
        Io::with_interest(self, Interest::READABLE)
    }

    /// Returns the lines of standard input for tasks.
    ///
    /// # Errors
    ///
    /// Same as [`into_io`](Stdin::into_io).
    #[track_caller]
    pub fn lines(self) -> Result<Lines<Io<Stdin>>> {
        Ok(BufReader::new(self.into_io()?).lines())
    }

    /// Returns true if standard input is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

impl Read for &Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.is_terminal {
            true => terminal::read(self.file.as_fd(), buffer),
            false => (&self.file).read(buffer),
        }
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

//! One-directional streams for transports: the output or the input of a child, a FIFO.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mainspring_sys::error_class::end_of_terminal;
use mainspring_sys::nonblocking;

use super::transport_stream::{TransportStream, is_unbuffered, write_slices};

/// A read-only stream, so that a transport can own it: the standard output of a
/// [child](crate::process::Child::take_stdout), for example. Writing to it is the error
/// `BrokenPipe`.
///
/// ```
/// use mainspring::{EventLoop, net::ReadOnly};
/// use std::process::{Command, Stdio};
///
/// let mut el = EventLoop::with_state(Vec::new())?;
/// let mut echo = el.spawn_child(
///     Command::new("echo").arg("hello").stdout(Stdio::piped()),
///     |_, _, status| status.map(drop),
/// )?;
/// el.attach(ReadOnly::new(echo.take_stdout().unwrap()), |_, all, _, data| {
///     all.extend_from_slice(data);
///     Ok(())
/// })?;
/// el.run()?;
/// assert_eq!(el.state(), b"hello\n");
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct ReadOnly<R> {
    reader: R,
}

impl<R> ReadOnly<R> {
    /// Creates a stream from a reader.
    pub fn new(reader: R) -> ReadOnly<R> {
        ReadOnly { reader }
    }
}

impl<R> TransportStream for ReadOnly<R>
where
    R: AsFd + 'static,
    for<'a> &'a R: Read,
{
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        end_of_terminal(&self.reader, Read::read(&mut &self.reader, buffer))
    }

    fn write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    fn has_buffered(&self) -> bool {
        !is_unbuffered::<R>()
    }
}

/// A write-only pipe, so that a transport can own it: the standard input of a
/// [child](crate::process::Child::take_stdin), for example. There is nothing to read. The
/// connection is lost with `BrokenPipe` when the reader has closed its end.
///
/// ```
/// use mainspring::{EventLoop, net::WriteOnly};
/// use std::process::{Command, Stdio};
///
/// let mut el = EventLoop::with_state(false)?;
/// let mut grep = el.spawn_child(
///     Command::new("grep").args(["-q", "hello"]).stdin(Stdio::piped()),
///     |_, found, status| {
///         *found = status?.success();
///         Ok(())
///     },
/// )?;
/// let input = el.attach(WriteOnly::new(grep.take_stdin().unwrap()), |_, _, _, _| Ok(()))?;
/// input.write(b"hello");
/// input.close(); // `grep` reads the end after the last byte
/// el.run()?;
/// assert!(*el.state());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
pub struct WriteOnly<W> {
    writer: W,
}

impl<W> WriteOnly<W> {
    /// Creates a stream from a writer.
    pub fn new(writer: W) -> WriteOnly<W> {
        WriteOnly { writer }
    }
}

impl<W> TransportStream for WriteOnly<W>
where
    W: AsFd + 'static,
    for<'a> &'a W: Write,
{
    /// Returns `WouldBlock`, or the error of a pipe without a reader, which poll(2) reports.
    fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        match nonblocking::is_ready(self.writer.as_fd().as_raw_fd(), false) {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut { &self.writer }, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write_slices(&self.writer, slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    fn has_buffered(&self) -> bool {
        false
    }

    fn flush(&self) -> io::Result<()> {
        Write::flush(&mut { &self.writer })
    }
}

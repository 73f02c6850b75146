//! The trait of streams that a transport can own, and two pipes as one stream.

use std::any::{Any, TypeId};
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use mainspring_sys::error_class::end_of_terminal;
use mainspring_sys::socket::{self, Address};

use super::socket::Socket;
use crate::event_loop::read_buffer::is_plain_source;

/// A byte stream with a descriptor for each direction, usually the same one.
///
/// Every type that is `AsFd`, and that can be read and written through a shared reference,
/// implements it: sockets of std and of this crate, files, and user-defined wrappers. A
/// [`PipePair`] joins two descriptors.
pub trait TransportStream {
    /// Reads once; 0 is end of file.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing to read yet.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes once, as many bytes as there is room for, and returns their number.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is no room.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes several slices at once.
    ///
    /// # Errors
    ///
    /// Same as [`write`](TransportStream::write).
    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends the writing direction: the peer reads end of file after the last byte.
    ///
    /// # Errors
    ///
    /// Any error ends the connection, except `WouldBlock`, which means that there is no room for
    /// the last bytes: the loop calls again when the descriptor is writable.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Returns the descriptor to read from.
    fn reader(&self) -> BorrowedFd<'_>;

    /// Returns the descriptor to write to, if it is another one.
    fn writer(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns true if a read may return bytes, the end of file or an error that the kernel does
    /// not report, because the stream holds it already.
    ///
    /// The loop calls this when it begins to read: after `attach`, after a pause, and after each
    /// read that returned bytes. After true it reads again, without an event, until a read returns
    /// `WouldBlock`. So a wrong true costs one read; false must be certain. The default is true.
    /// The blanket implementation returns false for files, pipes and sockets of std.
    fn has_buffered(&self) -> bool {
        true
    }

    /// Passes the bytes that [`write`](TransportStream::write) has accepted, and that the stream
    /// still holds, to the kernel.
    ///
    /// The loop calls this after writing, and after reading, because a handshake also sends. The
    /// default does nothing. The blanket implementation calls [`Write::flush`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if bytes are left: the loop calls again when the descriptor is writable.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<T> TransportStream for T
where
    T: AsFd + 'static,
    for<'a> &'a T: Read + Write,
{
    /// Reads once. The end of a pseudo terminal, which Linux reports as EIO, is 0.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        end_of_terminal(self, Read::read(&mut { self }, buffer))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut { self }, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write_slices(self, slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        socket::shutdown_write(&*self)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn has_buffered(&self) -> bool {
        !is_unbuffered::<T>()
    }

    fn flush(&self) -> io::Result<()> {
        Write::flush(&mut { self })
    }
}

/// Returns true for types that hold no bytes: all of them are in the kernel.
pub(crate) fn is_unbuffered<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<Socket>() || is_plain_source::<T>()
}

/// Returns true if reads and writes stop short only for the reasons that TCP has. A user-defined
/// type (TLS) may stop short anywhere.
pub(super) fn is_tcp<T: 'static>(stream: &T) -> bool {
    let stream: &dyn Any = stream;
    let is_inet = |socket: &Socket| matches!(socket.local_addr(), Ok(Address::Inet(_)));
    stream.is::<TcpStream>() || stream.downcast_ref().is_some_and(is_inet)
}

/// Writes slices without SIGPIPE. std uses writev(2), which raises it at a socket unless the
/// process ignores the signal.
pub(super) fn write_slices<T>(stream: &T, slices: &[IoSlice<'_>]) -> io::Result<usize>
where
    T: AsFd + 'static,
    for<'a> &'a T: Write,
{
    let sockets_of_std = [TypeId::of::<TcpStream>(), TypeId::of::<UnixStream>()];
    if sockets_of_std.contains(&TypeId::of::<T>()) {
        return socket::send_vectored(stream, slices);
    }
    Write::write_vectored(&mut { stream }, slices)
}

/// A reader and a writer as one stream: this process's ends of two pipes, or standard input and
/// output.
///
/// Neither may have a buffer, because the kernel does not report buffered bytes: `std::io::Stdout`
/// keeps them until the end of the line. Use files of the same descriptors instead.
///
/// ```
/// use mainspring::net::{PipePair, TransportStream};
///
/// let (reader, writer) = std::io::pipe()?;
/// let mut pair = PipePair::new(reader, writer);
/// pair.write(b"round trip")?;
/// let mut buffer = [0; 16];
/// assert_eq!(pair.read(&mut buffer)?, 10);
/// pair.shutdown_write()?; // closes the writer
/// assert_eq!(pair.read(&mut buffer)?, 0);
///
/// use std::{fs::File, io, os::fd::AsFd};
/// let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
/// let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
/// let filter = PipePair::new(stdin, stdout); // can be attached
/// # drop(filter);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct PipePair<R, W> {
    reader: R,
    /// The writer; `None` after the shutdown.
    writer: Option<W>,
}

impl<R, W> PipePair<R, W> {
    /// Joins a reader and a writer.
    pub fn new(reader: R, writer: W) -> PipePair<R, W> {
        PipePair { reader, writer: Some(writer) }
    }
}

impl<R, W> TransportStream for PipePair<R, W>
where
    R: AsFd + 'static,
    W: AsFd + 'static,
    for<'a> &'a R: Read,
    for<'a> &'a W: Write,
{
    /// Reads once. The end of a pseudo terminal, which Linux reports as EIO, is 0.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        end_of_terminal(&self.reader, Read::read(&mut &self.reader, buffer))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.writer {
            Some(writer) => Write::write(&mut { writer }, bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.writer {
            Some(writer) => write_slices(writer, slices),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.writer = None;
        Ok(())
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    fn writer(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().map(AsFd::as_fd)
    }

    fn has_buffered(&self) -> bool {
        !is_unbuffered::<R>()
    }

    fn flush(&self) -> io::Result<()> {
        self.writer.as_ref().map_or(Ok(()), |writer| Write::flush(&mut { writer }))
    }
}

//! The cell of a stream with open files that other processes may share.
//!
//! The non-blocking flag belongs to the open file, not to the descriptor. So such a file gets its
//! flag back at the end, or stays blocking.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};

use mainspring_sys::nonblocking::{self, BlockingMode};

use super::stream_cell::StreamCell;
use crate::error::{Error, Result};
use crate::net::transport_stream::{TransportStream, is_unbuffered};

/// Limit on the bytes of one write to a file that blocks. A pipe that is writable has room for this
/// many (`_POSIX_PIPE_BUF`, pipe(7)).
const BLOCKING_WRITE: usize = 512;

/// A stream that gives its files their blocking flags back before it closes them. On a descriptor
/// that stays blocking, a call is made only if the kernel is ready for it.
pub(crate) struct SharedFile<T: TransportStream> {
    /// The stream; `None` after it was taken out.
    stream: Option<T>,
    reader: BlockingMode,
    writer: BlockingMode,
}

const IN_PLACE: &str = "the stream is taken out only at the end";

impl<T: TransportStream> SharedFile<T> {
    pub(crate) fn new(stream: T) -> Result<SharedFile<T>> {
        let begin = |fd: BorrowedFd<'_>| {
            let number = fd.as_raw_fd();
            let refused = |source| Error::Watch { operation: "watch", fd: number, source };
            nonblocking::begin(fd).map_err(refused)
        };
        let reader = begin(stream.reader())?;
        let writer = stream.writer().map(begin).transpose().inspect_err(|_| {
            nonblocking::end(stream.reader().as_raw_fd(), reader);
        })?;
        let writer = writer.unwrap_or(reader);
        Ok(SharedFile { stream: Some(stream), reader, writer })
    }

    /// Returns the stream if no other process shares its files.
    ///
    /// # Errors
    ///
    /// The shared file itself.
    pub(crate) fn into_own(mut self) -> Result<T, SharedFile<T>> {
        let is_own =
            (self.reader, self.writer) == (BlockingMode::NonBlocking, BlockingMode::NonBlocking);
        match self.stream.take_if(|_| is_own) {
            Some(stream) => Ok(stream),
            None => Err(self),
        }
    }

    fn stream(&self) -> &T {
        self.stream.as_ref().expect(IN_PLACE)
    }

    /// Takes the stream out, with the flags that it had before.
    fn restore(&mut self) -> Option<T> {
        self.restore_writer();
        let stream = self.stream.take()?;
        nonblocking::end(stream.reader().as_raw_fd(), self.reader);
        Some(stream)
    }

    fn restore_writer(&mut self) {
        if let Some(writer) = self.stream.as_ref().and_then(T::writer) {
            nonblocking::end(writer.as_raw_fd(), self.writer);
            self.writer = BlockingMode::NonBlocking;
        }
    }

    /// Returns `WouldBlock` if a call on a blocking descriptor might block.
    fn check(&self, to_write: bool) -> io::Result<()> {
        let state = if to_write { self.writer } else { self.reader };
        if state != BlockingMode::Blocking {
            return Ok(());
        }
        let stream = self.stream();
        let writer = if to_write { stream.writer() } else { None };
        let fd = writer.unwrap_or_else(|| stream.reader()).as_raw_fd();
        let is_ready = nonblocking::is_ready(fd, to_write);
        if is_ready { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl<T: TransportStream> Drop for SharedFile<T> {
    fn drop(&mut self) {
        drop(self.restore());
    }
}

impl<T: TransportStream> TransportStream for SharedFile<T> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check(false)?;
        self.stream().read(buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.check(true)?;
        match self.writer {
            BlockingMode::Blocking => {
                self.stream().write(&bytes[..bytes.len().min(BLOCKING_WRITE)])
            }
            _ => self.stream().write(bytes),
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self.writer, slices.iter().find(|slice| !slice.is_empty())) {
            (BlockingMode::Blocking, Some(first)) => self.write(first),
            _ => self.stream().write_vectored(slices),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.restore_writer(); // Before the shutdown, which may close the writer.
        self.stream.as_mut().expect(IN_PLACE).shutdown_write()
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.stream().reader()
    }

    fn writer(&self) -> Option<BorrowedFd<'_>> {
        self.stream().writer()
    }

    fn has_buffered(&self) -> bool {
        self.stream().has_buffered()
    }

    fn flush(&self) -> io::Result<()> {
        self.stream().flush()
    }
}

/// The cell of a [`SharedFile`]. Calls get the stream inside the file.
pub(super) struct SharedFileCell<T: TransportStream>(Cell<Option<SharedFile<T>>>);

impl<T: TransportStream> SharedFileCell<T> {
    pub(super) fn new(file: SharedFile<T>) -> SharedFileCell<T> {
        SharedFileCell(Cell::new(Some(file)))
    }
}

impl<T: TransportStream + 'static> StreamCell for SharedFileCell<T> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        StreamCell::read(&self.0, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        StreamCell::write(&self.0, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        StreamCell::write_vectored(&self.0, slices)
    }

    fn is_tcp(&self) -> bool {
        false
    }

    fn is_unbuffered(&self) -> bool {
        is_unbuffered::<T>()
    }

    fn with(&self, call: &mut dyn FnMut(&mut dyn TransportStream)) -> bool {
        self.0.with(call)
    }

    fn with_any(&self, call: &mut dyn FnMut(&mut dyn Any)) {
        self.0.with_any(&mut |file| {
            let file = file.downcast_mut::<SharedFile<T>>();
            if let Some(stream) = file.and_then(|file| file.stream.as_mut()) {
                call(stream);
            }
        });
    }

    fn take(&self) -> Option<Box<dyn Any>> {
        let stream = self.0.take()?.restore()?;
        Some(Box::new(stream))
    }
}

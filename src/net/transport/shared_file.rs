//! The place of a stream over files whose non-blocking flag is not the loop's alone.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};

use mainspring_sys::blocking::{self, Blocking};

use super::slot::Slot;
use crate::error::{Error, Result};
use crate::net::stream::{TransportStream, is_unbuffered};

/// Most bytes of one write to a file that blocks: a pipe with any room has room for so many
/// (`_POSIX_PIPE_BUF`, pipe(7)).
const PIECE: usize = 512;

/// A stream whose descriptors get back what [`blocking::begin`] has found, before they are closed.
/// On one that goes on blocking, a call is made only if the kernel is ready for it.
pub(crate) struct SharedFile<T: TransportStream> {
    stream: Option<T>,
    reader: Blocking,
    writer: Blocking,
}

const IN_PLACE: &str = "the stream is taken out last";

impl<T: TransportStream> SharedFile<T> {
    pub(crate) fn new(stream: T) -> Result<SharedFile<T>> {
        let begin = |fd: BorrowedFd<'_>| {
            let number = fd.as_raw_fd();
            let refused = |source| Error::Watch { operation: "watch", fd: number, source };
            blocking::begin(fd).map_err(refused)
        };
        let reader = begin(stream.reader())?;
        let writer = stream.writer().map(begin).transpose().inspect_err(|_| {
            blocking::end(stream.reader().as_raw_fd(), reader);
        })?;
        let writer = writer.unwrap_or(reader);
        Ok(SharedFile { stream: Some(stream), reader, writer })
    }

    /// The stream, if nothing is shared.
    ///
    /// # Errors
    ///
    /// The shared file.
    pub(crate) fn into_own(mut self) -> Result<T, SharedFile<T>> {
        let is_own = (self.reader, self.writer) == (Blocking::Never, Blocking::Never);
        match self.stream.take_if(|_| is_own) {
            Some(stream) => Ok(stream),
            None => Err(self),
        }
    }

    fn stream(&self) -> &T {
        self.stream.as_ref().expect(IN_PLACE)
    }

    /// The stream as it was.
    fn give_back(&mut self) -> Option<T> {
        self.end_writer();
        let stream = self.stream.take()?;
        blocking::end(stream.reader().as_raw_fd(), self.reader);
        Some(stream)
    }

    fn end_writer(&mut self) {
        if let Some(writer) = self.stream.as_ref().and_then(T::writer) {
            blocking::end(writer.as_raw_fd(), self.writer);
            self.writer = Blocking::Never;
        }
    }

    fn check(&self, to_write: bool) -> io::Result<()> {
        let state = if to_write { self.writer } else { self.reader };
        if state != Blocking::Kept {
            return Ok(());
        }
        let stream = self.stream();
        let writer = if to_write { stream.writer() } else { None };
        let fd = writer.unwrap_or_else(|| stream.reader()).as_raw_fd();
        let is_ready = blocking::is_ready(fd, to_write);
        if is_ready { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl<T: TransportStream> Drop for SharedFile<T> {
    fn drop(&mut self) {
        drop(self.give_back());
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
            Blocking::Kept => self.stream().write(&bytes[..bytes.len().min(PIECE)]),
            _ => self.stream().write(bytes),
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self.writer, slices.iter().find(|slice| !slice.is_empty())) {
            (Blocking::Kept, Some(first)) => self.write(first),
            _ => self.stream().write_vectored(slices),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.end_writer(); // It may be closed now.
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

/// The place of a [`SharedFile`], for which its users see the stream inside.
pub(super) struct SharedPlace<T: TransportStream>(Cell<Option<SharedFile<T>>>);

impl<T: TransportStream> SharedPlace<T> {
    pub(super) fn new(file: SharedFile<T>) -> SharedPlace<T> {
        SharedPlace(Cell::new(Some(file)))
    }
}

impl<T: TransportStream + 'static> Slot for SharedPlace<T> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Slot::read(&self.0, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Slot::write(&self.0, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Slot::write_vectored(&self.0, slices)
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
        let stream = self.0.take()?.give_back()?;
        Some(Box::new(stream))
    }
}

//! The cell in which a transport keeps its stream.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, IoSlice};

use mainspring_sys::socket::Address;

use crate::net::transport_stream::{TransportStream, is_tcp, is_unbuffered};

/// A cell that can close its stream while handles of the connection remain.
///
/// A call takes the stream out of its cell, because a user-defined stream may call back into the
/// transport. A nested call gets `WouldBlock`.
pub(crate) trait StreamCell {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Like [`is_tcp`].
    fn is_tcp(&self) -> bool;

    /// Like [`is_unbuffered`].
    fn is_unbuffered(&self) -> bool;

    /// Calls `call` with the stream. Returns false, without a call, if the cell is empty.
    fn with(&self, call: &mut dyn FnMut(&mut dyn TransportStream)) -> bool;

    /// Calls `call` with the stream as its own type, unless the cell is empty.
    fn with_any(&self, call: &mut dyn FnMut(&mut dyn Any));

    /// Takes the stream out for good.
    fn take(&self) -> Option<Box<dyn Any>>;

    /// Closes the stream.
    fn close(&self) {
        drop(self.take());
    }

    /// Returns the address of the peer, if the cell stores it.
    fn peer(&self) -> Option<Address> {
        None
    }
}

impl<T: TransportStream + 'static> StreamCell for Cell<Option<T>> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        lend(self, |stream| stream.read(buffer)).unwrap_or_else(would_block)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        lend(self, |stream| stream.write(bytes)).unwrap_or_else(would_block)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        lend(self, |stream| stream.write_vectored(slices)).unwrap_or_else(would_block)
    }

    fn is_tcp(&self) -> bool {
        lend(self, |stream| is_tcp(stream)).unwrap_or(false)
    }

    fn is_unbuffered(&self) -> bool {
        is_unbuffered::<T>()
    }

    fn with(&self, call: &mut dyn FnMut(&mut dyn TransportStream)) -> bool {
        lend(self, |stream| call(stream)).is_some()
    }

    fn with_any(&self, call: &mut dyn FnMut(&mut dyn Any)) {
        lend(self, |stream| call(stream));
    }

    fn take(&self) -> Option<Box<dyn Any>> {
        Cell::take(self).map(|stream| Box::new(stream) as Box<dyn Any>)
    }

    fn close(&self) {
        drop(Cell::take(self));
    }
}

#[cold]
fn would_block() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[inline]
fn lend<T, R>(cell: &Cell<Option<T>>, call: impl FnOnce(&mut T) -> R) -> Option<R> {
    let mut lent = Lent { cell, stream: cell.take() };
    lent.stream.as_mut().map(call)
}

/// A stream in use. Its drop puts the stream back, even after a panic, because the kernel still
/// watches its descriptor.
struct Lent<'a, T> {
    cell: &'a Cell<Option<T>>,
    stream: Option<T>,
}

impl<T> Drop for Lent<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // A nested call finds no stream, and leaves the cell to the outer call.
        if let Some(stream) = self.stream.take() {
            self.cell.set(Some(stream));
        }
    }
}

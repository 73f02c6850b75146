//! Where a transport keeps its stream.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, IoSlice};

use mainspring_sys::socket::Address;

use crate::net::stream::{TransportStream, is_tcp, is_unbuffered};

/// The place of a stream that can be closed while handles to it remain.
///
/// The stream is out of its place while it is used: one of the user's own may call back here. Then
/// there is nothing to read and no room to write.
pub(crate) trait Slot {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// As [`is_tcp`].
    fn is_tcp(&self) -> bool;

    /// Same as [`is_unbuffered`].
    fn is_unbuffered(&self) -> bool;

    /// Uses the stream for anything else. False if it is not in its place.
    fn with(&self, call: &mut dyn FnMut(&mut dyn TransportStream)) -> bool;

    /// [`with`](Slot::with) for the type of the stream.
    fn with_any(&self, call: &mut dyn FnMut(&mut dyn Any));

    /// Takes the stream out for good.
    fn take(&self) -> Option<Box<dyn Any>>;

    /// Closes the stream.
    fn close(&self) {
        drop(self.take());
    }

    /// The address of the peer, where it was kept.
    fn peer(&self) -> Option<Address> {
        None
    }
}

impl<T: TransportStream + 'static> Slot for Cell<Option<T>> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        lend(self, |stream| stream.read(buffer)).unwrap_or_else(nothing)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        lend(self, |stream| stream.write(bytes)).unwrap_or_else(nothing)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        lend(self, |stream| stream.write_vectored(slices)).unwrap_or_else(nothing)
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
fn nothing() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[inline]
fn lend<T, R>(place: &Cell<Option<T>>, call: impl FnOnce(&mut T) -> R) -> Option<R> {
    let mut lent = Lent { place, stream: place.take() };
    lent.stream.as_mut().map(call)
}

/// A stream that is in use. It goes back to its place also when the use ends in a panic: the kernel
/// still knows it.
struct Lent<'a, T> {
    place: &'a Cell<Option<T>>,
    stream: Option<T>,
}

impl<T> Drop for Lent<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // If it was not there, somebody else will put it back.
        if let Some(stream) = self.stream.take() {
            self.place.set(Some(stream));
        }
    }
}

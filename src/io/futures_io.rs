//! The traits of the crate `futures-io` for [`Io`].

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use mainspring_sys::Interest;
use mainspring_sys::error_class::end_of_terminal;

use super::source::Io;

impl<T: AsFd> AsyncRead for Io<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = |source: &T| super::bytes::read(source, buffer);
        self.poll_transfer_part(|| "poll_read", cx, Interest::READABLE, read)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = |mut source: &T| {
            let read = source.read_vectored(buffers);
            end_of_terminal(source.as_fd(), read)
        };
        self.poll_transfer_part(|| "poll_read_vectored", cx, Interest::READABLE, read)
    }
}

impl<T> AsyncWrite for Io<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |mut source: &T| source.write(bytes);
        self.poll_transfer_part(|| "poll_write", cx, Interest::WRITABLE, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |mut source: &T| source.write_vectored(slices);
        self.poll_transfer_part(|| "poll_write_vectored", cx, Interest::WRITABLE, write)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_with(cx, |mut source| source.flush())
    }

    /// Flushes only. Dropping the source closes it.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

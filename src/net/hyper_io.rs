//! Poll functions of connected sockets for hyper's traits.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use mainspring_sys::{Interest, socket};

use super::connected::ConnectedSocket;
use super::socket::Socket;
use crate::event_loop::read_buffer::ReadBuffer;
use crate::task::current;

impl ConnectedSocket {
    /// Polls a read of at most `max` bytes into the loop's read buffer, and passes them to `take`.
    pub(crate) fn poll_read_shared(
        &self,
        cx: &mut Context<'_>,
        max: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<()>> {
        let tasks = current::running_for("mainspring::net::ConnectedSocket::poll_read")?;
        let mut buffer = ReadBuffer::of(&tasks.core);
        let wanted = max.min(buffer.len());
        let read = self.poll_read(cx, &mut buffer[..wanted]);
        read.map_ok(|count| take(&buffer[..count]))
    }

    /// Polls a write of several slices. A short write means that the socket is full, as with
    /// [`poll_write`](ConnectedSocket::poll_write).
    pub(crate) fn poll_write_slices(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let send = |socket: &Socket| socket::send_vectored(socket, slices);
        self.io().poll_transfer(|| "poll_write", cx, Interest::WRITABLE, wanted, send)
    }
}

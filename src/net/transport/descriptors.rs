//! Descriptors over a transport.

use std::io;
use std::os::fd::OwnedFd;

use mainspring_sys::socket::check_fds;

use super::Transport;
use super::flags::Flags;
use crate::error::{Error, Result};
use crate::net::fd_stream::FdStream;

impl Transport {
    /// Writes `data` like [`write`](Transport::write), with `fds` attached to the first byte. They
    /// stay in order with the bytes, and are closed here when they are sent.
    ///
    /// The stream must be an [`FdStream`]. Descriptors in the queue count for no water mark. They
    /// are closed if the connection ends before they are sent.
    ///
    /// # Errors
    ///
    /// [`Error::WriteClosed`] after [`close`](Transport::close) or
    /// [`shutdown_write`](Transport::shutdown_write), and after the end of the connection.
    /// `InvalidInput` for a stream of another type, for more than [`MAX_FDS`](crate::net::MAX_FDS)
    /// descriptors, and for descriptors without a byte. Then nothing is written, and the
    /// descriptors are closed.
    pub fn send_fds(&self, data: &[u8], fds: Vec<OwnedFd>) -> Result<()> {
        if self.state.has(Flags::NO_WRITE) {
            return Err(Error::WriteClosed { fd: self.state.fd, bytes: data.len() });
        }
        check_fds(data, fds.len())?;
        let queued = self.queued();
        let attach = |stream: &mut FdStream| {
            if !fds.is_empty() {
                stream.attach_fds(queued, fds);
            }
        };
        self.with_stream(attach)?;
        self.write(data);
        Ok(())
    }

    /// Takes the descriptors that were received and not taken yet, in the order in which they were
    /// sent. Each is close-on-exec.
    ///
    /// Call it in [`data_received`](crate::net::Protocol::data_received): descriptors arrive with
    /// the call that gets the first byte of their message. Bytes sent before that may precede it in
    /// the same call.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the stream is not an [`FdStream`]; `NotConnected` when it is closed.
    pub fn take_fds(&self) -> io::Result<Vec<OwnedFd>> {
        self.with_stream(|stream: &mut FdStream| stream.take_fds())
    }
}

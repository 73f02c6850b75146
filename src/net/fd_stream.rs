//! The stream of a transport that passes descriptors.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mainspring_sys::socket::{self, MAX_FDS};

use super::socket::Socket;
use super::transport_stream::TransportStream;

/// A Unix stream that passes descriptors, for a [`Transport`](super::Transport).
///
/// [Attach](crate::LoopHandle::attach) it to a protocol. Then
/// [`send_fds`](super::Transport::send_fds) sends descriptors along with bytes, in the order of the
/// queue. [`take_fds`](super::Transport::take_fds) returns the descriptors that came with the
/// input. Other transports provide no room for descriptors, so the kernel closes those that a peer
/// sends.
///
/// A peer could fill the descriptor table of this process by sending more descriptors than the
/// protocol takes. So the stream holds at most 253 untaken descriptors, or a custom
/// [limit](FdStream::with_limit). One more is an error that ends the connection.
///
/// For a connection that a server has accepted, [take](super::Transport::take_stream) its stream in
/// [`connection_made`](super::Protocol::connection_made) and attach it as an `FdStream`.
///
/// ```
/// use mainspring::{EventLoop, net::FdStream};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let mut el = EventLoop::with_state(String::new())?;
/// el.attach(FdStream::new(theirs), |_el, text, conn, data| {
///     assert_eq!(data, b"a file");
///     for fd in conn.take_fds()? {
///         std::io::PipeReader::from(fd).read_to_string(text)?;
///     }
///     Ok(())
/// })?;
/// let (reader, mut writer) = std::io::pipe()?;
/// writer.write_all(b"contents")?;
/// drop(writer);
/// let conn = el.attach(FdStream::new(ours), |_, _, _, _| Ok(()))?;
/// conn.send_fds(b"a file", vec![reader.into()])?;
/// conn.close();
/// el.run()?;
/// assert_eq!(el.state(), "contents");
/// # Ok::<(), mainspring::Error>(())
/// ```
pub struct FdStream {
    socket: Socket,
    limit: usize,
    outgoing: RefCell<Outgoing>,
    /// Descriptors that were received and not taken.
    received: RefCell<Vec<OwnedFd>>,
}

/// Descriptors that wait for their bytes.
#[derive(Default)]
struct Outgoing {
    /// Number of bytes that the kernel has accepted.
    sent: u64,
    /// Descriptors, each group with the number of bytes before its first byte.
    groups: VecDeque<(u64, Vec<OwnedFd>)>,
}

impl FdStream {
    /// Takes over a connected Unix socket: of std, of a task, or a [`Socket`].
    pub fn new(socket: impl Into<OwnedFd>) -> FdStream {
        FdStream::with_limit(MAX_FDS, socket)
    }

    /// Like [`new`](FdStream::new), but holds at most `limit` received descriptors that were not
    /// taken.
    pub fn with_limit(limit: usize, socket: impl Into<OwnedFd>) -> FdStream {
        FdStream {
            socket: Socket::new(socket.into()),
            limit,
            outgoing: RefCell::default(),
            received: RefCell::default(),
        }
    }

    /// Attaches `fds` to the byte that follows `queued` more bytes.
    pub(super) fn attach_fds(&self, queued: usize, fds: Vec<OwnedFd>) {
        let mut outgoing = self.outgoing.borrow_mut();
        let position = outgoing.sent + queued as u64;
        outgoing.groups.push_back((position, fds));
    }

    /// Takes the received descriptors, oldest first.
    pub(super) fn take_fds(&self) -> Vec<OwnedFd> {
        mem::take(&mut self.received.borrow_mut())
    }

    /// Sends once: bytes up to the next descriptors, or those descriptors with their first bytes.
    fn send_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = self.outgoing.borrow_mut();
        let Outgoing { sent, groups } = &mut *outgoing;
        let is_due = groups.front().is_some_and(|(position, _)| *position <= *sent);
        let next = groups.get(usize::from(is_due));
        let room = next.map_or(u64::MAX, |(position, _)| *position - *sent);
        let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let count = if is_due {
            let fds: Vec<BorrowedFd<'_>> = groups[0].1.iter().map(AsFd::as_fd).collect();
            socket::send_fds(&self.socket, bytes, &fds)?
        } else {
            socket::send(&self.socket, bytes)?
        };
        *sent += count as u64;
        if is_due {
            groups.pop_front();
        }
        Ok(count)
    }
}

impl TransportStream for FdStream {
    /// Reads once, with the descriptors of at most one message.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (count, fds) = socket::recv_fds(&self.socket, buffer)?;
        if !fds.is_empty() {
            let mut received = self.received.borrow_mut();
            let held = received.len() + fds.len();
            if held > self.limit {
                let limit = self.limit;
                let message =
                    format!("{held} descriptors were not taken: at most {limit} are held");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            received.extend(fds);
        }
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.send_some(&bytes[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                // The next call returns the error again.
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.outgoing.borrow().groups.is_empty() {
            let count = socket::send_vectored(&self.socket, slices)?;
            self.outgoing.borrow_mut().sent += count as u64;
            return Ok(count);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Ok(0), |slice| self.write(slice))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        socket::shutdown_write(&self.socket)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn has_buffered(&self) -> bool {
        false
    }
}

impl From<FdStream> for OwnedFd {
    fn from(stream: FdStream) -> OwnedFd {
        stream.socket.into()
    }
}

impl fmt::Debug for FdStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, queued) = (self.received.borrow().len(), self.outgoing.borrow().groups.len());
        write!(f, "FdStream({:?}, {held} received, {queued} groups to send)", self.socket)
    }
}

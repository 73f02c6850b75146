//! The beginning of a transport: the cell for its stream, and the registration of its descriptors.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use mainspring_sys::socket::Address;
use mainspring_sys::{Interest, TriggerMode};

use super::Transport;
use super::accepted::Accepted;
use super::flags::Flags;
use super::shared_file::{SharedFile, SharedFileCell};
use super::state::TransportState;
use crate::error::Result;
use crate::event_loop::loop_core::LoopCore;
use crate::handle::Key;
use crate::net::socket::Socket;
use crate::net::transport_stream::TransportStream;
use crate::watchers::{Registration, Role, WatcherId};

impl Transport {
    /// Creates the transport of `stream` for a callback with the key `key`. The stream is not
    /// watched yet.
    pub(crate) fn new<T: TransportStream + 'static>(
        core: Rc<LoopCore>,
        stream: T,
        key: Key,
    ) -> Transport {
        let fd = stream.reader().as_raw_fd();
        Transport { state: Rc::new(TransportState::new(core, key, fd, Cell::new(Some(stream)))) }
    }

    /// Creates the transport of a stream with files that other processes share.
    pub(crate) fn shared<T: TransportStream + 'static>(
        core: Rc<LoopCore>,
        file: SharedFile<T>,
        key: Key,
    ) -> Transport {
        let fd = file.reader().as_raw_fd();
        Transport { state: Rc::new(TransportState::new(core, key, fd, SharedFileCell::new(file))) }
    }

    /// Creates the transport of a socket that was accepted from `peer`.
    pub(crate) fn accepted(
        core: Rc<LoopCore>,
        socket: Socket,
        peer: &Address,
        key: Key,
    ) -> Transport {
        let fd = socket.as_fd().as_raw_fd();
        let cell = Accepted::new(socket, peer);
        Transport { state: Rc::new(TransportState::new(core, key, fd, cell)) }
    }

    /// Returns true for TCP. Its reads stop short only where the kernel reports it: at urgent data
    /// and before the end. Reads of Unix sockets also stop short at passed descriptors.
    pub(crate) fn is_tcp(&self) -> bool {
        self.state.stream.is_tcp()
    }

    /// Watches a TCP stream edge-triggered if the selector supports it.
    pub(crate) fn prefer_edges(&self) {
        if self.state.core.watchers.borrow_mut().selector().has_edges() {
            self.state.set(Flags::EDGE);
        }
    }

    /// Begins to watch the stream. Returns the registration of its reader.
    pub(crate) fn watch(&self) -> Result<WatcherId> {
        let state = &*self.state;
        let mut writer = None;
        state.stream.with(&mut |stream| writer = stream.writer().map(|fd| fd.as_raw_fd()));
        let role = if writer.is_some() { Role::Reader } else { Role::Both };
        let mode = if state.has(Flags::EDGE) { TriggerMode::Edge } else { TriggerMode::Level };
        let watch = |fd, role, interest| {
            state.core.register(fd, Registration::owned(state.key, role, interest, mode))
        };
        let wanted = state.interest_of_flags();
        let reading = watch(state.fd, role, wanted)?;
        state.watches.set([Some(reading), None]);
        if let Some(fd) = writer {
            state.set(Flags::TWO_FDS);
            // Without interest, so not in the kernel, until something is queued.
            let writing = watch(fd, Role::Writer, Interest::empty());
            state.watches.set([Some(reading), Some(writing.inspect_err(|_| state.unwatch())?)]);
        }
        state.interest.set(wanted);
        if !state.stream.is_unbuffered() {
            state.set(Flags::CUSTOM);
            state.check_stream_buffer(); // A TLS stream may hold input since its handshake.
        }
        Ok(reading)
    }
}

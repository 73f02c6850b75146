//! A datagram endpoint: a datagram socket that the loop reads and writes.
//!
//! The loop receives in batches, into memory that all endpoints of a loop share, and calls the
//! protocol for each datagram. A datagram is sent at once; only those that the kernel does not
//! accept are queued, and only then is the socket watched for writing.
//!
//! # Invariants
//!
//! * The interest registered in the kernel is what `EndpointState::wanted_interest` returns.
//! * Datagrams are sent in the order of the calls: none is sent directly while others are queued.
//! * A batch that was received is passed on whole, unless the endpoint is closed: a pause and a
//!   panic keep the rest.
//! * After `DONE` is set nothing is received or sent; `connection_lost` follows.
//! * The socket is level-triggered: a run that leaves datagrams gets another event.

mod output;
mod queue;
mod receive;
mod state;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use mainspring_sys::TriggerMode;
use mainspring_sys::socket::{self, Address, DatagramFeatures, DatagramOptions, Outgoing};

pub(super) use self::receive::RunUsage;
pub(super) use self::state::{EndpointState, Flags};
use super::into_address::IntoAddress;
use crate::error::Result;
use crate::event_loop::loop_core::LoopCore;
use crate::handle::{Handle, Key};
use crate::watchers::{Registration, Role, WatcherId};

/// Handle of a datagram endpoint, to send datagrams and to close it. Clones refer to the same
/// endpoint.
///
/// A transport may outlive its endpoint: sending through a closed one does nothing.
#[derive(Clone)]
pub struct DatagramTransport {
    state: Rc<EndpointState>,
}

impl DatagramTransport {
    /// Creates the transport of `socket` for a callback with the key `key`. The socket is not
    /// watched yet.
    pub(super) fn new(core: Rc<LoopCore>, key: Key, socket: OwnedFd, is_unix: bool) -> Self {
        let fd = socket.as_raw_fd();
        DatagramTransport { state: Rc::new(EndpointState::new(core, key, fd, socket, is_unix)) }
    }

    /// Returns the shared state, for the runs of the callback.
    #[inline]
    pub(super) fn state(&self) -> &EndpointState {
        &self.state
    }

    /// Begins to watch the socket.
    pub(super) fn watch(&self) -> Result<WatcherId> {
        let (state, wanted) = (&*self.state, self.state.wanted_interest());
        let registration = Registration::owned(state.key, Role::Both, wanted, TriggerMode::Level);
        let watch = state.core.register(state.fd, registration)?;
        state.begin_watching(watch, wanted);
        Ok(watch)
    }

    /// Has `connection_made` called in the next tick.
    pub(super) fn announce(&self) {
        self.state.set(Flags::UNANNOUNCED);
        self.state.feed();
    }

    /// Sends a datagram to `to`: at once if the kernel accepts it, otherwise from the queue. Never
    /// blocks and never fails because of a full buffer.
    ///
    /// An error of the datagram goes to
    /// [`error_received`](super::DatagramProtocol::error_received), in the next tick, and the
    /// endpoint continues. After [`close`](DatagramTransport::close) the datagram is dropped.
    pub fn send_to(&self, bytes: &[u8], to: &Address) {
        self.state.send(bytes, Some(to));
    }

    /// Sends a datagram to the connected peer, like [`send_to`](DatagramTransport::send_to).
    pub fn send(&self, bytes: &[u8]) {
        self.state.send(bytes, None);
    }

    /// Sends datagrams in their order, with one system call for up to 64 of them where the kernel
    /// has sendmmsg(2). Each may have an ECN codepoint, a local address, and segments. Otherwise
    /// like [`send_to`](DatagramTransport::send_to).
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use mainspring::net::Outgoing;
    ///
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// let server = el.bind_datagram("127.0.0.1:0", |_el, seen: &mut Vec<u8>, server, datagram| {
    ///     seen.extend(datagram.bytes);
    ///     if seen.len() == 9 {
    ///         server.close();
    ///     }
    ///     Ok(())
    /// })?;
    /// let to = server.local_addr()?;
    /// // The second one is split, by the kernel if it can.
    /// let split = Outgoing::new(b"twotri").to(&to).segment(3);
    /// server.send_batch(&[Outgoing::new(b"one").to(&to), split]);
    /// el.run()?;
    /// assert_eq!(el.state(), b"onetwotri");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn send_batch(&self, datagrams: &[Outgoing<'_>]) {
        self.state.send_all(datagrams);
    }

    /// Sends to `peer` from now on, and receives only from there. Does not wait.
    ///
    /// # Errors
    ///
    /// The errors of connect(2); `NotConnected` after the end of the endpoint.
    pub fn connect(&self, peer: impl IntoAddress) -> io::Result<()> {
        let peer = peer.into_address()?;
        self.state.with_socket(|socket| socket::set_peer(socket, &peer))
    }

    /// Enables the features of `options` that the kernel supports for this socket. Returns all
    /// enabled features.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use mainspring::net::DatagramOptions;
    ///
    /// let el = EventLoop::new()?;
    /// let endpoint = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(()))?;
    /// let features = endpoint.enable(&DatagramOptions { ecn: true, ..Default::default() })?;
    /// assert_eq!(endpoint.features(), features);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NotConnected` after the end of the endpoint.
    pub fn enable(&self, options: &DatagramOptions) -> io::Result<DatagramFeatures> {
        let enabled =
            self.state.with_socket(|socket| socket::enable_datagram_features(socket, options))?;
        let features = self.state.features.get().union(enabled);
        self.state.features.set(features);
        Ok(features)
    }

    /// Returns the enabled features.
    pub fn features(&self) -> DatagramFeatures {
        self.state.features.get()
    }

    /// Returns the address of the socket.
    ///
    /// # Errors
    ///
    /// The errors of getsockname(2); `NotConnected` after the end of the endpoint.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.state.with_socket(|socket| socket::local_addr(socket))
    }

    /// Returns the size of the queue in bytes. Each datagram counts as its length plus 64 bytes.
    pub fn queued(&self) -> usize {
        self.state.queue.borrow().size()
    }

    /// Sets the water marks of the queue in bytes, as [`queued`](DatagramTransport::queued) counts
    /// them. Above `high`, [`pause_writing`](super::DatagramProtocol::pause_writing) is called; at
    /// `low` or below, [`resume_writing`](super::DatagramProtocol::resume_writing). Default: 16 KiB
    /// and 64 KiB.
    ///
    /// # Panics
    ///
    /// If `low` is above `high`.
    #[track_caller]
    pub fn set_water_marks(&self, low: u32, high: u32) {
        assert!(low <= high, "the low-water mark must not be above the high-water mark");
        self.state.water_marks.set((low, high));
        if self.state.crossed_mark().is_some() {
            self.state.feed();
        }
    }

    /// Returns the low and the high water mark of the queue, in bytes.
    pub fn water_marks(&self) -> (u32, u32) {
        self.state.water_marks.get()
    }

    /// Stops receiving until [`resume_reading`](DatagramTransport::resume_reading). No further
    /// datagram is delivered; those already received are kept. The kernel drops UDP datagrams while
    /// its buffer is full.
    pub fn pause_reading(&self) {
        self.state.set(Flags::READ_PAUSED);
        self.state.sync_interest();
    }

    /// Continues receiving after [`pause_reading`](DatagramTransport::pause_reading).
    pub fn resume_reading(&self) {
        self.resume(Flags::READ_PAUSED);
    }

    /// Stops receiving until the queue is short again, whether or not the user pauses and resumes
    /// meanwhile. Does nothing if the queue is not long.
    pub(crate) fn hold_reading(&self) {
        if self.state.has(Flags::WRITING_PAUSED) {
            self.state.set(Flags::READ_HELD);
            self.state.sync_interest();
        }
    }

    /// Continues receiving, unless the user has paused it.
    pub(crate) fn release_reading(&self) {
        self.resume(Flags::READ_HELD);
    }

    fn resume(&self, flag: Flags) {
        self.state.unset(flag);
        self.state.sync_interest();
        if self.state.has_more_to_do() {
            self.state.feed();
        }
    }

    /// Returns true if datagrams are received: not paused and not closing.
    pub fn is_reading(&self) -> bool {
        !self.state.has(Flags::NO_READ)
    }

    /// Closes the endpoint after the queue is sent, and the errors of its datagrams were passed to
    /// [`error_received`](super::DatagramProtocol::error_received). Received datagrams are dropped.
    ///
    /// If sending takes more than a minute, as with a Unix receiver that does not read, the rest of
    /// the queue is dropped with the error [`TimedOut`](crate::Error::TimedOut).
    pub fn close(&self) {
        self.state.close();
    }

    /// Closes the endpoint at once. The queue and the errors of sent datagrams are dropped.
    pub fn abort(&self) {
        self.state.abort();
    }

    /// Returns true if the endpoint is closing or over.
    pub fn is_closing(&self) -> bool {
        self.state.has(Flags::NO_WRITE)
    }

    /// Returns the handle of the endpoint in its loop, to [name](crate::LoopHandle::set_name) it or
    /// to [put it in the background](crate::LoopHandle::set_background). Cancelling the handle
    /// closes the socket and drops the protocol without `connection_lost`.
    pub fn handle(&self) -> Handle {
        Handle { key: self.state.key, loop_id: self.state.core.loop_id }
    }
}

impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatagramTransport(fd {}, {:?})", self.state.fd, self.state.flags.get())
    }
}

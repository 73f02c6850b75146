//! Sockets: the functions that [`std::net`] lacks for an event loop.
//!
//! Non-blocking connect, accept with classified errors, Unix addresses of all kinds, and options.
//! For everything that std has (reading, writing, multicast), convert the descriptor:
//! `TcpStream::from(fd)`.
//!
//! # Invariants
//!
//! * Every socket that this module creates is close-on-exec and non-blocking before any other code
//!   gets it. Where the kernel supports it, the call that creates the socket sets both.
//! * No call of this module raises SIGPIPE: it returns the error `EPIPE` instead.
//! * No address is truncated: one that does not fit is an error.

mod accept;
mod accept_queue;
mod address;
mod bind;
mod connect;
mod control;
mod credentials;
mod datagram;
mod descriptors;
mod endpoints;
mod host_name;
mod keepalive;
mod kind;
mod open;
mod option;
mod parse_error;
mod send_file;
mod seqpacket;
mod socket_file;
mod text;
mod transfer;
mod unix;
mod unread;

pub use accept::{AcceptError, ReserveFd, accept};
pub use accept_queue::{AcceptQueue, accept_queue};
pub use address::Address;
pub use bind::{BindOptions, ListenOptions, bind_datagram, listen, prepare_listener};
pub use connect::{Connecting, connect, connect_datagram, connect_from, finish_connect, set_peer};
pub use credentials::{PeerCredentials, peer_credentials};
pub use datagram::{
    Datagram, DatagramBatch, DatagramFeatures, DatagramOptions, Ecn, Outgoing, SendBatch,
    SendProgress, enable_datagram_features, max_segments,
};
pub use descriptors::{LostFds, MAX_FDS, check_fds, recv_fds, send_fds};
pub use endpoints::{local_addr, local_addr_of_fd, peer_addr, peer_addr_of_fd};
pub use host_name::host_name;
#[allow(deprecated)]
pub use keepalive::set_linger;
pub use keepalive::{
    KeepaliveTimes, keepalive, keepalive_times, linger, set_keepalive, set_keepalive_times,
    set_linger_zero, set_user_timeout, user_timeout,
};
pub use kind::SocketKind;
pub use open::{shutdown_write, shutdown_write_if_connected};
pub(crate) use option::is_listening;
pub use option::{
    is_datagram, nodelay, recv_buffer, reuse_address, reuse_port, send_buffer, set_nodelay,
    set_recv_buffer, set_reuse_address, set_reuse_port, set_send_buffer, set_v6_only, take_error,
    v6_only,
};
pub use send_file::send_file;
pub use seqpacket::{connect_seqpacket, has_seqpacket, listen_seqpacket, seqpacket_pair};
pub use socket_file::SocketFile;
pub use transfer::{peek, peek_from, recv, recv_from, recv_vectored, send, send_to, send_vectored};
pub use unix::UnixAddress;
pub use unread::unread_input;

/// Returns the configuration of a random test with this number of cases, or with 20 under Miri.
#[cfg(test)]
fn cases(count: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: if cfg!(miri) { 20 } else { count },
        failure_persistence: None,
        ..Default::default()
    }
}

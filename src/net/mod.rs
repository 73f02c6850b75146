//! Networking: transports, protocols and servers for callbacks, and sockets for tasks.
//!
//! # Sockets for tasks
//!
//! [`TcpListener`] and [`UnixListener`] listen, [`TcpStream`] and [`UnixStream`] are streams, and
//! [`UdpSocket`] and [`UnixDatagram`] send datagrams. [`UnixSeqpacket`] is connected and keeps
//! message boundaries.
//!
//! | | listeners | streams | datagrams |
//! |---|---|---|---|
//! | bind | `bind`, `bind_with` | | `bind`, `bind_with` |
//! | connect | | `connect`, `connect_from`, `connect_timeout` | `connect` |
//! | only TCP | | `connect_any`, `connect_host` | |
//! | only Unix | | `pair` | `pair`, `unbound` |
//! | from std | `from_std`, `TryFrom` | `from_std`, `TryFrom` | `from_std`, `TryFrom` |
//! | to std | `into_std`, `From` | `into_std`, `From`, `into_socket` | `into_std`, `From` |
//! | descriptor | `AsFd`, `Into<OwnedFd>` | `AsFd`, `Into<OwnedFd>` | `AsFd`, `Into<OwnedFd>` |
//! | addresses | `local_addr` | `local_addr`, `peer_addr` | `local_addr`, `peer_addr` |
//! | input | `accept` | `read`, `read_chunk` | `recv`, `recv_from` |
//! | peek | | `peek` | `peek`, `peek_from` |
//! | output | | `write`, `write_all`, `send_file`, `shutdown_write` | `send`, `send_to` |
//! | descriptors, only Unix | | `send_fds`, `recv_fds` | `send_fds`, `recv_fds` |
//! | batches | | | `recv_batch`, `send_batch`, `try_send_batch`, `max_segments` |
//! | metadata | | | `enable`, `features` |
//! | readiness | | `readable`, `writable`, `ready` | `readable`, `writable`, `ready` |
//! | other calls | | `try_io` | `try_io`, `io` |
//! | limits | `max_connections` | [`timeout`](crate::timeout) | [`timeout`](crate::timeout) |
//! | buffers | | `send_buffer`, `recv_buffer` | `send_buffer`, `recv_buffer` |
//! | errors | `take_error` | `take_error` | `take_error` |
//!
//! The methods that TCP and Unix streams share are on [`ConnectedSocket`]. Each option has a setter
//! and a getter.
//!
//! # Passing descriptors
//!
//! Unix sockets pass descriptors to other processes: with the methods `send_fds` and `recv_fds` in
//! tasks, and with this module's functions of the same names for a socket with
//! [`add_reader`](crate::LoopHandle::add_reader). A [`Transport`] passes them if its stream is an
//! [`FdStream`]. Received descriptors are close-on-exec from the start. Every other read closes the
//! descriptors that come with its bytes, so a peer cannot fill the descriptor table of a process
//! that expects none.
//!
//! # Errors
//!
//! Functions that open or accept a socket return [`Result`](crate::Result); its error contains the
//! address. Methods of an open socket return [`std::io::Result`].

mod accept_callback;
mod accept_policy;
mod accept_task;
mod async_io;
mod connect;
mod connect_callback;
mod connect_race;
mod connect_task;
mod connected;
mod connection;
mod connection_limit;
mod datagram;
mod datagram_endpoint;
mod datagram_protocol;
mod datagram_transport;
mod fd_stream;
#[cfg(feature = "futures-io")]
mod futures_io;
mod halves;
mod host;
#[cfg(feature = "hyper")]
mod hyper_io;
mod into_address;
mod listen;
mod lookup;
mod members;
mod one_way;
mod protocol;
mod send_file;
mod server;
mod socket;
mod socket_options;
mod std_conversions;
mod tcp_listener;
mod tcp_stream;
mod transport;
mod transport_stream;
mod udp_socket;
mod unix_datagram;
mod unix_listener;
mod unix_seqpacket;
mod unix_stream;

pub use mainspring_sys::error_class::{ErrorClass, Operation};
pub use mainspring_sys::socket::{
    Address, BindOptions, Datagram, DatagramBatch, DatagramFeatures, DatagramOptions, Ecn,
    KeepaliveTimes, ListenOptions, LostFds, MAX_FDS, Outgoing, PeerCredentials, SendProgress,
    SocketFile, UnixAddress, recv_fds, send_fds,
};

pub use self::connected::ConnectedSocket;
pub use self::datagram_protocol::DatagramProtocol;
pub use self::datagram_transport::DatagramTransport;
pub use self::fd_stream::FdStream;
pub use self::halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use self::host::Host;
pub use self::into_address::IntoAddress;
pub use self::listen::listen;
pub use self::lookup::{Lookup, lookup_host, lookup_name};
pub use self::one_way::{ReadOnly, WriteOnly};
pub use self::protocol::Protocol;
pub use self::server::Server;
pub use self::socket::Socket;
pub use self::tcp_listener::TcpListener;
pub use self::tcp_stream::TcpStream;
pub use self::transport::Transport;
pub use self::transport_stream::{PipePair, TransportStream};
pub use self::udp_socket::UdpSocket;
pub use self::unix_datagram::UnixDatagram;
pub use self::unix_listener::UnixListener;
pub use self::unix_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
pub use self::unix_stream::UnixStream;

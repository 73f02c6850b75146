//! Streams and servers: in callback style as transports, protocols and servers, and for tasks as
//! sockets to be read and written.

mod connect;
mod connection;
mod connections;
mod datagram;
mod dial;
#[cfg(feature = "futures-io")]
mod futures_io;
mod halves;
mod host;
mod into_address;
mod listening;
mod lookup;
mod protocol;
mod server;
mod socket;
mod stream;
mod stream_options;
mod stream_socket;
mod tcp;
mod transport;
mod udp;
mod unix;

pub use mainspring_sys::everyday::{Meaning, Operation};
pub use mainspring_sys::socket::{
    Address, BindOptions, KeepaliveTimes, ListenOptions, PeerCredentials, SocketFile, UnixAddress,
};

pub use self::halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use self::host::Host;
pub use self::into_address::IntoAddress;
pub use self::lookup::{Lookup, lookup_host, lookup_name};
pub use self::protocol::Protocol;
pub use self::server::{Server, listen};
pub use self::socket::Socket;
pub use self::stream::{PipePair, TransportStream};
pub use self::stream_socket::ConnectedSocket;
pub use self::tcp::{TcpListener, TcpStream};
pub use self::transport::Transport;
pub use self::udp::UdpSocket;
pub use self::unix::{UnixDatagram, UnixListener, UnixStream};

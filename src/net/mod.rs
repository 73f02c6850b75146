//! Streams and servers: in callback style as transports, protocols and servers, and for tasks as
//! sockets to be read and written.

mod connect;
mod connection;
mod dial;
#[cfg(feature = "futures-io")]
mod futures_io;
mod halves;
mod into_address;
mod listening;
mod lookup;
mod protocol;
mod server;
mod socket;
mod stream;
mod stream_socket;
mod tcp;
mod transport;
mod udp;
mod unix;

pub use mainspring_sys::socket::{Address, BindOptions, ListenOptions, UnixAddress};

pub use self::halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
pub use self::into_address::IntoAddress;
pub use self::lookup::{Host, Lookup, lookup_host};
pub use self::protocol::Protocol;
pub use self::server::{Server, listen};
pub use self::socket::Socket;
pub use self::stream::{PipePair, Stream};
pub use self::stream_socket::StreamSocket;
pub use self::tcp::{TcpListener, TcpStream};
pub use self::transport::Transport;
pub use self::udp::UdpSocket;
pub use self::unix::{UnixDatagram, UnixListener, UnixStream};

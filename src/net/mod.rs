//! Streams and servers in callback style: transports, protocols, listeners, connections.

mod connect;
mod connection;
mod lookup;
mod protocol;
mod server;
mod socket;
mod stream;
mod transport;

pub use mainspring_sys::socket::{Address, BindOptions, ListenOptions, UnixAddress};

pub use self::lookup::{Host, Lookup, lookup_host};
pub use self::protocol::Protocol;
pub use self::server::{Server, listen};
pub use self::socket::Socket;
pub use self::stream::{PipePair, Stream};
pub use self::transport::Transport;

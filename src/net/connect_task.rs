//! Connecting for tasks: one attempt, as a future.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::time::Duration;

use mainspring_sys::socket::{Address, Connecting};

use super::connect;
use super::connected::ConnectedSocket;
use super::socket::Socket;
use crate::error::Result;
use crate::structured::timeout;
use crate::task::budget;

/// Connects to `remote`, from the address `local` if there is one, for the caller at `location`.
/// Dropping the future closes the socket.
pub(super) async fn connect(
    local: Option<&Address>,
    remote: &Address,
    location: &'static Location<'static>,
) -> Result<ConnectedSocket> {
    let connected = attempt(local, remote, location).await;
    connected.map_err(|source| match local {
        Some(local) => connect::failed(format_args!("{remote} from {local}"), source),
        None => connect::failed(remote, source),
    })
}

/// Connects like [`connect`], but returns the bare error.
pub(super) async fn attempt(
    local: Option<&Address>,
    remote: &Address,
    location: &'static Location<'static>,
) -> io::Result<ConnectedSocket> {
    let wrap = match remote {
        Address::Inet(_) => ConnectedSocket::tcp,
        Address::Unix(_) => ConnectedSocket::unix,
    };
    budget::step().await; // A Unix socket connects at once, and a refusal may come at once.
    match connect::begin(local, remote)? {
        Connecting::Done(fd) => Ok(wrap(Socket::new(fd), location)),
        Connecting::InProgress(fd) => {
            let stream = wrap(Socket::new(fd), location);
            stream.write_with(|socket| connect::finish(socket)).await?;
            Ok(stream)
        }
    }
}

/// Limits connecting to `address` to the time `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    address: impl Display,
    connecting: impl Future<Output = Result<T>>,
) -> Result<T> {
    let in_time = timeout(limit, connecting).await;
    in_time.unwrap_or_else(|late| Err(connect::failed(address, late.into())))
}

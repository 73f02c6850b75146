//! The parts of connecting that callbacks and tasks share.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;

use mainspring_sys::socket::{self, Address, Connecting};

use crate::error::Error;

/// Begins to connect to `remote`, from the address `local` if there is one.
pub(super) fn begin(local: Option<&Address>, remote: &Address) -> io::Result<Connecting> {
    match local {
        Some(local) => socket::connect_from(remote, local),
        None => socket::connect(remote),
    }
}

/// Returns the outcome of an attempt after its socket became writable: `WouldBlock` if it is still
/// in progress.
pub(super) fn finish(socket: impl AsFd) -> io::Result<()> {
    match socket::finish_connect(socket)? {
        true => Ok(()),
        // A selector may report writability early, for example before the attempt begins.
        false => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Adds the address to an error of connecting.
pub(super) fn failed(address: impl Display, source: io::Error) -> Error {
    Error::Connect { address: address.to_string(), source }
}

//! Sockets of libcurl, which lends them as bare numbers.

use std::os::fd::BorrowedFd;

use curl::MultiError;
use curl::multi::{Multi, Socket, SocketEvents};

/// Sets the function that libcurl calls when its interest in a socket changes. It gets the number
/// as a name, and the socket itself for the call, except when libcurl removes it.
pub fn socket_function(
    multi: &mut Multi,
    mut function: impl FnMut(Socket, Option<BorrowedFd<'_>>, SocketEvents) + Send + 'static,
) -> Result<(), MultiError> {
    multi.socket_function(move |socket, events, _token| {
        // SAFETY: libcurl keeps a socket open while it passes it to this function and is interested
        // in it, and the borrow ends with the call.
        let lent = (!events.remove()).then(|| unsafe { BorrowedFd::borrow_raw(socket) });
        function(socket, lent, events);
    })
}

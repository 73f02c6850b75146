//! Host names of addresses.

use std::ffi::{CStr, c_char};
use std::io;
use std::net::SocketAddr;

use super::address::KernelAddress;

/// Size of the longest name that getnameinfo(3) returns (NI_MAXHOST), with its terminating zero.
const ROOM: usize = 1025;

/// Returns the name of the host that has `address`, by getnameinfo(3). Blocks for as long as the
/// resolver takes.
///
/// ```no_run
/// use mainspring_sys::socket::host_name;
///
/// assert_eq!(host_name(([127, 0, 0, 1], 0).into())?, "localhost");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `NotFound` if the address has no name; others with the resolver's message.
pub fn host_name(address: SocketAddr) -> io::Result<String> {
    let kernel = KernelAddress::new(&address.into());
    let mut name: [c_char; ROOM] = [0; ROOM];
    let length = ROOM as _;
    // SAFETY: `kernel` is readable for its length, `name` has room for `length` bytes, no service
    // is requested, and both outlive the call.
    let result = unsafe {
        libc::getnameinfo(
            kernel.as_ptr(),
            kernel.length(),
            name.as_mut_ptr(),
            length,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD as _,
        )
    };
    if result != 0 {
        return Err(failure(result));
    }
    let bytes: Vec<u8> =
        name.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    String::from_utf8(bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, "the name of the address is not UTF-8")
    })
}

fn failure(number: libc::c_int) -> io::Error {
    if number == libc::EAI_SYSTEM {
        return io::Error::last_os_error();
    }
    let kind = match number {
        libc::EAI_NONAME => io::ErrorKind::NotFound,
        libc::EAI_MEMORY => io::ErrorKind::OutOfMemory,
        _ => io::ErrorKind::Other,
    };
    // SAFETY: the call takes an integer and touches no memory of ours.
    let message = unsafe { libc::gai_strerror(number) };
    // SAFETY: gai_strerror(3) returns a static string for every number.
    let message = unsafe { CStr::from_ptr(message) };
    io::Error::new(kind, message.to_string_lossy())
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    /// Every resolver has a name for the loopback, or reports that it has none.
    #[test]
    fn the_loopback_has_a_name_or_none() {
        match host_name(([127, 0, 0, 1], 80).into()) {
            Ok(name) => assert!(!name.is_empty() && !name.starts_with("127."), "{name}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

//! Addresses of Unix sockets: a file, an abstract name, or none.

use std::ffi::OsStr;
use std::io;
use std::mem::{offset_of, size_of};
#[cfg(has_std_os_android)]
use std::os::android::net::SocketAddrExt;
#[cfg(has_std_os_linux)]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as StdAddress;
use std::path::{Path, PathBuf};

use super::parse_error::quoted;

/// Maximum length of a path or name in bytes. One byte is left for the zero after a path or before
/// a name.
const MAX_LENGTH: usize = size_of::<libc::sockaddr_un>() - PATH - 1;
const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);

/// The address of a Unix socket.
///
/// Its text is `unix:` and the path, `unix:@` and an abstract name, or `unix:(unnamed)`. After
/// `unix:`, unprintable bytes are escaped as in Rust's byte strings, for example `\\` and `\x1b`,
/// so that every address can be parsed back. Without `unix:`, a path, or a name after `@`, is taken
/// literally.
///
/// ```
/// # use mainspring_sys::socket::UnixAddress;
/// let address = UnixAddress::from_pathname("/run/daemon.sock")?;
/// assert_eq!(address.to_string(), "unix:/run/daemon.sock");
/// assert!(UnixAddress::from_pathname("/run/\0").is_err());
/// assert!(UnixAddress::from_pathname("x".repeat(200)).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnixAddress(Name);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Unnamed,
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl UnixAddress {
    /// Returns the address of a socket file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is empty, too long for the kernel, or contains a zero byte.
    /// It is never truncated.
    pub fn from_pathname(path: impl AsRef<Path>) -> io::Result<UnixAddress> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(invalid("the path of a socket cannot be empty".into()));
        }
        if bytes.contains(&0) {
            let path = quoted(&path.to_string_lossy());
            return Err(invalid(format!("the socket path {path} contains a zero byte")));
        }
        check_length("path", bytes)?;
        Ok(UnixAddress(Name::Path(path.to_owned())))
    }

    /// Returns the address of an abstract name, one outside the file system. The name disappears
    /// when the last socket that is bound to it is closed. All bytes are allowed.
    ///
    /// ```
    /// use mainspring_sys::socket::UnixAddress;
    ///
    /// if let Ok(address) = UnixAddress::from_abstract_name("daemon") {
    ///     assert_eq!(address.as_abstract_name(), Some(&b"daemon"[..]));
    ///     assert_eq!(address.to_string(), "unix:@daemon");
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is too long for the kernel; `Unsupported` if the system has
    /// no abstract names.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> io::Result<UnixAddress> {
        let name = name.as_ref();
        if !cfg!(has_abstract_unix) {
            let message = "this system has no abstract socket names";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        check_length("abstract name", name)?;
        Ok(UnixAddress(Name::Abstract(name.to_owned())))
    }

    /// Returns the address of a socket that is not bound. Binding to it makes the kernel choose an
    /// abstract name, if the system has them.
    pub fn unnamed() -> UnixAddress {
        UnixAddress(Name::Unnamed)
    }

    /// Returns the path, if it has one.
    pub fn as_pathname(&self) -> Option<&Path> {
        match &self.0 {
            Name::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Returns the abstract name, if it has one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Name::Abstract(name) => Some(name),
            _ => None,
        }
    }

    /// Returns true if it has neither a path nor a name.
    pub fn is_unnamed(&self) -> bool {
        self.0 == Name::Unnamed
    }

    /// Returns the contents of `sun_path`, with the zero after a path and before a name.
    pub(super) fn kernel_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Name::Unnamed => Vec::new(),
            Name::Path(path) => [path.as_os_str().as_bytes(), &[0]].concat(),
            Name::Abstract(name) => [&[0], &name[..]].concat(),
        }
    }

    pub(super) fn kernel_length(&self) -> usize {
        match &self.0 {
            Name::Unnamed => 0,
            Name::Path(path) => path.as_os_str().len() + 1,
            Name::Abstract(name) => name.len() + 1,
        }
    }

    /// Converts the contents of `sun_path`, up to the length that the kernel reported. A path may
    /// fill it without a terminating zero.
    pub(super) fn from_kernel_bytes(bytes: &[u8]) -> UnixAddress {
        let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        UnixAddress(match bytes {
            [0, name @ ..] if cfg!(has_abstract_unix) => Name::Abstract(name.to_owned()),
            _ if path.is_empty() => Name::Unnamed,
            _ => Name::Path(OsStr::from_bytes(path).into()),
        })
    }
}

impl From<StdAddress> for UnixAddress {
    /// Converts an address of std.
    ///
    /// ```
    /// use mainspring_sys::socket::UnixAddress;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// let address = UnixAddress::from(SocketAddr::from_pathname("/run/daemon.sock")?);
    /// assert_eq!(address, "/run/daemon.sock".parse()?);
    /// assert_eq!(SocketAddr::try_from(&address)?.as_pathname(), address.as_pathname());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn from(address: StdAddress) -> UnixAddress {
        #[cfg(has_abstract_unix)]
        if let Some(name) = address.as_abstract_name() {
            return UnixAddress(Name::Abstract(name.to_owned()));
        }
        let path = address.as_pathname().map(|path| Name::Path(path.to_owned()));
        UnixAddress(path.unwrap_or(Name::Unnamed))
    }
}

impl TryFrom<&UnixAddress> for StdAddress {
    type Error = io::Error;

    /// Converts an address to one of std.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path without room for a zero after it, which only a kernel can return.
    fn try_from(address: &UnixAddress) -> io::Result<StdAddress> {
        match &address.0 {
            Name::Unnamed => StdAddress::from_pathname(""),
            Name::Path(path) => StdAddress::from_pathname(path),
            #[cfg(has_abstract_unix)]
            Name::Abstract(name) => StdAddress::from_abstract_name(name),
            #[cfg(not(has_abstract_unix))]
            Name::Abstract(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl TryFrom<UnixAddress> for StdAddress {
    type Error = io::Error;

    fn try_from(address: UnixAddress) -> io::Result<StdAddress> {
        StdAddress::try_from(&address)
    }
}

fn check_length(name: &str, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() <= MAX_LENGTH {
        return Ok(());
    }
    let length = bytes.len();
    Err(invalid(format!("the {name} of a socket has {length} bytes; the maximum is {MAX_LENGTH}")))
}

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_std_are_converted_both_ways() {
        let mut addresses = vec![UnixAddress::unnamed()];
        addresses.push(UnixAddress::from_pathname("/run/daemon.sock").unwrap());
        if cfg!(has_abstract_unix) {
            addresses.push(UnixAddress::from_abstract_name(b"a\0b").unwrap());
        }
        for address in addresses {
            let std = StdAddress::try_from(&address).unwrap();
            assert_eq!(UnixAddress::from(std), address);
        }
    }
}

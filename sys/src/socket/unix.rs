//! Addresses of Unix sockets: a file, a name outside the file system, or none.

use std::ffi::OsStr;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::parse_error::quoted;

/// The most bytes of a path or name. One is left for the zero behind a path or in front of a name.
const LONGEST: usize = size_of::<libc::sockaddr_un>() - PATH - 1;
const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);

/// The address of a Unix socket.
///
/// As text: `unix:` and the path, `unix:@` and a name outside the file system, or `unix:(unnamed)`.
/// After `unix:` the bytes that cannot be shown are escaped as in Rust's byte strings, `\\` and
/// `\x1b` for example, so every address is read back from its text. Without `unix:` a path, or a
/// name after `@`, is taken literally.
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
    /// The address of a socket file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is empty, too long for the kernel, or has a zero byte in it.
    /// It is never cut.
    pub fn from_pathname(path: impl AsRef<Path>) -> io::Result<UnixAddress> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(invalid("the path of a socket cannot be empty".into()));
        }
        if bytes.contains(&0) {
            let path = quoted(&path.to_string_lossy());
            return Err(invalid(format!("the path {path} of a socket has a zero byte in it")));
        }
        check_length("path", bytes)?;
        Ok(UnixAddress(Name::Path(path.to_owned())))
    }

    /// The address of a name outside the file system, which goes when the last socket with it is
    /// closed. All bytes are allowed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is too long for the kernel; `Unsupported` where the system
    /// has no such names.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> io::Result<UnixAddress> {
        let name = name.as_ref();
        if !cfg!(has_abstract_unix) {
            let message = "this system has no socket names outside the file system";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        check_length("abstract name", name)?;
        Ok(UnixAddress(Name::Abstract(name.to_owned())))
    }

    /// The address of a socket that was not bound. To bind to it makes the kernel choose a name,
    /// where it has abstract ones.
    pub fn unnamed() -> UnixAddress {
        UnixAddress(Name::Unnamed)
    }

    /// The path, if it has one.
    pub fn as_pathname(&self) -> Option<&Path> {
        match &self.0 {
            Name::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The name outside the file system, if it has one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Name::Abstract(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it has neither a path nor a name.
    pub fn is_unnamed(&self) -> bool {
        self.0 == Name::Unnamed
    }

    /// What stands in `sun_path`, with the zero behind a path and in front of a name.
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

    /// Reads what the kernel wrote into `sun_path`, within the length that it told. A path may fill
    /// it without a zero.
    pub(super) fn from_kernel_bytes(bytes: &[u8]) -> UnixAddress {
        let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        UnixAddress(match bytes {
            [0, name @ ..] if cfg!(has_abstract_unix) => Name::Abstract(name.to_owned()),
            _ if path.is_empty() => Name::Unnamed,
            _ => Name::Path(OsStr::from_bytes(path).into()),
        })
    }
}

fn check_length(what: &str, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() <= LONGEST {
        return Ok(());
    }
    let length = bytes.len();
    Err(invalid(format!("the {what} of a socket has {length} bytes, more than {LONGEST}")))
}

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

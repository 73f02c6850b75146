//! Files of Unix sockets: taking over stale files, and removing a file when its socket is closed.
//!
//! bind(2) creates the file and no call removes it. So a daemon that was killed leaves it behind,
//! and the next one gets `AddrInUse`.
//!
//! # Invariants
//!
//! * A file is removed only if it is a socket, no socket of any process is bound to it, and it is
//!   still the file that was checked.
//! * Two processes that take over files in one directory do so one after the other.

#[cfg(has_flock)]
use std::fs::File;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf, absolute};
use std::process;
#[cfg(has_flock)]
use std::{thread, time::Duration};

use super::address::Address;
use super::connect::connect_datagram;
use super::endpoints::local_addr;
use super::unix::UnixAddress;

/// Pause between two attempts to lock a directory.
#[cfg(has_flock)]
const PAUSE: Duration = Duration::from_millis(1);
#[cfg(has_flock)]
// 100 ms in total: the holder of the lock only checks, removes and binds.
const ATTEMPTS: u32 = 100;

/// The file of a bound Unix socket. Dropping it removes the file, unless another process has
/// replaced the file in the meantime.
///
/// A process made by fork(2) removes nothing, because the file belongs to its parent.
///
/// ```
/// use mainspring_sys::socket::SocketFile;
/// use std::os::unix::net::UnixListener;
///
/// let path = std::env::temp_dir().join(format!("example-{}.sock", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let file = SocketFile::of(&listener)?;
/// assert!(file.is_current());
/// drop(file);
/// assert!(!path.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it removes the file"]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    owner: u32,
}

impl SocketFile {
    /// Returns the file that `socket` is bound to.
    ///
    /// A relative path is resolved now, because the working directory may change later.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket that is not bound to a path; the errors of getsockname(2) and
    /// lstat(2), `NotFound` if the file is gone already.
    pub fn of(socket: impl AsFd) -> io::Result<SocketFile> {
        let address = local_addr(socket)?;
        let Some(path) = path_of(&address) else {
            let message = format!("{address} is not the path of a socket");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        let path = absolute(path)?;
        let identity = identity(&fs::symlink_metadata(&path)?);
        Ok(SocketFile { path, identity, owner: process::id() })
    }

    /// Returns the absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true if the path still refers to the same file.
    pub fn is_current(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// Removes the file. Returns false if it does not exist any more or was replaced by another
    /// one.
    ///
    /// # Errors
    ///
    /// The errors of unlink(2): the directory is not writable.
    pub fn remove(self) -> io::Result<bool> {
        let removed = self.remove_current();
        self.keep();
        removed
    }

    /// Keeps the file, for a successor that was passed the socket.
    ///
    /// ```
    /// use mainspring_sys::socket::SocketFile;
    /// use std::os::unix::net::UnixListener;
    ///
    /// let path = std::env::temp_dir().join(format!("example-keep-{}.sock", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// SocketFile::of(&listener)?.keep();
    /// assert!(path.exists());
    /// assert!(SocketFile::of(&listener)?.remove()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn keep(self) {
        std::mem::forget(self);
    }

    fn remove_current(&self) -> io::Result<bool> {
        // In a forked child the file is the parent's.
        if self.owner != process::id() || !self.is_current() {
            return Ok(false);
        }
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A destructor cannot return the error. The next daemon takes the file over.
        let _ = self.remove_current();
    }
}

/// Creates a socket at `address` by `make`. If a stale file is in the way, removes the file and
/// tries again.
pub(super) fn replacing_stale<T>(
    address: &Address,
    make: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    let Some(path) = path_of(address) else { return make() };
    // Held until the socket is bound, so that no other process removes the new file.
    let _lock = lock(path)?;
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if remove_stale(path)? {
                make()
            } else {
                Err(error)
            }
        }
        made => made,
    }
}

fn path_of(address: &Address) -> Option<&Path> {
    address.as_unix()?.as_pathname()
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Removes a socket file that no socket is bound to. Returns false if the file is in use or not a
/// socket.
fn remove_stale(path: &Path) -> io::Result<bool> {
    let Some(found) = lstat(path)? else { return Ok(true) };
    if !found.file_type().is_socket() || is_bound(path)? {
        return Ok(false);
    }
    let Some(now) = lstat(path)? else { return Ok(true) };
    // Another process may have replaced the file during the check (without flock(2)).
    if identity(&now) != identity(&found) {
        return Ok(false);
    }
    fs::remove_file(path).map(|()| true)
}

fn lstat(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns true if some process has a socket bound to the file. Only ECONNREFUSED means no.
///
/// The check uses a datagram socket. A stream listener refuses it with EPROTOTYPE before anything
/// reaches its backlog, even between bind(2) and listen(2).
fn is_bound(path: &Path) -> io::Result<bool> {
    let address = UnixAddress::from_pathname(path)?.into();
    match connect_datagram(&address) {
        Err(error) => Ok(error.kind() != io::ErrorKind::ConnectionRefused),
        Ok(_) => Ok(true),
    }
}

/// Locks the directory of `path` (flock(2)) until the file is dropped, so that check and removal do
/// not overlap with those of another process.
#[cfg(has_flock)]
fn lock(path: &Path) -> io::Result<File> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = File::open(directory)?;
    for _ in 0..ATTEMPTS {
        match try_lock(&directory) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            result => return result.map(|()| directory),
        }
    }
    let message = "another process has locked the directory of the socket";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
}

#[cfg(has_flock)]
fn try_lock(directory: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let fd = directory.as_raw_fd();
    crate::syscall::retry(|| {
        // SAFETY: the call takes two integers and touches no memory of ours.
        crate::syscall::check(unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) })
    })
    .map(drop)
}

/// Without flock(2), only the identity of the file is checked.
#[cfg(not(has_flock))]
fn lock(_: &Path) -> io::Result<Option<std::fs::File>> {
    Ok(None)
}

//! Sending parts of files over sockets.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use super::transfer::send;

/// Maximum number of bytes that one call passes to the kernel.
const PIECE: usize = 256 * 1024;
/// Bytes that one call reads from a file that the kernel does not send itself.
const READ: usize = 16 * 1024;

/// Sends up to `count` bytes of `file`, from `offset` on. Returns the number of bytes: at most 256
/// KiB, fewer if the socket has less room, and 0 at the end of the file. The file position is
/// neither used nor changed.
///
/// On Linux sendfile(2) sends the pages of the file without copying them through this process.
/// Elsewhere, and for files that it refuses, a part is read and sent. Either way a read from the
/// disk blocks.
///
/// ```
/// use mainspring_sys::socket;
/// use std::fs::{self, File};
/// use std::os::unix::net::UnixStream;
///
/// let path = std::env::temp_dir().join(format!("example-{}.sent", std::process::id()));
/// fs::write(&path, "0123456789")?;
/// let (ours, theirs) = UnixStream::pair()?;
/// assert_eq!(socket::send_file(&ours, &File::open(&path)?, 6, 100)?, 4);
/// let mut received = [0; 16];
/// assert_eq!(socket::recv(&theirs, &mut received)?, 4);
/// assert_eq!(&received[..4], b"6789");
/// # fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of sendfile(2), pread(2) and send(2): `WouldBlock` if there is no room, `BrokenPipe`
/// if the peer is closed. SIGPIPE is not raised.
pub fn send_file(socket: impl AsFd, file: &File, offset: u64, count: usize) -> io::Result<usize> {
    let (socket, count) = (socket.as_fd(), count.min(PIECE));
    match kernel::send_file(socket, file, offset, count) {
        Some(result) => result,
        None => read_and_send(socket, file, offset, count),
    }
}

fn read_and_send(
    socket: BorrowedFd<'_>,
    file: &File,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut buffer = [0; READ];
    let length = file.read_at(&mut buffer[..count.min(READ)], offset)?;
    if length == 0 { Ok(0) } else { send(socket, &buffer[..length]) }
}

#[cfg(not(has_sendfile))]
mod kernel {
    use std::fs::File;
    use std::io;
    use std::os::fd::BorrowedFd;

    /// Returns `None`: the sendfile(2) of this system differs too much, or there is none.
    pub(super) fn send_file(
        _: BorrowedFd<'_>,
        _: &File,
        _: u64,
        _: usize,
    ) -> Option<io::Result<usize>> {
        None
    }
}

#[cfg(has_sendfile)]
mod kernel {
    use std::fs::File;
    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::ptr;

    use crate::signal::mask;
    use crate::syscall::{check, retry};

    /// Calls sendfile(2). Returns `None` if it does not support the file or the socket.
    pub(super) fn send_file(
        socket: BorrowedFd<'_>,
        file: &File,
        offset: u64,
        count: usize,
    ) -> Option<io::Result<usize>> {
        let mut offset = libc::off_t::try_from(offset).ok()?;
        let (socket, file) = (socket.as_raw_fd(), file.as_raw_fd());
        let call = || {
            // SAFETY: `offset` is writable and outlives the call, which touches no other memory.
            check(unsafe { libc::sendfile(socket, file, &raw mut offset, count) })
        };
        match without_sigpipe(|| retry(call)) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => None,
            result => Some(result.map(|count| count as usize)),
        }
    }

    /// Makes a call that has no flag against SIGPIPE. The signal is blocked in this thread
    /// meanwhile. The kernel sends it to the thread that writes, where it is taken after `EPIPE`.
    fn without_sigpipe<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        mask::with_blocked(libc::SIGPIPE, |was_blocked| {
            let was_pending = was_blocked && mask::contains(&pending(), libc::SIGPIPE);
            let result = call();
            if matches!(&result, Err(error) if error.kind() == io::ErrorKind::BrokenPipe)
                && !was_pending
            {
                take_sigpipe();
            }
            result
        })
    }

    /// Returns the signals that are pending for this thread.
    fn pending() -> libc::sigset_t {
        let mut set = mask::only(libc::SIGPIPE);
        // SAFETY: the set is writable and outlives the call.
        unsafe { libc::sigpending(&raw mut set) };
        set
    }

    /// Takes a pending SIGPIPE of this thread, if there is one: none is while it is ignored.
    fn take_sigpipe() {
        let set = mask::only(libc::SIGPIPE);
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: set and time outlive the call; the null pointer is allowed.
        unsafe { libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const now) };
    }
}

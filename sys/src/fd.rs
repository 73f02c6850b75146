//! Descriptors: pipes that are close-on-exec and non-blocking, flags, and the identity of files.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::syscall::{check, retry};

/// Lowest number of a descriptor that this crate creates.
///
/// Numbers 0 to 2 mean standard input, output and error even while they are closed: a program
/// prints to them, and daemon(3) puts `/dev/null` over them, whatever file they refer to by then.
const LOWEST: RawFd = 3;

/// Takes ownership of the descriptor that a call has just returned, and moves it above 2.
pub(crate) fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = owned_as_is(result)?;
    // The low number is closed with `fd`, and stays free for standard input, output or error.
    if fd.as_raw_fd() < LOWEST { duplicate(fd.as_fd()) } else { Ok(fd) }
}

/// Takes ownership of the two descriptors that a call has just created, and moves them above 2.
pub(crate) fn owned_pair(ends: [RawFd; 2]) -> io::Result<(OwnedFd, OwnedFd)> {
    // Both have an owner before the error of one returns.
    let (one, other) = (owned(ends[0]), owned(ends[1]));
    Ok((one?, other?))
}

/// Takes ownership of the descriptor that a call has just returned.
pub(crate) fn owned_as_is(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the call succeeded, so `fd` is open, and no other code has its number yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns a duplicate of `fd`, close-on-exec and above 2.
#[cold]
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    duplicate_from(fd, LOWEST)
}

/// Returns a duplicate of `fd`, close-on-exec, with the lowest free number from `lowest` on.
fn duplicate_from(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and touches no memory of ours.
    owned_as_is(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) })
}

/// Gives `fresh` the number `old`, which the caller owns, and closes the file that has it in this
/// process. Other processes keep that file.
///
/// The number may be free, in a child that has closed it or has not inherited it. Then `fresh` may
/// already have it.
pub(crate) fn replace(old: RawFd, fresh: OwnedFd) -> io::Result<()> {
    if fresh.as_raw_fd() == old {
        let _ = fresh.into_raw_fd(); // The owner of the number owns it.
        return Ok(());
    }
    let fresh = fresh.as_fd(); // Closed at the end, under its own number.
    #[cfg(has_atomic_cloexec)]
    // SAFETY: `fresh` is open, and `old` is the caller's; the call touches no memory of ours.
    check(unsafe { libc::dup3(fresh.as_raw_fd(), old, libc::O_CLOEXEC) })?;
    #[cfg(not(has_atomic_cloexec))]
    {
        // SAFETY: as above.
        check(unsafe { libc::dup2(fresh.as_raw_fd(), old) })?;
        // SAFETY: F_SETFD takes an integer and touches no memory of ours.
        check(unsafe { libc::fcntl(old, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    Ok(())
}

/// Like [`replace`], for two descriptors. If the old numbers are free, a new descriptor may have
/// the number of the other old one, so both are moved above the old numbers first.
pub(crate) fn replace_pair(old: [RawFd; 2], fresh: [OwnedFd; 2]) -> io::Result<()> {
    let lowest = old[0].max(old[1]) + 1;
    let moved = fresh.map(|fd| duplicate_from(fd.as_fd(), lowest));
    let [one, other] = moved;
    let (one, other) = (one?, other?); // From here on only dup2(2) can fail.
    replace(old[0], one)?;
    replace(old[1], other)
}

/// Creates a pipe, close-on-exec and non-blocking at both ends: (read end, write end).
///
/// ```
/// use mainspring_sys::fd;
/// use std::io::{PipeReader, Read};
///
/// let (reader, _writer) = fd::pipe()?;
/// let refused = PipeReader::from(reader).read(&mut [0]).unwrap_err();
/// assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of pipe(2): the process or the system is out of descriptors.
#[cfg(has_atomic_cloexec)]
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two numbers that the call writes.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    owned_pair(ends)
}

/// Creates a pipe, close-on-exec and non-blocking at both ends: (read end, write end).
///
/// # Errors
///
/// The errors of pipe(2): the process or the system is out of descriptors.
#[cfg(not(has_atomic_cloexec))]
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two numbers that the call writes.
    check(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
    let (reader, writer) = owned_pair(ends)?;
    for end in [reader.as_fd(), writer.as_fd()] {
        set_cloexec(end)?;
        set_nonblocking(end, true)?;
    }
    Ok((reader, writer))
}

/// Makes calls on the open file of `fd` non-blocking or blocking. Returns true if they were
/// non-blocking before.
///
/// ```
/// use mainspring_sys::fd::set_nonblocking;
/// use std::os::fd::AsFd;
///
/// let (reader, _writer) = std::io::pipe()?;
/// assert!(!set_nonblocking(reader.as_fd(), true)?);
/// assert!(set_nonblocking(reader.as_fd(), false)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The flag belongs to the open file, so it also changes for descriptors made by dup(2) and in
/// other processes. For files that may be shared there is [`nonblocking`](crate::nonblocking).
///
/// A file without such a mode is accepted: a kqueue of the BSDs and macOS refuses the flag with
/// `ENOTTY` (its ioctl(2) has no `FIONBIO`), and no read or write of it ever blocks.
///
/// # Errors
///
/// The errors of fcntl(2): `fd` is not open.
pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<bool> {
    change_nonblocking(fd.as_raw_fd(), nonblocking)
}

/// Like [`set_nonblocking`], for a number that the caller has checked.
pub(crate) fn change_nonblocking(fd: RawFd, nonblocking: bool) -> io::Result<bool> {
    let flags = status(fd)?;
    let was = flags & libc::O_NONBLOCK != 0;
    if was != nonblocking {
        // SAFETY: F_SETFL takes an integer and touches no memory of ours.
        let set = check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags ^ libc::O_NONBLOCK) });
        accept_without_mode(set.map(drop))?;
    }
    Ok(was)
}

/// Accepts the error of a file that has no non-blocking mode.
fn accept_without_mode(set: io::Result<()>) -> io::Result<()> {
    set.or_else(|error| match error.raw_os_error() {
        Some(libc::ENOTTY) => Ok(()),
        _ => Err(error),
    })
}

/// Sets close-on-exec.
pub(crate) fn set_cloexec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Returns true if calls on the open file of `fd` do not block.
///
/// # Errors
///
/// The errors of fcntl(2): `fd` is not open.
pub fn is_nonblocking(fd: RawFd) -> io::Result<bool> {
    Ok(status(fd)? & libc::O_NONBLOCK != 0)
}

/// Returns the access mode and the flags of an open file.
pub(crate) fn status(fd: RawFd) -> io::Result<libc::c_int> {
    // SAFETY: F_GETFL takes no argument and touches no memory of ours.
    check(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

/// Returns the number of bytes that can be read (FIONREAD of ioctl(2)). `None` for a file that has
/// no such number, and for a number that is not open.
///
/// ```
/// use mainspring_sys::fd::unread_bytes;
/// use std::io::Write;
/// use std::os::fd::AsRawFd;
///
/// let (reader, mut writer) = std::io::pipe()?;
/// writer.write_all(b"four")?;
/// assert_eq!(unread_bytes(reader.as_raw_fd()), Some(4));
/// assert_eq!(unread_bytes(-1), None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unread_bytes(fd: RawFd) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one integer, which outlives it. A wrong number is an error.
    check(unsafe { libc::ioctl(fd, libc::FIONREAD as _, &raw mut bytes) }).ok()?;
    usize::try_from(bytes).ok()
}

/// Returns true if `fd` is an open descriptor of this process.
///
/// ```
/// use mainspring_sys::fd::is_open;
/// use std::os::fd::AsRawFd;
///
/// let (reader, _writer) = std::io::pipe()?;
/// assert!(is_open(reader.as_raw_fd()));
/// assert!(!is_open(-1));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no argument and touches no memory of ours.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).is_ok()
}

/// Returns true if `fd` is a terminal.
pub(crate) fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: the call takes a number and touches no memory of ours.
    unsafe { libc::isatty(fd) == 1 }
}

/// Identity of an open file: its device, its inode number and its type.
///
/// Two descriptors of one file have the same identity. So have files without an inode: on Linux all
/// eventfds, epolls and timerfds (`anon_inode`), on macOS all TCP sockets, on NetBSD and OpenBSD
/// all pipes. So different identities prove different files, but equal identities prove nothing.
///
/// ```
/// use mainspring_sys::fd::FileId;
/// use std::os::fd::AsRawFd;
///
/// let (reader, _writer) = std::io::pipe()?;
/// let (copy, (other, _)) = (reader.try_clone()?, std::io::pipe()?);
/// let of_reader = FileId::of(reader.as_raw_fd())?;
/// assert!(!of_reader.differs(FileId::of(copy.as_raw_fd())?));
/// assert!(of_reader.differs(FileId::of(other.as_raw_fd())?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(Option<(libc::dev_t, libc::ino_t, libc::mode_t)>);

impl FileId {
    /// Returns the identity of the file that `fd` refers to now.
    ///
    /// A file that fstat(2) cannot query, for example on a network that is down, has an unknown
    /// identity, which differs from no other.
    ///
    /// # Errors
    ///
    /// `EBADF`: `fd` is not open.
    pub fn of(fd: RawFd) -> io::Result<FileId> {
        match stat(fd) {
            Ok(stat) => Ok(FileId(Some((stat.st_dev, stat.st_ino, stat.st_mode & libc::S_IFMT)))),
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => Err(error),
            Err(_) => Ok(FileId(None)),
        }
    }

    /// Returns true if the two are certainly different files.
    pub fn differs(self, other: FileId) -> bool {
        self.0.zip(other.0).is_some_and(|(one, other)| one != other)
    }
}

/// Returns the attributes of an open file, by fstat(2).
pub(crate) fn stat(fd: RawFd) -> io::Result<libc::stat> {
    // SAFETY: the struct has only integer fields, for which zero is a valid value.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `stat` is writable and outlives the call; a wrong number is an error, not a fault.
    check(unsafe { libc::fstat(fd, &raw mut stat) })?;
    Ok(stat)
}

/// Returns what poll(2) reports for a descriptor now, without waiting; 0 for nothing.
pub(crate) fn poll_now(fd: RawFd, events: libc::c_short) -> io::Result<libc::c_short> {
    let mut polled = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: the call reads and writes one entry, and `polled` outlives it. A wrong number is
    // reported in the entry.
    retry(|| check(unsafe { libc::poll(&raw mut polled, 1, 0) }))?;
    Ok(polled.revents)
}

/// Reads once. Returns the number of bytes; 0 means end of file.
///
/// ```
/// use mainspring_sys::fd;
/// use std::os::fd::AsFd;
///
/// let (reader, writer) = fd::pipe()?;
/// assert_eq!(fd::write(writer.as_fd(), b"four")?, 4);
/// let mut bytes = [0; 8];
/// assert_eq!(fd::read(reader.as_fd(), &mut bytes)?, 4);
/// drop(writer);
/// assert_eq!(fd::read(reader.as_fd(), &mut bytes)?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of read(2), except `Interrupted`: the call is repeated.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: `buffer` is writable for its whole length and outlives the call.
    let count = retry(|| check(unsafe { libc::read(fd.as_raw_fd(), start.cast(), length) }))?;
    Ok(count as usize)
}

/// Writes once. Returns the number of bytes, which may be less than `bytes.len()`.
///
/// # Errors
///
/// The errors of write(2), except `Interrupted`: the call is repeated.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (start, length) = (bytes.as_ptr(), bytes.len());
    // SAFETY: `bytes` is readable for its whole length and outlives the call.
    let count = retry(|| check(unsafe { libc::write(fd.as_raw_fd(), start.cast(), length) }))?;
    Ok(count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_one_end_closes_the_other() {
        let (reader, writer) = pipe().unwrap();
        assert!(owned_pair([-1, writer.into_raw_fd()]).is_err());
        assert_eq!(read(reader.as_fd(), &mut [0]).unwrap(), 0, "no writer is left");
    }

    /// A kqueue of the BSDs returns `ENOTTY`; on other systems no file does.
    #[test]
    fn only_the_error_of_a_file_without_the_mode_is_accepted() {
        let refused = |errno| Err(io::Error::from_raw_os_error(errno));
        accept_without_mode(Ok(())).unwrap();
        accept_without_mode(refused(libc::ENOTTY)).unwrap();
        let error = accept_without_mode(refused(libc::EBADF)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(change_nonblocking(-1, true).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}

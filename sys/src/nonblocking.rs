//! The non-blocking flag of files that are watched.
//!
//! A loop must not wait in a call on a file, so the file gets the flag `O_NONBLOCK`. But the flag
//! belongs to the open file, not to the descriptor: copies made by dup(2) have it too, and so have
//! other processes (fcntl(2), open(2)). [`begin`] and [`end`] are the one rule for all that is
//! watched:
//!
//! * A socket gets the flag and keeps it. Whoever takes over a copy of a socket or of a listener
//!   expects it, or sets what it needs.
//! * A pipe or a device gets the flag for as long as anything in this process watches the same file,
//!   and loses it then. A file that had the flag before keeps it.
//! * A terminal never gets it, nor does a file that standard input, output or error has: the shell,
//!   siblings and `println!` use the same open file, and do not expect `WouldBlock`. Its calls are
//!   [kept](BlockingMode::Blocking) blocking, and one is made only when [`is_ready`].
//! * A regular file or a directory never waits, so nothing changes.
//!
//! In a child made by fork(2), what its parent has set stays set.
//!
//! # Invariant
//!
//! A file is in the table exactly as long as it has the flag because of [`begin`].

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::fd::{change_nonblocking, stat, status};
use crate::process::Process;
use crate::syscall::{check, retry};

/// Rule that keeps calls on a watched file from waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "`end` undoes it"]
#[non_exhaustive]
pub enum BlockingMode {
    /// They return `WouldBlock`, and nothing is to be undone.
    NonBlocking,
    /// They return `WouldBlock` until [`end`].
    Borrowed,
    /// They wait. One call after a report of readiness does not.
    Blocking,
}

/// A file as all its descriptors with this access name it. The ends of a pipe differ by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct File {
    device: libc::dev_t,
    number: libc::ino_t,
    access: libc::c_int,
}

/// The files of one process that have the flag because they are watched, and how often.
struct Lent {
    process: Process,
    files: Mutex<HashMap<File, usize>>,
    count: AtomicUsize,
    /// Those of a forked child. A thread of its parent may have held the lock.
    of_child: OnceLock<Box<Lent>>,
}

impl Lent {
    fn new() -> Lent {
        let (files, count) = (Mutex::default(), AtomicUsize::new(0));
        Lent { process: Process::current(), files, count, of_child: OnceLock::new() }
    }

    fn here() -> &'static Lent {
        static FIRST: LazyLock<Lent> = LazyLock::new(Lent::new);
        let mut lent = &*FIRST;
        while !lent.process.is_current() {
            lent = lent.of_child.get_or_init(|| Box::new(Lent::new()));
        }
        lent
    }

    /// A panic cannot happen between two changes, so the poison means nothing.
    fn files(&self) -> MutexGuard<'_, HashMap<File, usize>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps calls on `fd` from waiting, as the [module](self) says. To be undone by [`end`] when `fd` is
/// no longer watched, before it is closed.
///
/// ```
/// use mainspring_sys::nonblocking::{self, BlockingMode};
/// use std::io::Read;
/// use std::os::fd::{AsFd, AsRawFd};
///
/// let (mut reader, _writer) = std::io::pipe()?;
/// let mut copy = reader.try_clone()?;
/// let (one, two) = (nonblocking::begin(reader.as_fd())?, nonblocking::begin(copy.as_fd())?);
/// assert_eq!((one, two), (BlockingMode::Borrowed, BlockingMode::Borrowed));
/// nonblocking::end(copy.as_raw_fd(), two);
/// assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// nonblocking::end(reader.as_raw_fd(), one); // Now both block again.
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of fcntl(2) and fstat(2): `EBADF`.
pub fn begin(fd: BorrowedFd<'_>) -> io::Result<BlockingMode> {
    let (fd, lent) = (fd.as_raw_fd(), Lent::here());
    let is_idle = || lent.count.load(SeqCst) == 0;
    // Asked before and after: a copy may begin or end meanwhile, in another thread.
    if is_idle() && status(fd)? & libc::O_NONBLOCK != 0 && is_idle() {
        return Ok(BlockingMode::NonBlocking);
    }
    let stat = stat(fd)?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => {
            check_usable(fd).map(|()| BlockingMode::NonBlocking)
        }
        _ if status(fd)? & libc::O_NONBLOCK != 0 => share(lent, fd, &stat),
        libc::S_IFCHR if is_terminal(fd) => Ok(BlockingMode::Blocking),
        _ if is_standard(&stat) && !is_listener(fd) => Ok(BlockingMode::Blocking),
        libc::S_IFSOCK => change_nonblocking(fd, true).map(|_| BlockingMode::NonBlocking),
        _ => share(lent, fd, &stat),
    }
}

/// Counts a watcher of a file that may have the flag already.
fn share(lent: &Lent, fd: RawFd, stat: &libc::stat) -> io::Result<BlockingMode> {
    let mut files = lent.files();
    let flags = status(fd)?;
    let file = file(stat, flags);
    if flags & libc::O_NONBLOCK != 0 && !files.contains_key(&file) {
        return Ok(BlockingMode::NonBlocking);
    }
    lent.count.fetch_add(1, SeqCst);
    if let Err(error) = change_nonblocking(fd, true) {
        lent.count.fetch_sub(1, SeqCst);
        return Err(error);
    }
    *files.entry(file).or_default() += 1;
    Ok(BlockingMode::Borrowed)
}

/// Undoes [`begin`]: the last watcher of a file in this process puts back what the first one found.
///
/// A number that was closed meanwhile, or is another file's, is left alone: only a file that is in
/// the table is changed, so this takes a number.
pub fn end(fd: RawFd, was: BlockingMode) {
    if was != BlockingMode::Borrowed {
        return;
    }
    let lent = Lent::here();
    let mut files = lent.files();
    let (Ok(stat), Ok(flags)) = (stat(fd), status(fd)) else { return };
    let file = file(&stat, flags);
    let Some(watchers) = files.get_mut(&file) else { return };
    *watchers -= 1;
    if *watchers == 0 {
        files.remove(&file);
        // The descriptor is open, and this flag of a file may always be changed.
        let _ = change_nonblocking(fd, false);
    }
    lent.count.fetch_sub(1, SeqCst);
}

/// True if a call on `fd` would not wait now, to write or to read: by poll(2), which does not wait.
/// An error or a hang-up is such an answer as well.
pub fn is_ready(fd: RawFd, to_write: bool) -> bool {
    let events = if to_write { libc::POLLOUT } else { libc::POLLIN };
    let mut polled = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: `polled` is one entry, writable, and outlives the call, which does not wait.
    let count = retry(|| check(unsafe { libc::poll(&raw mut polled, 1, 0) }));
    count.is_ok_and(|count| count > 0)
}

/// The error of a descriptor that only names a file (O_PATH of open(2)): no flag can be set, not even
/// those that it has.
fn check_usable(fd: RawFd) -> io::Result<()> {
    let flags = status(fd)?;
    // SAFETY: F_SETFL takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) }).map(drop)
}

fn file(stat: &libc::stat, flags: libc::c_int) -> File {
    File { device: stat.st_dev, number: stat.st_ino, access: flags & libc::O_ACCMODE }
}

/// True if standard input, output or error is the same file.
fn is_standard(file: &libc::stat) -> bool {
    (0..3)
        .filter_map(|fd| stat(fd).ok())
        .any(|standard| (standard.st_dev, standard.st_ino) == (file.st_dev, file.st_ino))
}

fn is_listener(fd: RawFd) -> bool {
    let mut listens: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
    let answer = (&raw mut listens).cast();
    // SAFETY: `listens` has room for the `length` bytes that the call may write, and both outlive it.
    let asked = unsafe { libc::getsockopt(fd, level, option, answer, &raw mut length) };
    asked == 0 && listens != 0
}

fn is_terminal(fd: RawFd) -> bool {
    // SAFETY: the call takes a number and touches no memory of ours.
    unsafe { libc::isatty(fd) == 1 }
}

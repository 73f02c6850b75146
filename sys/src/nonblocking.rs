//! The non-blocking flag of watched files.
//!
//! A loop must not block in a call on a file, so the file gets the flag `O_NONBLOCK`. The flag
//! belongs to the open file description, not to the descriptor: duplicates and other processes
//! share it (fcntl(2), open(2)). [`begin`] and [`end`] apply one rule to everything that is
//! watched:
//!
//! * A socket gets the flag and keeps it. Code that takes over a duplicate of a socket or of a
//!   listener expects the flag, or sets what it needs.
//! * So does a file that shares its inode with others: an eventfd, a timerfd, an inotify instance,
//!   and a pipe of NetBSD or OpenBSD. fstat(2) returns the same numbers for all of them, so the
//!   flag of one might be cleared for another.
//! * A pipe or a device has the flag as long as anything in this process watches the same file, and
//!   loses it afterwards. A file that had the flag before keeps it.
//! * A terminal never gets the flag, nor does the file of standard input, output or error: the
//!   shell, sibling processes and `println!` use the same open file and do not expect `WouldBlock`.
//!   Calls on such a file [still block](BlockingMode::Blocking), so the caller makes one only after
//!   [`is_ready`].
//! * A regular file or a directory never blocks, so nothing changes.
//!
//! A child made by fork(2) does not clear flags that its parent has set.
//!
//! # Invariant
//!
//! A file is in the table exactly while it has the flag because of [`begin`].

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fd::{change_nonblocking, is_terminal, poll_now, stat, status};
use crate::per_process::PerProcess;
use crate::socket::is_listening;
use crate::syscall::check;

/// Behaviour of calls on a watched file that is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "`end` undoes it"]
#[non_exhaustive]
pub enum BlockingMode {
    /// They return `WouldBlock`; [`end`] has nothing to undo.
    NonBlocking,
    /// They return `WouldBlock` until [`end`] clears the flag.
    Borrowed,
    /// They block. One call after a readiness report does not.
    Blocking,
}

/// Identity of an open file, with its access mode: the two ends of a pipe differ only by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    device: libc::dev_t,
    number: libc::ino_t,
    access: libc::c_int,
}

/// Files of one process that have the flag because they are watched, with the number of watchers.
#[derive(Debug)]
struct Table {
    files: Mutex<BTreeMap<File, usize>>,
    /// Number of watchers of all files.
    count: AtomicUsize,
}

impl Table {
    const fn new() -> Table {
        Table { files: Mutex::new(BTreeMap::new()), count: AtomicUsize::new(0) }
    }

    /// Returns the table of this process. That of a forked child begins empty, because the flags
    /// belong to files of its parent too.
    fn of_process() -> &'static Table {
        static TABLES: PerProcess<Table> = PerProcess::new(Table::new());
        TABLES.get(|_| Table::new())
    }

    /// Ignores poison: no panic can happen between two changes of the table.
    fn files(&self) -> MutexGuard<'_, BTreeMap<File, usize>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes calls on `fd` non-blocking where the [module's rule](self) allows it. Undo it with [`end`]
/// when `fd` is no longer watched, before `fd` is closed.
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
/// The errors of fcntl(2) and fstat(2): `EBADF` if `fd` is not open.
pub fn begin(fd: BorrowedFd<'_>) -> io::Result<BlockingMode> {
    let (fd, table) = (fd.as_raw_fd(), Table::of_process());
    let is_idle = || table.count.load(SeqCst) == 0;
    // Fast path for files that already have the flag. The table is checked before and after the
    // flag, because another thread may begin or end watching a duplicate in between.
    if is_idle() && status(fd)? & libc::O_NONBLOCK != 0 && is_idle() {
        return Ok(BlockingMode::NonBlocking);
    }
    let stat = stat(fd)?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => {
            check_usable(fd).map(|()| BlockingMode::NonBlocking)
        }
        // Perhaps the flag is set because another watcher has borrowed it.
        _ if status(fd)? & libc::O_NONBLOCK != 0 => share(table, fd, &stat),
        libc::S_IFCHR if is_terminal(fd) => Ok(BlockingMode::Blocking),
        // A listener that a supervisor passes as standard input gets the flag, or accept(2) would
        // block.
        _ if is_standard(&stat) && !is_listening(fd).unwrap_or(false) => Ok(BlockingMode::Blocking),
        kind if kind == libc::S_IFSOCK || !has_own_inode(&stat) => {
            change_nonblocking(fd, true).map(|_| BlockingMode::NonBlocking)
        }
        _ => share(table, fd, &stat),
    }
}

/// Adds a watcher to a pipe or a device, and sets the flag if it is the first one.
fn share(table: &Table, fd: RawFd, stat: &libc::stat) -> io::Result<BlockingMode> {
    let mut files = table.files();
    let flags = status(fd)?;
    let file = file(stat, flags);
    if flags & libc::O_NONBLOCK != 0 && !files.contains_key(&file) {
        return Ok(BlockingMode::NonBlocking);
    }
    // The count rises before the flag is set, so that the fast path of `begin` never takes the flag
    // for one that the file had before.
    table.count.fetch_add(1, SeqCst);
    if let Err(error) = change_nonblocking(fd, true) {
        table.count.fetch_sub(1, SeqCst);
        return Err(error);
    }
    *files.entry(file).or_default() += 1;
    Ok(BlockingMode::Borrowed)
}

/// Undoes [`begin`]: the last watcher of a file in this process clears the flag if the first one
/// set it.
///
/// It takes a number because the file may already be closed. Only a file that is in the table is
/// changed, so a number that now belongs to another file is left alone.
pub fn end(fd: RawFd, was: BlockingMode) {
    if was != BlockingMode::Borrowed {
        return;
    }
    let table = Table::of_process();
    let mut files = table.files();
    let (Ok(stat), Ok(flags)) = (stat(fd), status(fd)) else { return };
    let file = file(&stat, flags);
    let Some(watchers) = files.get_mut(&file) else { return };
    *watchers -= 1;
    if *watchers == 0 {
        files.remove(&file);
        // Cannot fail: the descriptor is open, and the flag may always be changed.
        let _ = change_nonblocking(fd, false);
    }
    table.count.fetch_sub(1, SeqCst);
}

/// Returns true if a read (or a write, if `to_write`) on `fd` would not block now, by poll(2)
/// without a timeout. An error or a hang-up counts as ready.
///
/// ```
/// use mainspring_sys::nonblocking::is_ready;
/// use std::io::Write;
/// use std::os::fd::AsRawFd;
///
/// let (reader, mut writer) = std::io::pipe()?;
/// assert!(!is_ready(reader.as_raw_fd(), false));
/// writer.write_all(b"x")?;
/// assert!(is_ready(reader.as_raw_fd(), false));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_ready(fd: RawFd, to_write: bool) -> bool {
    let events = if to_write { libc::POLLOUT } else { libc::POLLIN };
    poll_now(fd, events).is_ok_and(|found| found != 0)
}

/// Returns the error of a descriptor that only refers to a path (O_PATH of open(2)), on which no
/// call is possible. Setting the flags to their present value fails for it, and changes nothing
/// otherwise.
fn check_usable(fd: RawFd) -> io::Result<()> {
    let flags = status(fd)?;
    // SAFETY: F_SETFL takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) }).map(drop)
}

/// Returns false for a file that shares its inode with others, or has none. Linux returns no file
/// type for them, and BSDs the inode number 0 (pipe_stat() of NetBSD and OpenBSD, `sys_pipe.c`).
fn has_own_inode(stat: &libc::stat) -> bool {
    stat.st_mode & libc::S_IFMT != 0 && stat.st_ino != 0
}

fn file(stat: &libc::stat, flags: libc::c_int) -> File {
    File { device: stat.st_dev, number: stat.st_ino, access: flags & libc::O_ACCMODE }
}

/// Returns true if standard input, output or error refers to the same file, or to one that has the
/// same numbers.
fn is_standard(file: &libc::stat) -> bool {
    (0..3)
        .filter_map(|fd| stat(fd).ok())
        .any(|standard| (standard.st_dev, standard.st_ino) == (file.st_dev, file.st_ino))
}

//! The type of an open file.

use std::fmt;
use std::os::fd::RawFd;

use crate::fd::stat;

/// Type of the file that a descriptor refers to.
///
/// ```
/// use mainspring_sys::file_type::FileType;
/// use std::os::fd::AsRawFd;
///
/// let (reader, _writer) = std::io::pipe()?;
/// assert_eq!(FileType::of(reader.as_raw_fd()), Some(FileType::Pipe));
/// assert_eq!(FileType::of(-1), None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A terminal, `/dev/null`, or another device that is read character by character.
    CharacterDevice,
    /// A disk.
    BlockDevice,
    /// A pipe or a fifo.
    Pipe,
    /// A socket.
    Socket,
    /// A file without one of these types, such as an eventfd, a timerfd or an epoll instance.
    Other,
}

impl FileType {
    /// Returns the type of the file that `fd` refers to now, by fstat(2). `None` if it is not open.
    pub fn of(fd: RawFd) -> Option<FileType> {
        Some(match stat(fd).ok()?.st_mode & libc::S_IFMT {
            libc::S_IFREG => FileType::Regular,
            libc::S_IFDIR => FileType::Directory,
            libc::S_IFCHR => FileType::CharacterDevice,
            libc::S_IFBLK => FileType::BlockDevice,
            libc::S_IFIFO => FileType::Pipe,
            libc::S_IFSOCK => FileType::Socket,
            _ => FileType::Other,
        })
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FileType::Regular => "regular file",
            FileType::Directory => "directory",
            FileType::CharacterDevice => "character device",
            FileType::BlockDevice => "block device",
            FileType::Pipe => "pipe",
            FileType::Socket => "socket",
            FileType::Other => "other file",
        })
    }
}

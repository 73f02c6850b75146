//! Memory that is a file: its content outlives the process, however that ends.
//!
//! # Invariant
//!
//! The file is as long as the mapping when it is created. A process that shortens it later makes
//! accesses fail with SIGBUS (mmap(2)), so the file is readable and writable for its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

/// A new file of words, mapped into memory. It stays after the value is dropped.
///
/// ```
/// use mainspring_sys::shared_map::SharedMap;
/// use std::sync::atomic::Ordering::Relaxed;
///
/// let path = std::env::temp_dir().join(format!("mainspring-map-{}", std::process::id()));
/// let map = SharedMap::create(&path, 512)?;
/// map[511].store(7, Relaxed);
/// let bytes = std::fs::read(&path)?; // another process reads the same
/// assert_eq!(bytes[511 * 8..], 7_u64.to_ne_bytes());
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedMap {
    words: NonNull<AtomicU64>,
    len: usize,
}

impl SharedMap {
    /// Creates the file, with mode 0600 and `words` words of zeros, and maps it. The zeros are
    /// written, so a full file system is an error here, and not a signal later. After an error
    /// there is no new file.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for an existing path, a symbolic link included; errors of open(2), write(2)
    /// and mmap(2). `InvalidInput` without words.
    pub fn create(path: &Path, words: usize) -> io::Result<SharedMap> {
        let length = words.checked_mul(8).filter(|length| *length > 0);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let map = fill(&mut file, length).and_then(|()| SharedMap::map(&file, words));
        map.inspect_err(|_| _ = fs::remove_file(path)) // The first error counts.
    }

    fn map(file: &File, words: usize) -> io::Result<SharedMap> {
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping at an address that the kernel chooses overlaps no other.
        let address =
            unsafe { libc::mmap(ptr::null_mut(), words * 8, access, libc::MAP_SHARED, fd, 0) };
        let address = NonNull::new(address).filter(|it| it.as_ptr() != libc::MAP_FAILED);
        let address = address.ok_or_else(io::Error::last_os_error)?;
        Ok(SharedMap { words: address.cast(), len: words })
    }
}

/// Writes `length` zeros.
fn fill(file: &mut File, length: usize) -> io::Result<()> {
    let zeros = [0; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let part = left.min(zeros.len());
        file.write_all(&zeros[..part])?;
        left -= part;
    }
    Ok(())
}

impl Deref for SharedMap {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, has `len` words, and lives as long as `self`. Every
        // bit pattern is a valid word, and other processes may change atomics.
        unsafe { slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `map`, and no reference outlives `self`.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.len * 8) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_map_is_private_to_its_owner_and_replaces_nothing() {
        let path = std::env::temp_dir().join(format!("mainspring-map-test-{}", std::process::id()));
        let map = SharedMap::create(&path, 3).unwrap();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!((facts.mode() & 0o777, facts.len(), map.len()), (0o600, 24, 3));
        let again = SharedMap::create(&path, 3).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_map_without_words_is_refused() {
        let path = std::env::temp_dir().join(format!("mainspring-map-none-{}", std::process::id()));
        let refused = SharedMap::create(&path, 0).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(!path.exists());
    }
}

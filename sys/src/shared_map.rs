//! Memory-mapped files, which outlive the process, however it ends, and memory without a file.
//!
//! # Invariant
//!
//! The file is as long as the mapping when it is created. A process that shortens it later makes
//! accesses fail with SIGBUS (mmap(2)), so a file with a name is readable and writable for its
//! owner only, and one without a name is sealed.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

#[cfg(has_memfd)]
use crate::fd::{owned, replace};
use crate::syscall::check;

/// Words of the smallest page of a system.
const PAGE_WORDS: usize = 4096 / 8;

/// New words, mapped into memory. They are those of a file, which remains after the value is
/// dropped, or [without a file](SharedMap::private).
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
    /// A file without a name, and its label. Other processes find it by its descriptor.
    #[cfg(has_memfd)]
    unnamed: Option<(File, &'static CStr)>,
}

// SAFETY: the words are atomic, and the mapping lives until the value is dropped, on any thread.
unsafe impl Send for SharedMap {}
// SAFETY: the words are atomic.
unsafe impl Sync for SharedMap {}

impl SharedMap {
    /// Creates the file, with mode 0600 and `words` words of zeros, and maps it. The zeros are
    /// written, so a full file system is an error here, and not a signal later. All pages are in
    /// the page table of the process. After an error there is no new file.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for an existing path, a symbolic link included; errors of open(2), write(2)
    /// and mmap(2). `InvalidInput` without words.
    pub fn create(path: &Path, words: usize) -> io::Result<SharedMap> {
        let length = length_of(words)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let map = fill(&mut file, length).and_then(|()| SharedMap::map(Some(&file), words));
        map.inspect_err(|_| _ = fs::remove_file(path)) // The first error counts.
    }

    /// Creates a file without a name in memory, of `words` words of zeros, and maps it. On Linux,
    /// `/proc/PID/fd` shows it as `/memfd:LABEL`, to processes that may look into this one
    /// (proc(5)). It keeps one descriptor, which is close-on-exec.
    ///
    /// # Errors
    ///
    /// `Unsupported` on systems without memfd_create(2), and its errors; `InvalidInput` without
    /// words.
    #[cfg(has_memfd)]
    pub fn in_memory(label: &'static CStr, words: usize) -> io::Result<SharedMap> {
        let file = unnamed_file(label, length_of(words)?)?;
        let mut map = SharedMap::map(Some(&file), words)?;
        map.unnamed = Some((file, label));
        Ok(map)
    }

    #[cfg(not(has_memfd))]
    #[allow(missing_docs)]
    pub fn in_memory(_: &'static CStr, _: usize) -> io::Result<SharedMap> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Allocates `words` words of zeros, without a file.
    ///
    /// # Errors
    ///
    /// Errors of mmap(2); `InvalidInput` without words.
    pub fn private(words: usize) -> io::Result<SharedMap> {
        length_of(words)?;
        SharedMap::map(None, words)
    }

    /// Starts to load the word at `index`, if there is one, into the caches of the CPU. Without
    /// effect on CPUs other than x86-64.
    #[inline(always)]
    pub fn prefetch(&self, index: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if let Some(word) = self.get(index) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: each x86-64 CPU has the instruction, which changes no memory.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::from_ref(word).cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = index;
    }

    /// Replaces the words of a parent process, in a forked child: by zeros at the same address,
    /// which only the child has. They are in a file without a name if the parent has one and there
    /// is room for another. The parent keeps its words.
    ///
    /// # Errors
    ///
    /// Errors of mmap(2), after which the child still has the words of its parent, and of dup3(2),
    /// after which other processes cannot find the new ones.
    ///
    /// # Aborts
    ///
    /// Aborts if a kernel without memory has removed the words and maps no others. A failed
    /// `MAP_FIXED` may do so (mmap(3p)), and references to the words may exist.
    pub fn after_fork(&self) -> io::Result<()> {
        #[cfg(has_memfd)]
        if let Some((old, label)) = &self.unnamed
            && let Ok(file) = unnamed_file(label, self.len * 8)
        {
            self.remap(Some(&file))?;
            return replace(old.as_raw_fd(), file.into());
        }
        self.remap(None)
    }

    /// Maps other words at the same address.
    fn remap(&self, file: Option<&File>) -> io::Result<()> {
        let mapped = map_at(self.words.as_ptr(), self.len, file, libc::MAP_FIXED);
        if mapped.is_err() && !self.is_mapped() {
            process::abort();
        }
        mapped.map(|_| self.touch())
    }

    /// Returns true if the range of the words is still mapped.
    fn is_mapped(&self) -> bool {
        // SAFETY: the call only looks the range up: Linux has nothing to flush for MS_ASYNC, and
        // other systems flush a file that is in memory anyway.
        let looked_up =
            unsafe { libc::msync(self.words.as_ptr().cast(), self.len * 8, libc::MS_ASYNC) };
        check(looked_up).is_ok()
    }

    fn map(file: Option<&File>, words: usize) -> io::Result<SharedMap> {
        let address = map_at(ptr::null_mut(), words, file, 0)?;
        let map = SharedMap {
            words: address,
            len: words,
            #[cfg(has_memfd)]
            unnamed: None,
        };
        map.touch();
        Ok(map)
    }

    /// Writes to each page, so that no later write causes a page fault. Systems have different
    /// calls for this, which save half of the time.
    fn touch(&self) {
        self.iter().step_by(PAGE_WORDS).for_each(|word| word.store(0, Relaxed));
    }
}

/// Maps words of a file, or of private memory. `at` is null, or the address of a mapping of as many
/// words to replace (`MAP_FIXED`).
fn map_at(
    at: *mut AtomicU64,
    words: usize,
    file: Option<&File>,
    fixed: libc::c_int,
) -> io::Result<NonNull<AtomicU64>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let (kind, fd) = match file {
        Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
        None => (libc::MAP_PRIVATE | libc::MAP_ANON, -1),
    };
    // SAFETY: a mapping at an address that the kernel chooses overlaps no other. A fixed one
    // replaces words by words, and these are atomic.
    let address = unsafe { libc::mmap(at.cast(), words * 8, access, kind | fixed, fd, 0) };
    let address = NonNull::new(address).filter(|address| address.as_ptr() != libc::MAP_FAILED);
    Ok(address.ok_or_else(io::Error::last_os_error)?.cast())
}

/// Returns the number of bytes of `words` words.
fn length_of(words: usize) -> io::Result<usize> {
    let length = words.checked_mul(8).filter(|length| *length > 0);
    length.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Creates a file of `length` zeros in memory, which nothing can shorten.
#[cfg(has_memfd)]
fn unnamed_file(label: &CStr, length: usize) -> io::Result<File> {
    let mut file = memfd(label)?;
    fill(&mut file, length)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: F_ADD_SEALS takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(file)
}

/// Creates a file in memory (memfd_create(2)). It cannot be executed if the kernel has this flag.
#[cfg(has_memfd)]
fn memfd(label: &CStr) -> io::Result<File> {
    let create = |flags: libc::c_uint| {
        // SAFETY: the label ends with a zero byte and outlives the call.
        let fd = unsafe { libc::syscall(libc::SYS_memfd_create, label.as_ptr(), flags) };
        owned(fd as libc::c_int).map(File::from)
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    match create(flags | libc::MFD_NOEXEC_SEAL) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => create(flags),
        created => created,
    }
}

/// Returns an error if a file of this process must not have `length` bytes. Without the check,
/// writing it raises SIGXFSZ, which ends the process (setrlimit(2)).
fn check_limit(length: usize) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) })?;
    if length as libc::rlim_t > limit.rlim_cur {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(())
}

/// Writes `length` zeros.
fn fill(file: &mut File, length: usize) -> io::Result<()> {
    check_limit(length)?;
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
        // SAFETY: the range was mapped by `map_at`, and no reference outlives `self`.
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
        let path = std::env::temp_dir().join(format!("mainspring-map-test-{}", process::id()));
        let map = SharedMap::create(&path, 3).unwrap();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!((facts.mode() & 0o777, facts.len(), map.len()), (0o600, 24, 3));
        let again = SharedMap::create(&path, 3).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
    }

    #[cfg(has_memfd)]
    #[test]
    fn a_map_in_memory_is_found_by_its_label_and_cannot_be_shortened() {
        let map = SharedMap::in_memory(c"mainspring-test-map", 3).unwrap();
        map[2].store(7, Relaxed);
        let fds = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
        let label = "/memfd:mainspring-test-map (deleted)";
        let is_map = |path: &std::path::PathBuf| {
            fs::read_link(path).is_ok_and(|target| target.as_os_str() == label)
        };
        let fd = fds.into_iter().find(is_map).expect("a descriptor with the label");
        let bytes = fs::read(&fd).unwrap();
        assert_eq!((bytes.len(), &bytes[16..]), (24, &7_u64.to_ne_bytes()[..]));
        let writable = OpenOptions::new().write(true).open(&fd).unwrap();
        assert_eq!(writable.set_len(8).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let refused = SharedMap::in_memory(c"none", 0).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    #[cfg(has_memfd)]
    #[test]
    fn writing_to_a_new_map_causes_no_page_faults() {
        fn faults() -> libc::c_long {
            // SAFETY: zeros are a valid value of the struct.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: `usage` is writable and outlives the call.
            check(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) }).unwrap();
            usage.ru_minflt
        }
        let path = std::env::temp_dir().join(format!("mainspring-map-faults-{}", process::id()));
        let named = SharedMap::create(&path, 256 * PAGE_WORDS).unwrap();
        fs::remove_file(&path).unwrap();
        let unnamed = SharedMap::in_memory(c"mainspring-test-faults", 256 * PAGE_WORDS).unwrap();
        for map in [named, unnamed] {
            let before = faults();
            map.iter().for_each(|word| word.store(1, Relaxed));
            assert!(faults() - before < 32, "{} faults", faults() - before);
        }
    }

    #[test]
    fn a_range_that_is_not_mapped_is_known() {
        let mut map = SharedMap::private(PAGE_WORDS).unwrap();
        assert!(map.is_mapped());
        // Systems map nothing here unless a program requests it.
        let unmapped = NonNull::new(ptr::without_provenance_mut(1 << 16)).unwrap();
        let mapped = std::mem::replace(&mut map.words, unmapped);
        assert!(!map.is_mapped());
        map.words = mapped;
    }

    #[test]
    fn a_map_without_words_is_refused() {
        let path = std::env::temp_dir().join(format!("mainspring-map-none-{}", process::id()));
        let refused = SharedMap::create(&path, 0).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(!path.exists());
    }
}

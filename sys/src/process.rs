//! Identity of the process that a value belongs to, compared without a system call.
//!
//! A forked child has a copy of each loop, but shares the kernel objects behind it with its parent:
//! an epoll instance, wakeup descriptors, the flags of open files. The copy must not touch them.
//! The parent's other threads do not exist in the child: a job that one of them ran never ends, and
//! a lock that one of them held stays locked.
//!
//! # Invariant
//!
//! The cell holds the number of this process, or zero if none was assigned since the fork. The
//! number of a process differs from the numbers of all its ancestors.

use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32};

/// A process, and a check whether it is the calling one.
///
/// ```
/// use mainspring_sys::process::Process;
///
/// let here = Process::current();
/// assert!(here.is_current());
/// assert_eq!(here, Process::current());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Process {
    cell: &'static AtomicU32,
    number: u32,
}

impl Process {
    /// Returns the calling process. It is async-signal-safe after its first call.
    pub fn current() -> Process {
        let cell = cell();
        let mut number = cell.load(Acquire);
        if number == 0 {
            static NEXT: AtomicU32 = AtomicU32::new(1);
            let fresh = NEXT.fetch_add(1, Relaxed);
            number = match cell.compare_exchange(0, fresh, SeqCst, SeqCst) {
                Ok(_) => fresh,
                Err(other_threads_number) => other_threads_number,
            };
        }
        Process { cell, number }
    }

    /// Returns the number of the process, which is not the kernel's process id.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns true in the same process, false in a child made by fork(2) and in the child's
    /// children.
    #[inline]
    pub fn is_current(&self) -> bool {
        // Relaxed, because only fork(2) changes the cell, before the child runs.
        self.cell.load(Relaxed) == self.number
    }
}

impl PartialEq for Process {
    fn eq(&self, other: &Process) -> bool {
        self.number == other.number
    }
}

impl Eq for Process {}

/// Returns the cell. The first call maps a page that the kernel clears in a child.
fn cell() -> &'static AtomicU32 {
    static CELL: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    // SAFETY: the pointer is null or refers to a cell that is never freed.
    if let Some(cell) = unsafe { CELL.load(Acquire).as_ref() } {
        return cell;
    }
    static WITHOUT_PAGE: AtomicU32 = AtomicU32::new(0);
    let fresh = cleared_page().unwrap_or(&WITHOUT_PAGE);
    let placed =
        CELL.compare_exchange(ptr::null_mut(), ptr::from_ref(fresh).cast_mut(), SeqCst, SeqCst);
    // Needed only without the page, and harmless with it: the handler stores the zero that the page
    // already has.
    watch_forks();
    match placed {
        Ok(_) => fresh,
        // SAFETY: the pointer refers to another thread's cell, which is never freed.
        Err(placed) => unsafe { &*placed },
    }
}

/// Maps a page that the kernel clears in every kind of child (madvise(2), MADV_WIPEONFORK, Linux
/// 4.14). `None` if it refuses.
#[cfg(all(has_wipe_on_fork, not(miri)))]
fn cleared_page() -> Option<&'static AtomicU32> {
    const SIZE: usize = 4096;
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses overlaps no other.
    let page = unsafe { libc::mmap(ptr::null_mut(), SIZE, access, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page has just been mapped, and nothing else refers to it.
    // Refused before Linux 4.14, and by emulators.
    if unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above.
        unsafe { libc::munmap(page, SIZE) };
        return None;
    }
    // SAFETY: the page is aligned, writable and never unmapped, and its zeroes are a valid value.
    Some(unsafe { &*page.cast::<AtomicU32>() })
}

#[cfg(not(all(has_wipe_on_fork, not(miri))))]
fn cleared_page() -> Option<&'static AtomicU32> {
    None
}

/// Clears the cell in a child of fork(3), for kernels that do not. fork(3) calls the handler in the
/// child before it returns there.
fn watch_forks() {
    extern "C" fn in_child() {
        cell().store(0, SeqCst);
    }
    #[cfg(not(miri))]
    // SAFETY: the handler only stores a number. If registering it fails for lack of memory, the
    // kernel's cleared page remains.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_another_number() {
        let here = Process::current();
        assert!(here.is_current());
        let child = Process { number: here.number + 1, ..here };
        assert!(!child.is_current());
        assert_ne!(here, child);
    }
}

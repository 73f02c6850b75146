//! The process that a value belongs to, compared without a system call.
//!
//! A forked child has a copy of each loop, but shares the kernel objects behind it with its parent:
//! an epoll instance, doorbells, the flags of open files. The copy must not touch them. The threads
//! that its parent had are not there: a job that one of them ran never ends, and a lock that one of
//! them held stays locked.
//!
//! # Invariant
//!
//! The cell holds the number of this process, or zero where none was drawn since the fork. The
//! number of a process differs from those of all processes that it descends from.

use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32};

/// A process, and the question whether it is the calling one.
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
    /// The calling process. A signal handler may ask, once there is a loop.
    pub fn current() -> Process {
        let cell = cell();
        let mut number = cell.load(Acquire);
        if number == 0 {
            static NEXT: AtomicU32 = AtomicU32::new(1);
            let fresh = NEXT.fetch_add(1, Relaxed);
            number = match cell.compare_exchange(0, fresh, SeqCst, SeqCst) {
                Ok(_) => fresh,
                Err(of_another_thread) => of_another_thread,
            };
        }
        Process { cell, number }
    }

    /// The number of the process, which is not the kernel's.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns false in a child made by fork(2), and in the child's children.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.cell.load(Relaxed) == self.number
    }
}

impl PartialEq for Process {
    fn eq(&self, other: &Process) -> bool {
        self.number == other.number
    }
}

impl Eq for Process {}

/// The cell, made by the first call: a page that the kernel clears in a child.
fn cell() -> &'static AtomicU32 {
    static CELL: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    // SAFETY: the pointer is null or that of a cell that is never freed.
    if let Some(cell) = unsafe { CELL.load(Acquire).as_ref() } {
        return cell;
    }
    static WITHOUT_PAGE: AtomicU32 = AtomicU32::new(0);
    let fresh = cleared_page().unwrap_or(&WITHOUT_PAGE);
    let placed =
        CELL.compare_exchange(ptr::null_mut(), ptr::from_ref(fresh).cast_mut(), SeqCst, SeqCst);
    watch_forks();
    match placed {
        Ok(_) => fresh,
        // SAFETY: the pointer is that of another thread's cell, which is never freed.
        Err(placed) => unsafe { &*placed },
    }
}

/// A page that the kernel clears in a child, however that is made (madvise(2), MADV_WIPEONFORK,
/// Linux 4.14). None where it refuses.
#[cfg(all(has_wipe_on_fork, not(miri)))]
fn cleared_page() -> Option<&'static AtomicU32> {
    const SIZE: usize = 4096;
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice overlaps no other.
    let page = unsafe { libc::mmap(ptr::null_mut(), SIZE, access, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page has just been mapped, and nothing else refers to it.
    if unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above.
        unsafe { libc::munmap(page, SIZE) };
        return None;
    }
    // SAFETY: the page is aligned, zero, which is a value, writable, and never unmapped.
    Some(unsafe { &*page.cast::<AtomicU32>() })
}

#[cfg(not(all(has_wipe_on_fork, not(miri))))]
fn cleared_page() -> Option<&'static AtomicU32> {
    None
}

/// Clears the cell in a child of fork(3), where the kernel does not. fork(3) calls the handler
/// before it returns in the child.
fn watch_forks() {
    extern "C" fn in_child() {
        cell().store(0, SeqCst);
    }
    #[cfg(not(miri))]
    // SAFETY: the handler only stores a number. Without memory for it the kernel's page remains.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_process_is_not_that_of_its_child() {
        let here = Process::current();
        assert!(here.is_current());
        let child = Process { number: here.number + 1, ..here };
        assert!(!child.is_current());
        assert_ne!(here, child);
    }
}

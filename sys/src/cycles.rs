//! The CPU's cycle counter, which is cheaper to read than a clock.
//!
//! Its unit is unknown, and counters of different CPUs may differ. So a caller compares it with a
//! clock from time to time.

/// Returns the cycle counter; `None` if there is none that any process may read.
///
/// ```
/// use mainspring_sys::cycles::cycles;
///
/// assert_eq!(cycles().is_some(), cycles().is_some());
/// ```
#[inline]
pub fn cycles() -> Option<u64> {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: each x86-64 CPU has the instruction, which changes no memory. prctl(2) can forbid it
    // to a process; that makes clock_gettime(2) fault as well.
    let counter = Some(unsafe { std::arch::x86_64::_rdtsc() });
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let counter = None;
    counter
}

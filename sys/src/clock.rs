//! The boot-time clock, and kernel timers for clocks that can jump: the wall clock and the boot
//! time.
//!
//! A selector sleeps on the monotonic clock, so it does not notice that the wall clock was set or
//! that the machine was suspended. A [`ClockTimer`] is a descriptor that does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(has_timerfd)]
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

#[cfg(has_timerfd)]
use crate::fd;
use crate::syscall::check;

/// The clock of [`boot_time`].
#[cfg(has_clock_boottime)]
const BOOT_CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
/// The clock of [`boot_time`]. CLOCK_MONOTONIC counts suspends too, but follows adjustments of the
/// wall clock.
#[cfg(has_continuous_raw_clock)]
const BOOT_CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
/// The clock of [`boot_time`]. On FreeBSD it counts suspends according to clock_gettime(2). The
/// manual pages of the other systems mention no suspends.
#[cfg(not(any(has_clock_boottime, has_continuous_raw_clock)))]
const BOOT_CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// Returns the time since an unspecified point before the process began, usually the boot. It never
/// goes back. It includes the time during which the machine was suspended, where the system has
/// such a clock.
///
/// ```
/// use mainspring_sys::clock::boot_time;
///
/// let before = boot_time();
/// assert!(boot_time() >= before);
/// ```
///
/// # Panics
///
/// If the kernel does not have the clock (Linux before 2.6.39), like
/// [`Instant::now`](std::time::Instant::now).
pub fn boot_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable for the time that the call returns.
    let read = check(unsafe { libc::clock_gettime(BOOT_CLOCK, &raw mut time) });
    read.expect("the kernel has the clock");
    // Neither is negative, and the nanoseconds are less than a second (clock_gettime(2)).
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32)
}

/// A descriptor that becomes readable when a clock reaches a deadline, and when the wall clock was
/// set. See timerfd_create(2).
///
/// ```
/// use mainspring_sys::clock::{ClockTimer, boot_time};
/// use std::io::ErrorKind;
///
/// match ClockTimer::boot() {
///     Ok(timer) => {
///         timer.set(boot_time())?;
///         assert!(!timer.drain()?); // due, and this clock is never set
///     }
///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ClockTimer {
    #[cfg(has_timerfd)]
    fd: OwnedFd,
    /// Flags of timerfd_settime(2).
    #[cfg(has_timerfd)]
    flags: libc::c_int,
    /// Systems without timerfd(2) have no timer.
    #[cfg(not(has_timerfd))]
    none: std::convert::Infallible,
}

#[cfg(has_timerfd)]
impl ClockTimer {
    /// Creates a timer of the wall clock, which has no deadline yet.
    ///
    /// # Errors
    ///
    /// The errors of timerfd_create(2): the process or the system is out of descriptors.
    /// `Unsupported` on systems without it.
    pub fn wall() -> io::Result<ClockTimer> {
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        ClockTimer::new(libc::CLOCK_REALTIME, flags)
    }

    /// Creates a timer of the clock of [`boot_time`], which has no deadline yet.
    ///
    /// # Errors
    ///
    /// Same as [`wall`](ClockTimer::wall).
    pub fn boot() -> io::Result<ClockTimer> {
        ClockTimer::new(BOOT_CLOCK, libc::TFD_TIMER_ABSTIME)
    }

    fn new(clock: libc::clockid_t, flags: libc::c_int) -> io::Result<ClockTimer> {
        let created = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: the call takes two integers and touches no memory of ours.
        let fd = fd::owned(unsafe { libc::timerfd_create(clock, created) })?;
        Ok(ClockTimer { fd, flags })
    }

    /// Makes the descriptor readable when the clock shows `deadline`: the time since 1970, or of
    /// [`boot_time`]. It replaces the previous deadline. Returns true if the wall clock was set
    /// since the last report; the deadline is still in force.
    ///
    /// # Errors
    ///
    /// The errors of timerfd_settime(2): the descriptor no longer belongs to the timer.
    pub fn set(&self, deadline: Duration) -> io::Result<bool> {
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec {
            // The type has 32 bits on some systems, and a name that depends on the C library.
            tv_sec: deadline.as_secs().try_into().unwrap_or(i32::MAX.into()),
            // A deadline of zero would disarm the timer.
            tv_nsec: deadline.max(Duration::from_nanos(1)).subsec_nanos() as _,
        };
        let spec = libc::itimerspec { it_interval: zero, it_value: value };
        let fd = self.fd.as_raw_fd();
        // SAFETY: `spec` outlives the call, which writes no old value to the null pointer.
        let set =
            unsafe { libc::timerfd_settime(fd, self.flags, &raw const spec, std::ptr::null_mut()) };
        was_set(check(set))
    }

    /// Makes the descriptor unreadable until the next deadline. Returns true if the wall clock was
    /// set since the last report.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be read, or refers to another file: other code closed it and its
    /// number was used again.
    pub fn drain(&self) -> io::Result<bool> {
        let mut count = [0; size_of::<u64>()];
        match fd::read(self.fd.as_fd(), &mut count) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Ok(bytes) if bytes != count.len() => {
                Err(io::Error::other("the descriptor of the timer refers to another file"))
            }
            read => was_set(read),
        }
    }
}

/// Converts ECANCELED, which means that the wall clock was set.
#[cfg(has_timerfd)]
fn was_set<T>(result: io::Result<T>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(not(has_timerfd))]
impl ClockTimer {
    /// Creates a timer of the wall clock.
    ///
    /// # Errors
    ///
    /// `Unsupported`: this system has no timerfd(2).
    pub fn wall() -> io::Result<ClockTimer> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Creates a timer of the clock of [`boot_time`].
    ///
    /// # Errors
    ///
    /// `Unsupported`: this system has no timerfd(2).
    pub fn boot() -> io::Result<ClockTimer> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sets the deadline.
    ///
    /// # Errors
    ///
    /// Never fails: no value of this type exists.
    pub fn set(&self, _deadline: Duration) -> io::Result<bool> {
        match self.none {}
    }

    /// Makes the descriptor unreadable.
    ///
    /// # Errors
    ///
    /// Never fails: no value of this type exists.
    pub fn drain(&self) -> io::Result<bool> {
        match self.none {}
    }
}

impl AsFd for ClockTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        #[cfg(has_timerfd)]
        return self.fd.as_fd();
        #[cfg(not(has_timerfd))]
        match self.none {}
    }
}

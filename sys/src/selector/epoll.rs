//! epoll(7): the kernel keeps the registrations and returns the ready ones.
//!
//! # Invariant
//!
//! A file that the kernel refuses to watch (`EPERM`) is in `always` and not in the kernel; every
//! other registration is only in the kernel.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::always_ready::AlwaysReady;
use super::contract::{Selector, UserEvent};
use super::errors::{check_found, check_interest, no_user_events, parents_selector};
use crate::environment;
use crate::event::{Event, Events, Interest, Readiness, Token, TriggerMode};
use crate::fd;
use crate::process::Process;
use crate::syscall::{check, retry};
use crate::timeout::{self, retry_for};

/// Resolution of timed waits.
///
/// ```
/// use mainspring_sys::selector::epoll::Resolution;
///
/// let resolution: Resolution = "milliseconds".parse()?;
/// assert_eq!(resolution, Resolution::Milliseconds);
/// assert_eq!(resolution.to_string(), "milliseconds");
/// assert!("seconds".parse::<Resolution>().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resolution {
    /// epoll_pwait2(2), since Linux 5.11. If the first wait finds it missing, the selector falls
    /// back to milliseconds.
    Nanoseconds,
    /// epoll_wait(2).
    Milliseconds,
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Resolution::Nanoseconds => "nanoseconds",
            Resolution::Milliseconds => "milliseconds",
        })
    }
}

impl FromStr for Resolution {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Resolution> {
        let all = [Resolution::Nanoseconds, Resolution::Milliseconds];
        environment::kind_named("timer resolution", name, &all)
    }
}

/// A selector over epoll(7).
#[derive(Debug)]
pub struct Epoll {
    epoll: Arc<OwnedFd>,
    always: AlwaysReady,
    buffer: Vec<libc::epoll_event>,
    resolution: Resolution,
    /// Process that created the instance. A forked child shares the instance, so a change by the
    /// child would change the registrations of its parent.
    process: Process,
}

impl Epoll {
    /// Creates a selector that waits with nanosecond resolution if the kernel can, unless the
    /// environment variable `MAINSPRING_WAIT` is `milliseconds`.
    ///
    /// # Errors
    ///
    /// The errors of epoll_create1(2): the process or the system is out of descriptors or memory.
    /// `InvalidInput` if the variable has a value other than `milliseconds` and `nanoseconds`.
    pub fn new() -> io::Result<Epoll> {
        let resolution = environment::choice("MAINSPRING_WAIT")?;
        Epoll::with_resolution(resolution.unwrap_or(Resolution::Nanoseconds))
    }

    /// Creates a selector with at best this resolution of waits.
    ///
    /// # Errors
    ///
    /// The errors of epoll_create1(2).
    pub fn with_resolution(resolution: Resolution) -> io::Result<Epoll> {
        let (epoll, always, buffer) = (Arc::new(create()?), AlwaysReady::default(), Vec::new());
        Ok(Epoll { epoll, always, buffer, resolution, process: Process::current() })
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        token: Token,
        flags: u32,
    ) -> io::Result<()> {
        if !self.process.is_current() {
            return Err(parents_selector());
        }
        let mut event = libc::epoll_event { events: flags, u64: token.to_u64() };
        // SAFETY: `event` outlives the call, which copies it; a wrong number is an error, not a
        // fault.
        check(unsafe { libc::epoll_ctl(self.raw(), operation, fd, &raw mut event) }).map(drop)
    }

    /// Waits for at most `room` events, which are then at the start of the buffer.
    // Inlined because the CPU mispredicts each return after a system call.
    #[inline(always)]
    fn wait(&mut self, room: usize, timeout: Option<Duration>) -> io::Result<usize> {
        if self.buffer.len() < room {
            self.grow(room);
        }
        let room = libc::c_int::try_from(room).unwrap_or(libc::c_int::MAX);
        let count = match timeout {
            Some(wanted) if !wanted.is_zero() => self.wait_until(room, wanted)?,
            // No timeout is left to subtract from, so the clock is not read.
            _ => retry(|| self.wait_millis(room, timeout.map_or(-1, |_| 0)))?,
        };
        Ok(count as usize)
    }

    #[cold]
    fn grow(&mut self, room: usize) {
        self.buffer.resize(room, libc::epoll_event { events: 0, u64: 0 });
    }

    // Kept out of line: a timed wait sleeps anyway, and `select` stays short.
    #[inline(never)]
    fn wait_until(&mut self, room: libc::c_int, wanted: Duration) -> io::Result<libc::c_int> {
        retry_for(wanted, |left| self.wait_for(room, left))
    }

    fn wait_for(&mut self, room: libc::c_int, wait: Duration) -> io::Result<libc::c_int> {
        if self.resolution == Resolution::Nanoseconds && !wait.is_zero() {
            match self.wait_nanos(room, wait) {
                Err(error) if is_refused(&error) => self.resolution = Resolution::Milliseconds,
                result => return result,
            }
        }
        self.wait_millis(room, timeout::millis(Some(wait)))
    }

    #[inline]
    fn wait_millis(&mut self, room: libc::c_int, millis: libc::c_int) -> io::Result<libc::c_int> {
        let buffer = self.buffer.as_mut_ptr();
        // SAFETY: `buffer` has `room` elements, as the caller ensured, and outlives the call.
        check(unsafe { libc::epoll_wait(self.raw(), buffer, room, millis) })
    }

    fn wait_nanos(&mut self, room: libc::c_int, wait: Duration) -> io::Result<libc::c_int> {
        let (seconds, nanos) = timeout::seconds_and_nanos(wait);
        let timeout = KernelTimespec { seconds, nanos };
        let (call, buffer) = (libc::SYS_epoll_pwait2, self.buffer.as_mut_ptr());
        let no_mask = ptr::null::<libc::sigset_t>();
        // SAFETY: `buffer` has `room` elements, as the caller ensured; `timeout` outlives the call;
        // the size (last argument) is ignored without a mask.
        let count = unsafe {
            libc::syscall(call, self.raw(), buffer, room, &raw const timeout, no_mask, 0)
        };
        check(count).map(|count| count as libc::c_int)
    }

    /// Reports the kernel's events and the always-ready files.
    #[cold]
    fn select_with_files(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let timeout = if self.always.is_ready() { Some(Duration::ZERO) } else { timeout };
        self.always.report(events, |_| true);
        if events.room() > 0 {
            let count = self.wait(events.room(), timeout)?;
            events.extend(self.buffer[..count].iter().map(translate));
        }
        if events.is_empty() {
            // A buffer for one event was left to the kernel, which had none.
            self.always.report(events, |_| true);
        }
        Ok(())
    }

    /// Returns true if there are always-ready files.
    #[inline]
    pub(super) fn has_files(&self) -> bool {
        !self.always.is_empty()
    }

    fn raw(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

impl Selector for Epoll {
    fn register(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        match self.control(libc::EPOLL_CTL_ADD, fd, token, flags(interest, mode)) {
            Err(error) if is_refused_file(&error) => self.always.insert(fd, token, interest, mode),
            Err(error) => Err(error),
            Ok(()) => {
                self.always.remove(fd); // An always-ready file with this number was closed.
                Ok(())
            }
        }
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        mode: TriggerMode,
    ) -> io::Result<()> {
        check_interest(interest)?;
        match self.control(libc::EPOLL_CTL_MOD, fd, token, flags(interest, mode)) {
            Err(error) if is_refused_file(&error) => {
                check_found(self.always.change(fd, token, interest, mode))
            }
            result => result,
        }
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        // The kernel is called even for an always-ready file, because its number may have been
        // reused.
        let removed = self.always.remove(fd);
        match self.control(libc::EPOLL_CTL_DEL, fd, Token::new(0, 0), 0) {
            Err(error) if is_refused_file(&error) => check_found(removed),
            result => result,
        }
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.always.clear_readiness(fd, interest);
    }

    fn has_edges(&self) -> bool {
        true
    }

    #[inline(always)] // Like `wait`.
    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        if !self.always.is_empty() {
            return self.select_with_files(events, timeout);
        }
        let count = self.wait(events.room(), timeout)?;
        events.extend(self.buffer[..count].iter().map(translate));
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        // Created first: if that fails, the selector is unchanged.
        fd::replace(self.raw(), create()?)?;
        self.process = Process::current();
        self.always.clear();
        Ok(())
    }

    fn poll_fd(&self) -> Option<Arc<OwnedFd>> {
        Some(self.epoll.clone())
    }

    fn has_ready(&self) -> bool {
        self.always.is_ready()
    }

    fn user_event(&mut self, _: Token) -> io::Result<Box<dyn UserEvent>> {
        no_user_events()
    }
}

/// The kernel's timespec for 64-bit calls, which differs from libc's on some machines.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanos: i64,
}

fn create() -> io::Result<OwnedFd> {
    // SAFETY: the call takes a flag and touches no memory of ours.
    fd::owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Returns true if the kernel refused a file that never blocks.
fn is_refused_file(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Returns true if the kernel lacks the call or a sandbox forbids it (seccomp returns `EPERM`).
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// Returns the epoll flags. EPOLLRDHUP is requested only with a reading interest: a writer would
/// get it in every wait and could not clear it.
fn flags(interest: Interest, mode: TriggerMode) -> u32 {
    let mut flags = match mode {
        TriggerMode::Level => 0,
        TriggerMode::Oneshot => libc::EPOLLONESHOT,
        TriggerMode::Edge => libc::EPOLLET,
    };
    if interest.contains(Interest::READABLE) {
        flags |= libc::EPOLLIN | libc::EPOLLRDHUP;
    }
    if interest.contains(Interest::READ_CLOSED) {
        flags |= libc::EPOLLRDHUP;
    }
    if interest.contains(Interest::WRITABLE) {
        flags |= libc::EPOLLOUT;
    }
    if interest.contains(Interest::PRIORITY) {
        flags |= libc::EPOLLPRI;
    }
    flags as u32
}

/// Readiness for each combination of epoll flags, indexed by [`table_index`]. One load replaces six
/// comparisons per event.
const READINESS: [Readiness; 64] = {
    let mut table = [Readiness::empty(); 64];
    let mut index = 0;
    while index < table.len() {
        table[index] = readiness((index & 0x1f | (index >> 5) << 13) as libc::c_int);
        index += 1;
    }
    table
};

/// Returns the index into [`READINESS`]: the five lowest bits of the flags, and `EPOLLRDHUP` as the
/// sixth.
const fn table_index(reported: u32) -> usize {
    (reported & 0x1f | (reported >> 13 & 1) << 5) as usize
}

const fn readiness(reported: libc::c_int) -> Readiness {
    const BITS: [(libc::c_int, Readiness); 6] = [
        (libc::EPOLLIN, Readiness::READABLE),
        (libc::EPOLLOUT, Readiness::WRITABLE),
        (libc::EPOLLPRI, Readiness::PRIORITY),
        (libc::EPOLLERR, Readiness::ERROR),
        (libc::EPOLLHUP, Readiness::HANGUP),
        (libc::EPOLLRDHUP, Readiness::READ_CLOSED),
    ];
    let mut all = Readiness::empty();
    let mut at = 0;
    while at < BITS.len() {
        let (bit, readiness) = BITS[at];
        assert!(bit & !0x201f == 0, "the table does not cover this flag");
        if reported & bit != 0 {
            all = all.union(readiness);
        }
        at += 1;
    }
    all.with_implied()
}

#[inline]
fn translate(event: &libc::epoll_event) -> Event {
    // Copied first, because the struct is packed on x86-64.
    let (reported, token) = (event.events, event.u64);
    Event { token: Token::from_u64(token), readiness: READINESS[table_index(reported)] }
}

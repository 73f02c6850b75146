//! epoll(7): the kernel keeps the registrations and hands out what is ready.
//!
//! # Invariant
//!
//! What the kernel refuses to watch (`EPERM`) is in `always` and nowhere in the kernel; everything
//! else is in the kernel only.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::always_ready::AlwaysReady;
use super::{Selector, UserEvent, check_interest, no_user_events, parents_selector};
use crate::environment;
use crate::event::{Event, Events, Interest, Readiness, Token, TriggerMode};
use crate::fd::{is_open, owned};
use crate::process::Process;
use crate::syscall::{check, retry};
use crate::timeout::{self, retry_for};

/// The finest wait that is asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// epoll_pwait2(2), since Linux 5.11. Found missing at the first wait, it is not asked for
    /// again.
    Nanoseconds,
    /// epoll_wait(2).
    Milliseconds,
}

impl FromStr for Resolution {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Resolution> {
        match name {
            "nanoseconds" => Ok(Resolution::Nanoseconds),
            "milliseconds" => Ok(Resolution::Milliseconds),
            _ => {
                let there_are = "there are nanoseconds, milliseconds";
                let message = format!("no resolution of waits is called {name:?}; {there_are}");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }
}

/// A selector over epoll(7).
#[derive(Debug)]
pub struct Epoll {
    epoll: Arc<OwnedFd>,
    always: AlwaysReady,
    buffer: Vec<libc::epoll_event>,
    resolution: Resolution,
    /// The process that made the instance. A child of it shares the instance: what it registered or
    /// removed there would be registered or removed for its parent.
    process: Process,
}

impl Epoll {
    /// A selector that waits with nanosecond resolution where the kernel can, unless the variable
    /// `MAINSPRING_WAIT` says `milliseconds`.
    ///
    /// # Errors
    ///
    /// As epoll_create1(2): the process or the system is out of descriptors or memory.
    /// `InvalidInput` if the variable has another value than `milliseconds` and `nanoseconds`.
    pub fn new() -> io::Result<Epoll> {
        let resolution = environment::choice("MAINSPRING_WAIT")?;
        Epoll::with_resolution(resolution.unwrap_or(Resolution::Nanoseconds))
    }

    /// A selector that asks for waits of at best this resolution.
    ///
    /// # Errors
    ///
    /// As epoll_create1(2).
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
        // SAFETY: `event` outlives the call, which copies it; a bad number is an error, not a
        // fault.
        check(unsafe { libc::epoll_ctl(self.raw(), operation, fd, &raw mut event) }).map(drop)
    }

    /// Waits for at most `room` events, which are then the first ones in the buffer.
    // Each return after a system call is one that the processor has not predicted.
    #[inline(always)]
    fn wait(&mut self, room: usize, timeout: Option<Duration>) -> io::Result<usize> {
        if self.buffer.len() < room {
            self.grow(room);
        }
        let room = libc::c_int::try_from(room).unwrap_or(libc::c_int::MAX);
        let count = match timeout {
            Some(wanted) if !wanted.is_zero() => self.wait_until(room, wanted)?,
            // Without a wait to shorten there is no clock to read.
            _ => retry(|| self.wait_millis(room, timeout.map_or(-1, |_| 0)))?,
        };
        Ok(count as usize)
    }

    #[cold]
    fn grow(&mut self, room: usize) {
        self.buffer.resize(room, libc::epoll_event { events: 0, u64: 0 });
    }

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
        // SAFETY: `buffer` has `room` events, seen to by the caller, and outlives the call.
        check(unsafe { libc::epoll_wait(self.raw(), buffer, room, millis) })
    }

    fn wait_nanos(&mut self, room: libc::c_int, wait: Duration) -> io::Result<libc::c_int> {
        let (seconds, nanos) = timeout::seconds_and_nanos(wait);
        let timeout = KernelTimespec { seconds, nanos };
        let (call, buffer) = (libc::SYS_epoll_pwait2, self.buffer.as_mut_ptr());
        let no_mask = ptr::null::<libc::sigset_t>();
        // SAFETY: `buffer` has `room` events, seen to by the caller; `timeout` outlives the call;
        // without a mask its size (the last argument) is not looked at.
        let count = unsafe {
            libc::syscall(call, self.raw(), buffer, room, &raw const timeout, no_mask, 0)
        };
        check(count).map(|count| count as libc::c_int)
    }

    /// The kernel's events, and those of files that the kernel does not watch.
    #[cold]
    fn select_beside_files(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let timeout = if self.always.is_ready() { Some(Duration::ZERO) } else { timeout };
        self.always.report(events, is_open);
        if events.room() > 0 {
            let count = self.wait(events.room(), timeout)?;
            events.extend(self.buffer[..count].iter().map(translate));
        }
        if events.is_empty() {
            self.always.report(events, is_open); // It was the kernel's turn, and the kernel had nothing.
        }
        Ok(())
    }

    /// Whether there are files that the kernel does not watch.
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
                self.always.remove(fd); // A file that was closed without a word had this number.
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
                found(self.always.change(fd, token, interest, mode))
            }
            result => result,
        }
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let removed = self.always.remove(fd);
        match self.control(libc::EPOLL_CTL_DEL, fd, Token::new(0, 0), 0) {
            Err(error) if is_refused_file(&error) => found(removed),
            result => result,
        }
    }

    fn clear_readiness(&mut self, fd: RawFd, interest: Interest) {
        self.always.clear_readiness(fd, interest);
    }

    fn has_edges(&self) -> bool {
        true
    }

    #[inline(always)] // As `wait`.
    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        if !self.always.is_empty() {
            return self.select_beside_files(events, timeout);
        }
        let count = self.wait(events.room(), timeout)?;
        events.extend(self.buffer[..count].iter().map(translate));
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        let fresh = create()?;
        // A child's descriptors are its own, so its parent keeps the old object.
        // SAFETY: both numbers are open and ours; the old object is replaced under its own number.
        check(unsafe { libc::dup3(fresh.as_raw_fd(), self.raw(), libc::O_CLOEXEC) })?;
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

/// The kernel's own timespec of 64-bit calls, which libc's is not on every machine.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanos: i64,
}

fn create() -> io::Result<OwnedFd> {
    // SAFETY: the call takes a flag and touches no memory of ours.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

fn found(it_was: bool) -> io::Result<()> {
    if it_was { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Whether the kernel says that the file never makes anyone wait.
fn is_refused_file(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Whether the kernel lacks the call, or a sandbox forbids it (seccomp answers `EPERM`).
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// End of file is asked for with reading only: a writer would be told of it for ever, and could not
/// make it go away.
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

/// What epoll says of an fd, by [`said`].
const READINESS: [Readiness; 64] = {
    let mut table = [Readiness::empty(); 64];
    let mut index = 0;
    while index < table.len() {
        table[index] = readiness((index & 0x1f | (index >> 5) << 13) as libc::c_int);
        index += 1;
    }
    table
};

/// The place in [`READINESS`] of what was reported: the five lowest bits and `EPOLLRDHUP`.
const fn said(reported: u32) -> usize {
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
        assert!(bit & !0x201f == 0, "the table has no place for this bit");
        if reported & bit != 0 {
            all = all.union(readiness);
        }
        at += 1;
    }
    all.with_implied()
}

#[inline]
fn translate(event: &libc::epoll_event) -> Event {
    let (reported, token) = (event.events, event.u64); // Copied: the struct is packed on x86-64.
    Event { token: Token::from_u64(token), readiness: READINESS[said(reported)] }
}

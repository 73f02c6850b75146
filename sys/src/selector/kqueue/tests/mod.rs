//! Tests of the selector over a scripted kernel.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::Duration;

use self::fake::{Fake, FakeFile};
use self::profiles::on_every_kernel;
use super::Kqueue;
use super::kernel::{FileKind, Kernel};
use super::kevent::{EV_DISPATCH, Filter};
use crate::event::{Event, Events, Interest, Readiness, Token, TriggerMode};
use crate::selector::Selector;

mod errors;
mod exits;
mod fake;
mod model;
mod never_blocks;
mod profiles;
mod recorded;
mod reports;

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;
const BOTH: Interest = READ.union(WRITE);
const EMPTY: FakeFile = FakeFile {
    kind: FileKind::Other,
    is_pipe: false,
    is_null: false,
    readable: false,
    writable: false,
    is_full: false,
    arrivals: 0,
    priority: false,
    read_end: false,
    write_end: false,
    error: 0,
};
const READY: FakeFile = FakeFile { readable: true, writable: true, ..EMPTY };
const FILE: FakeFile = FakeFile { kind: FileKind::File, ..EMPTY };
const PIPE: FakeFile = FakeFile { is_pipe: true, ..EMPTY };
const NULL: FakeFile = FakeFile { kind: FileKind::Device, is_null: true, ..READY };

/// A selector, and the kernel behind it.
struct Bench {
    kernel: Fake,
    selector: Kqueue<Fake>,
}

impl Bench {
    fn new() -> Bench {
        let kernel = Fake::new();
        Bench { selector: Kqueue::over(kernel.clone()), kernel }
    }

    /// A bench with one file, open as fd 7.
    fn with(file: FakeFile) -> Bench {
        let bench = Bench::new();
        bench.kernel.open(7, file);
        bench
    }

    fn register(
        &mut self,
        fd: RawFd,
        token: u32,
        interest: Interest,
        mode: TriggerMode,
    ) -> Verdict {
        verdict(self.selector.register(fd, Token::new(token, 9), interest, mode))
    }

    fn reregister(
        &mut self,
        fd: RawFd,
        token: u32,
        interest: Interest,
        mode: TriggerMode,
    ) -> Verdict {
        verdict(self.selector.reregister(fd, Token::new(token, 9), interest, mode))
    }

    fn deregister(&mut self, fd: RawFd) -> Verdict {
        verdict(self.selector.deregister(fd))
    }

    fn select(&mut self) -> Vec<(u32, Readiness)> {
        self.select_at_most(64)
    }

    fn select_at_most(&mut self, room: usize) -> Vec<(u32, Readiness)> {
        let mut events = Events::with_capacity(room);
        self.selector.select(&mut events, Some(Duration::ZERO)).unwrap();
        let plain = |event: &Event| (event.token.slot(), event.readiness);
        events.as_slice().iter().map(plain).collect()
    }

    /// Returns the calls since the last time: number of changes, timeout.
    fn calls(&self) -> Vec<(usize, Option<Duration>)> {
        std::mem::take(&mut self.kernel.state().calls)
    }
}

/// An error as its errno, where the contract specifies one, otherwise as its kind.
type Verdict = Result<(), Refusal>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Errno(i32),
    Kind(io::ErrorKind),
}

const EXISTS: Verdict = Err(Refusal::Kind(io::ErrorKind::AlreadyExists));
const NOT_FOUND: Verdict = Err(Refusal::Kind(io::ErrorKind::NotFound));
const UNSUPPORTED: Verdict = Err(Refusal::Kind(io::ErrorKind::Unsupported));
const BAD_FD: Verdict = Err(Refusal::Errno(libc::EBADF));

fn verdict(result: io::Result<()>) -> Verdict {
    result.map_err(|error| match error.raw_os_error() {
        Some(errno) => Refusal::Errno(errno),
        None => Refusal::Kind(error.kind()),
    })
}

/// Lowest number of real files: the scripted kernel has other files under low numbers.
const LOWEST_REAL: RawFd = 100;

/// A file that is also open in this process, because `always_ready` checks its files by fstat(2).
fn null() -> File {
    let file = File::open("/dev/null").unwrap();
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and touches no memory of ours.
    let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, LOWEST_REAL) };
    assert!(fd >= LOWEST_REAL, "{}", io::Error::last_os_error());
    // SAFETY: the call succeeded, so `fd` is open and has no other owner.
    unsafe { File::from_raw_fd(fd) }
}

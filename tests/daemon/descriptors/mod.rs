//! Passing descriptors (docs/contract.md, section D).

mod lost;
mod sockets;
mod transports;

use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::FdFlags;

/// Asserts that a received descriptor is close-on-exec.
#[track_caller]
fn assert_close_on_exec(fd: &OwnedFd) {
    assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
}

/// Asserts that no writer of the pipe is left, neither here nor in a socket.
#[track_caller]
fn assert_all_closed(mut reader: PipeReader) {
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

/// A pipe, and this many references to its writer.
struct Many {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Many {
    fn new() -> Many {
        let (reader, writer) = pipe().unwrap();
        Many { reader, writer }
    }

    fn fds(&self, count: usize) -> Vec<BorrowedFd<'_>> {
        vec![self.writer.as_fd(); count]
    }

    /// Returns duplicates of the writer.
    fn owned(&self, count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| self.writer.try_clone().unwrap().into()).collect()
    }

    /// Asserts that all descriptors that were sent are closed.
    #[track_caller]
    fn assert_closed(self) {
        let Many { reader, writer } = self;
        drop(writer);
        assert_all_closed(reader);
    }
}

//! Copies that the kernel makes: splice(2) and sendfile(2).

use std::os::fd::OwnedFd;

use rustix::fs::sendfile;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// Bytes of one sendfile(2).
const PART: usize = 256 * 1024;

/// Copies everything through a pipe of `size` bytes. Returns the number of system calls.
pub fn splice_through(from: OwnedFd, to: OwnedFd, size: usize) -> usize {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    fcntl_setpipe_size(&writer, size).expect("a size that every user may set");
    let mut calls = 0;
    let mut step = |from: &OwnedFd, to: &OwnedFd, count| {
        calls += 1;
        splice(from, None, to, None, count, SpliceFlags::MOVE).expect("both ends support it")
    };
    loop {
        let mut left = step(&from, &writer, size);
        if left == 0 {
            return calls;
        }
        while left > 0 {
            left -= step(&reader, &to, left);
        }
    }
}

/// Copies a file by sendfile(2). Returns the number of system calls.
pub fn send_by_hand(from: OwnedFd, to: OwnedFd) -> usize {
    let mut calls = 1;
    while sendfile(&to, &from, None, PART).expect("both ends support it") > 0 {
        calls += 1;
    }
    calls
}

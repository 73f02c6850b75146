//! Stand-ins for the hand-written loop on systems without epoll: the same names, but no value can
//! be created.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// True if this system has epoll.
pub const IS_SUPPORTED: bool = false;

pub const READ: u32 = 0;

/// Has no values.
pub struct Epoll(Infallible);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn add(&self, _fd: RawFd, _flags: u32) -> io::Result<()> {
        match self.0 {}
    }

    pub fn wait(&mut self, _millis: i32) -> io::Result<usize> {
        match self.0 {}
    }

    pub fn event(&self, _index: usize) -> (RawFd, u32) {
        match self.0 {}
    }
}

/// Has no values.
pub struct SoonQueue<S>(Infallible, PhantomData<S>);

impl<S> SoonQueue<S> {
    pub fn push(&mut self, _once: impl FnOnce(&mut SoonQueue<S>, &mut S) + 'static) {
        match self.0 {}
    }
}

/// Has no values.
pub struct Loop<S> {
    pub soon: SoonQueue<S>,
    pub state: S,
}

impl<S> Loop<S> {
    pub fn new(_state: S) -> io::Result<Loop<S>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn add_reader(
        &mut self,
        _fd: RawFd,
        _reader: impl FnMut(&mut S) + 'static,
    ) -> io::Result<()> {
        match self.soon.0 {}
    }

    pub fn tick(&mut self) -> io::Result<()> {
        match self.soon.0 {}
    }
}

pub fn serve(_listener: OwnedFd) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns the time since the first call, instead of CPU time.
pub fn cpu_of_this_thread() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

pub fn cpu_of(_process: u32) -> io::Result<Duration> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Never called, because the benches are skipped.
pub fn cores() -> io::Result<(usize, usize)> {
    Ok((0, 0))
}

/// Does nothing.
pub fn pin(_core: usize) -> io::Result<()> {
    Ok(())
}

pub fn splice_through(_from: OwnedFd, _to: OwnedFd, _size: usize) -> usize {
    unreachable!("the bench is skipped on systems without splice(2)")
}

pub fn send_by_hand(_from: OwnedFd, _to: OwnedFd) -> usize {
    unreachable!("the bench is skipped on systems without splice(2)")
}

//! Accepting, as a future.
//!
//! # Invariants
//!
//! * A connection is accepted in the poll that returns it, so whoever drops the future loses none.
//! * At the limit of descriptors nothing spins, and no error ends a loop that just accepts: the
//!   listener rests, for all who wait for it. After a rest in vain a few clients are turned away by
//!   means of a reserve descriptor, so that they learn it. An incident is reported once; it is over
//!   when the limit was not met for a while.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mainspring_sys::Interest;
use mainspring_sys::socket::{self, AcceptError, Address, ListenOptions, ReserveFd};

use super::connections::{Connections, Place};
use super::server::FAILURES;
use crate::error::{Error, Result};
use crate::task::{Io, current_loop, report, running, sleep_until};

/// How long a listener rests when there is no room for another connection.
const REST: Duration = Duration::from_millis(100);
/// How many of those who wait are turned away after a rest that did not help.
const TURNED_AWAY: usize = 8;
/// How long the limit was not met when an incident is over.
const CALM: Duration = Duration::from_secs(1);

/// A listener of tasks.
pub(super) struct Listening {
    io: Io<OwnedFd>,
    connections: Rc<Connections>,
    reserve: RefCell<ReserveFd>,
    /// The end of the latest rest, and whether nobody was let in since it began.
    rest: Cell<Option<Instant>>,
    in_vain: Cell<bool>,
    /// When the limit was met last.
    met: Cell<Option<Instant>>,
    /// Connections in a row that failed while they were accepted.
    failures: Cell<u32>,
    /// The latest tick in which somebody was let in.
    busy: Cell<u64>,
}

impl Listening {
    pub(super) fn bind(address: &Address, options: &ListenOptions) -> Result<Listening> {
        let fd = super::server::listen(address, options)?;
        Listening::of(Io::nonblocking(fd, Interest::READABLE))
    }

    /// Of a listening socket from elsewhere.
    pub(super) fn new(fd: OwnedFd) -> Result<Listening> {
        Listening::of(Io::with_interest(fd, Interest::READABLE)?)
    }

    fn of(io: Io<OwnedFd>) -> Result<Listening> {
        let reserve = ReserveFd::new(&io)
            .map_err(|source| Error::Create { part: "reserve descriptor", source })?;
        let (io, reserve) = (io.by_level(), RefCell::new(reserve));
        let (rest, in_vain, met, failures, busy) = Default::default();
        let connections = Connections::new();
        Ok(Listening { io, connections, reserve, rest, in_vain, met, failures, busy })
    }

    /// Sets what accepted sockets inherit, which saves a system call for each. Returns the address.
    pub(super) fn prepare(&self) -> Result<Address> {
        let fd = self.io.as_fd();
        socket::prepare_listener(fd).map_err(|source| Error::Watch {
            operation: "prepare",
            fd: fd.as_raw_fd(),
            source,
        })
    }

    /// The number of open streams, and its limit.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) async fn accept(&self) -> Result<(OwnedFd, Address, Place)> {
        loop {
            self.connections.vacancy().await;
            if let Some(end) = self.rest.get() {
                if current_loop()?.now() < end {
                    sleep_until(end).await;
                    continue;
                }
                self.rest.set(None);
            }
            match self.io.read_with(|fd| self.accept_now(fd)).await? {
                Ok(None) => {} // Another task has taken the last place.
                Ok(Some((fd, from))) => {
                    self.in_vain.set(false);
                    self.failures.set(0);
                    if !self.is_busy() {
                        self.io.clear_readiness(Interest::READABLE);
                    }
                    return Ok((fd, from, self.connections.enter()));
                }
                Err(AcceptError::Capacity(error)) => self.begin_rest(error)?,
                Err(AcceptError::Listener(source)) => {
                    return Err(Error::Accept { fd: self.io.as_fd().as_raw_fd(), source });
                }
                // Only this connection has failed.
                Err(AcceptError::Connection(error)) => self.fail(error)?,
                Err(AcceptError::WouldBlock) => {}
            }
        }
    }

    /// Accepts one connection, if there is a place for it. Errors of accepting are in the result:
    /// only `WouldBlock` is left to the descriptor.
    fn accept_now(&self, listener: &OwnedFd) -> io::Result<Accepted> {
        if self.connections.is_full() {
            return Ok(Ok(None));
        }
        match socket::accept(listener) {
            Err(AcceptError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            other => Ok(other.map(Some)),
        }
    }

    /// Whether somebody was let in in the tick before, so that it is worth a call to look for more.
    /// Otherwise the selector tells whether somebody is left.
    fn is_busy(&self) -> bool {
        let Ok(tasks) = running("mainspring::net") else { return true };
        let tick = tasks.core.tick.get();
        tick.wrapping_sub(self.busy.replace(tick)) <= 1
    }

    /// There is no room.
    fn begin_rest(&self, source: io::Error) -> Result<()> {
        let now = current_loop()?.now();
        if self.rest.get().is_some_and(|end| now < end) {
            return Ok(()); // Another task has found out first.
        }
        if self.in_vain.replace(true) {
            self.turn_away();
        }
        self.pause(now, source);
        Ok(())
    }

    /// One connection has failed. Accept may fail every time and leave it in the backlog, like with
    /// EPERM of a seccomp filter, so the listener rests after several in a row.
    fn fail(&self, source: io::Error) -> Result<()> {
        self.failures.set(self.failures.get() + 1);
        if self.failures.get() >= FAILURES {
            self.failures.set(0);
            self.pause(current_loop()?.now(), source);
        }
        Ok(())
    }

    fn pause(&self, now: Instant, source: io::Error) {
        let before = self.met.replace(Some(now));
        if before.is_none_or(|before| now.saturating_duration_since(before) >= CALM) {
            report(Error::Accept { fd: self.io.as_fd().as_raw_fd(), source });
        }
        self.rest.set(Some(now + REST));
    }

    fn turn_away(&self) {
        let mut reserve = self.reserve.borrow_mut();
        for _ in 0..TURNED_AWAY {
            if reserve.turn_away(&self.io).is_err() {
                break;
            }
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<Address> {
        socket::local_addr(self)
    }
}

/// A connection, or none because the listener is full.
type Accepted = std::result::Result<Option<(OwnedFd, Address)>, AcceptError>;

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening(fd {})", self.io.as_fd().as_raw_fd())
    }
}

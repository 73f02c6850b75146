//! Accepting for tasks: a listener that follows the [accept policy](super::accept_policy).
//!
//! # Invariants
//!
//! * A connection is accepted in the poll that returns it, so dropping the future loses none.
//! * At the descriptor limit nothing spins, and no error ends a task that accepts in a loop: all
//!   tasks that accept from this listener wait for the end of the backoff.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Instant;

use mainspring_sys::Interest;
use mainspring_sys::socket::{self, AcceptError, Address, ListenOptions, ReserveFd};

use super::accept_policy::{AcceptPolicy, Failure, Next};
use super::connection_limit::{ConnectionLimit, Permit};
use super::listen::listen;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::task::current::{report, running_for};
use crate::task::sleep_until;

/// Connections that a run of a burst may accept. Each run of a task ends after one connection, so
/// any greater number distinguishes a burst from a single connection.
const BATCH: usize = 2;

/// The calls that need a running loop, for [`Error::NoLoop`].
const ACCEPT: &str = "mainspring::net::{TcpListener, UnixListener}::accept";

/// A listening socket of tasks.
pub(super) struct TaskListener {
    io: Io<OwnedFd>,
    /// The call that made the listener, for its connections.
    location: &'static Location<'static>,
    limit: Rc<ConnectionLimit>,
    reserve: RefCell<ReserveFd>,
    policy: RefCell<AcceptPolicy>,
    /// End of the latest backoff; `None` if there is none.
    backoff_end: Cell<Option<Instant>>,
}

impl TaskListener {
    #[track_caller]
    pub(super) fn bind(address: &Address, options: &ListenOptions) -> Result<TaskListener> {
        TaskListener::from_nonblocking(listen(address, options)?)
    }

    /// Takes over a listening socket that is non-blocking already, and owned by this process.
    #[track_caller]
    pub(super) fn from_nonblocking(fd: OwnedFd) -> Result<TaskListener> {
        let location = Location::caller();
        TaskListener::of(Io::nonblocking(fd, Interest::READABLE, location), location)
    }

    /// Takes over a listening socket that may be blocking.
    #[track_caller]
    pub(super) fn new(fd: OwnedFd) -> Result<TaskListener> {
        TaskListener::of(Io::with_interest(fd, Interest::READABLE)?, Location::caller())
    }

    /// Watches the listener level-triggered. With edges, each burst would end in one more accept(2)
    /// that finds the backlog empty.
    fn of(io: Io<OwnedFd>, location: &'static Location<'static>) -> Result<TaskListener> {
        let reserve = ReserveFd::new(&io)
            .map_err(|source| Error::Create { part: "reserve descriptor", source })?;
        Ok(TaskListener {
            io: io.by_level(),
            location,
            limit: ConnectionLimit::new(),
            reserve: RefCell::new(reserve),
            policy: RefCell::new(AcceptPolicy::new(0)),
            backoff_end: Cell::new(None),
        })
    }

    /// Sets the options that accepted sockets inherit, which saves a system call for each. Returns
    /// the listener's address.
    pub(super) fn prepare(&self) -> Result<Address> {
        socket::prepare_listener(self).map_err(|source| Error::Watch {
            operation: "prepare",
            fd: self.fd(),
            source,
        })
    }

    /// Returns the place of the call that made the listener. Its connections have the same one.
    pub(super) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Returns the count of open streams, and its limit.
    pub(super) fn limit(&self) -> &ConnectionLimit {
        &self.limit
    }

    pub(super) async fn accept(&self) -> Result<(OwnedFd, Address, Permit)> {
        loop {
            self.limit.room().await;
            if let Some(end) = self.backoff_end.get() {
                if running_for(ACCEPT)?.core.timeline.now() < end {
                    sleep_until(end).await;
                    continue;
                }
                self.backoff_end.set(None);
            }
            match self.io.read_with(|fd| self.accept_now(fd)).await? {
                Ok(None) => {} // Another task took the last place.
                Ok(Some((fd, from))) => {
                    self.note_accepted();
                    return Ok((fd, from, self.limit.enter()));
                }
                Err(AcceptError::Capacity(source)) => self.fail(Failure::Capacity, source)?,
                Err(AcceptError::Connection(source)) => self.fail(Failure::Connection, source)?,
                Err(AcceptError::Listener(source)) => {
                    return Err(Error::Accept { fd: self.fd(), source });
                }
                Err(AcceptError::WouldBlock) => {}
            }
        }
    }

    /// Accepts one connection if the limit allows it. The result holds errors of accepting in `Ok`,
    /// so that `read_with` waits only on `WouldBlock`.
    fn accept_now(&self, listener: &OwnedFd) -> io::Result<Accepted> {
        // In the same call as accept(2), so that several accepting tasks never exceed the limit.
        if self.limit.is_reached() {
            return Ok(Ok(None));
        }
        match socket::accept(listener) {
            Err(AcceptError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            other => Ok(other.map(Some)),
        }
    }

    /// Notes an accepted connection. Unless this is a burst, clears the readiness: the selector
    /// reports the next connection, and no accept(2) finds the backlog empty.
    fn note_accepted(&self) {
        let mut policy = self.policy.borrow_mut();
        if let Ok(tasks) = running_for(ACCEPT) {
            policy.begin(tasks.core.tick(), BATCH);
            tasks.core.page.accepted.add(1);
        }
        if policy.accepted() == Next::Accept(0) {
            self.io.clear_readiness(Interest::READABLE);
        }
    }

    fn fail(&self, failure: Failure, source: io::Error) -> Result<()> {
        let tasks = running_for(ACCEPT)?;
        let timeline = &tasks.core.timeline;
        let now = timeline.now();
        if self.backoff_end.get().is_some_and(|end| now < end) {
            return Ok(()); // Another task has met the same failure first.
        }
        let reaction = self.policy.borrow_mut().failed(failure, timeline.nanos_of(now));
        self.turn_away(reaction.turn_away);
        if reaction.report {
            report(Error::Accept { fd: self.fd(), source });
        }
        if let Next::BackOff(time) = reaction.next {
            self.backoff_end.set(Some(now + time));
        }
        Ok(())
    }

    /// Accepts and closes up to `clients` waiting connections by means of the reserve.
    fn turn_away(&self, clients: usize) {
        let mut reserve = self.reserve.borrow_mut();
        for _ in 0..clients {
            if reserve.accept_and_close(&self.io).is_err() {
                break;
            }
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<Address> {
        socket::local_addr(self)
    }

    /// Returns the listening socket, which leaves the loop. It stays non-blocking.
    pub(super) fn into_fd(self) -> OwnedFd {
        let TaskListener { io, reserve, .. } = self;
        drop(reserve); // A copy of the listener: while it is open, the port is open.
        io.into_inner()
    }

    fn fd(&self) -> RawFd {
        self.io.as_fd().as_raw_fd()
    }
}

/// A connection, or `None` at the connection limit.
type Accepted = std::result::Result<Option<(OwnedFd, Address)>, AcceptError>;

impl AsFd for TaskListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl fmt::Debug for TaskListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd {}, {} connections", self.fd(), self.limit.open())
    }
}

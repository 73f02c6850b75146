//! One registration of a loop, at the time of a snapshot.

use std::fmt;
use std::os::fd::RawFd;
use std::panic::Location;
use std::time::Duration;

use mainspring_sys::file_type::FileType;
use mainspring_sys::socket::{self, Address};
use mainspring_sys::{Interest, Signal};

use super::kinds::{EntryKind, EntryState};
use crate::awaits::Await;
use crate::handle::Handle;

/// An event that a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// A deadline, after this time. `None` if it never comes.
    Time(Option<Duration>),
    /// Readiness of a descriptor.
    Descriptor {
        /// The fd.
        fd: RawFd,
        /// The directions that the task waits for.
        interest: Interest,
    },
    /// The end of another task.
    Task(Handle),
}

/// A registration in a [`Snapshot`](super::Snapshot).
///
/// A method returns `None` if the entry's kind does not have the value. `Display` writes a row of
/// the table.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) state: EntryState,
    pub(crate) is_foreground: bool,
    pub(crate) keeps_alive: bool,
    pub(crate) handle: Option<Handle>,
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) age: Option<u64>,
    pub(crate) runs: Option<u64>,
    pub(crate) parent: Option<usize>,
    pub(crate) details: Option<Box<Details>>,
}

/// Details that few kinds have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    pub(crate) fd: Option<RawFd>,
    pub(crate) file: Option<FileType>,
    pub(crate) interest: Option<Interest>,
    pub(crate) address: Option<Address>,
    pub(crate) peer: Option<Address>,
    pub(crate) queued: Option<usize>,
    pub(crate) connections: Option<usize>,
    pub(crate) due_in: Option<Duration>,
    pub(crate) period: Option<Duration>,
    pub(crate) running_for: Option<Duration>,
    pub(crate) signal: Option<Signal>,
    pub(crate) pid: Option<u32>,
    pub(crate) stage: Option<&'static str>,
    pub(crate) count: Option<usize>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) awaits: Vec<Await>,
    pub(crate) waiting_since: Option<u64>,
}

impl Details {
    /// Adds the address of a socket's peer, or that of the socket if it has no peer.
    pub(crate) fn add_addresses(&mut self) {
        let Some(fd) = self.fd.filter(|_| self.file == Some(FileType::Socket)) else { return };
        self.peer = socket::peer_addr_of_fd(fd).ok();
        if self.peer.is_none() {
            self.address = socket::local_addr_of_fd(fd).ok();
        }
    }
}

/// Details about a callback that only its owner has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// True if the callback is running, so that the other fields cannot be read.
    pub(crate) is_running: bool,
    /// True if it keeps the loop running although no event can reach it.
    pub(crate) is_backing_off: bool,
    pub(crate) queued: Option<usize>,
    pub(crate) connections: Option<usize>,
}

impl Entry {
    /// Returns an entry in the foreground, without details.
    pub(crate) fn new(kind: EntryKind, state: EntryState) -> Entry {
        Entry {
            kind,
            state,
            is_foreground: true,
            keeps_alive: false,
            handle: None,
            location: None,
            name: None,
            age: None,
            runs: None,
            parent: None,
            details: None,
        }
    }

    pub(crate) fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    fn detail<T>(&self, read: impl FnOnce(&Details) -> Option<T>) -> Option<T> {
        self.details.as_deref().and_then(read)
    }

    /// Returns the kind.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Returns the state.
    pub fn state(&self) -> EntryState {
        self.state
    }

    /// Returns the handle, for example to [cancel](crate::LoopHandle::cancel) the registration.
    pub fn handle(&self) -> Option<Handle> {
        self.handle
    }

    /// Returns the name set by [`set_name`](crate::LoopHandle::set_name), or the name of a job.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the source location of the call that registered, spawned or submitted it.
    ///
    /// A connection of a server has the location of the server, and a stream that a listener of a
    /// task accepted has that of the listener. A descriptor has the location of the call that made
    /// its [`Io`](crate::Io) or socket; `None` if it was watched by another loop, which is closed.
    /// Remotes have the location of [`LoopHandle::remote`](crate::LoopHandle::remote), even if they
    /// are clones. A report of a panic has none.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    /// Returns the number of ticks since the registration, for callbacks and descriptors at most
    /// 2^30 - 1.
    ///
    /// * A queued closure is 0 ticks old if the latest tick queued it, or code after that tick.
    ///   Otherwise it is 1 tick old. It may be older if an error or a panic ended its tick.
    /// * Groups, scopes, timeouts and shields count from their first poll.
    /// * A job counts from [`spawn_blocking`](crate::spawn_blocking()) or the lookup that submitted
    ///   it. A job submitted to the [pool](crate::BlockingPool) has no age.
    /// * Remotes count from the call since which there always was one.
    /// * A task has an age if the loop keeps
    ///   [histories](crate::EventLoopBuilder::await_lines). Otherwise it has no memory for that.
    /// * A message has no age: the number of the tick would have to be shared with its thread. A
    ///   report has none either: it waits for the end of the batch.
    pub fn age(&self) -> Option<u64> {
        self.age
    }

    /// Returns the number of times that the callback was called, or that the task was polled. A
    /// call that is under way counts, so the number of a job is 0 or 1. A closure, a message and a
    /// timer that run only once have 0, because their entry is removed before the call.
    ///
    /// A task has a number if the loop keeps [histories](crate::EventLoopBuilder::await_lines).
    /// Descriptors, groups, scopes, timeouts and shields have none: they run with their task.
    pub fn runs(&self) -> Option<u64> {
        self.runs
    }

    /// Returns true if it is not in the [background](crate::LoopHandle::set_background).
    pub fn is_foreground(&self) -> bool {
        self.is_foreground
    }

    /// Returns true if [`run`](crate::EventLoop::run) waits for it.
    pub fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// Returns the index of the enclosing entry: the group of a task, or the scope, group or task
    /// around a group or a scope.
    pub fn parent(&self) -> Option<usize> {
        self.parent
    }

    /// Returns the fd.
    pub fn fd(&self) -> Option<RawFd> {
        self.detail(|details| details.fd)
    }

    /// Returns the type of the descriptor's file, or `None` if the fd is not open.
    pub fn file(&self) -> Option<FileType> {
        self.detail(|details| details.file)
    }

    /// Returns the directions that are watched; none while it is paused.
    pub fn interest(&self) -> Option<Interest> {
        self.detail(|details| details.interest)
    }

    /// Returns the address of a server, or of another socket without a peer.
    pub fn address(&self) -> Option<&Address> {
        self.details.as_ref()?.address.as_ref()
    }

    /// Returns the address of the peer of a connection, or of another connected socket.
    pub fn peer(&self) -> Option<&Address> {
        self.details.as_ref()?.peer.as_ref()
    }

    /// Returns the number of bytes in the write queue of a connection or a datagram endpoint.
    /// `None` for the one that took the snapshot.
    pub fn queued(&self) -> Option<usize> {
        self.detail(|details| details.queued)
    }

    /// Returns the number of open connections of a server.
    pub fn connections(&self) -> Option<usize> {
        self.detail(|details| details.connections)
    }

    /// Returns the time until the deadline of a timer; zero if it is due.
    pub fn due_in(&self) -> Option<Duration> {
        self.detail(|details| details.due_in)
    }

    /// Returns the period of an interval.
    pub fn period(&self) -> Option<Duration> {
        self.detail(|details| details.period)
    }

    /// Returns the time since a job began to run.
    pub fn running_for(&self) -> Option<Duration> {
        self.detail(|details| details.running_for)
    }

    /// Returns the signal of a handler.
    pub fn signal(&self) -> Option<Signal> {
        self.detail(|details| details.signal)
    }

    /// Returns the process id.
    pub fn pid(&self) -> Option<u32> {
        self.detail(|details| details.pid)
    }

    /// Returns the stage of a hook: `prepare`, `check` or `idle`.
    pub fn stage(&self) -> Option<&'static str> {
        self.detail(|details| details.stage)
    }

    /// Returns the number of [`Remote`](crate::Remote)s that the entry represents.
    pub fn count(&self) -> Option<usize> {
        self.detail(|details| details.count)
    }

    /// Returns the events that a task waits for, if the loop delivers them: a task that waits for a
    /// promise or for another thread has none.
    pub fn waits(&self) -> &[Wait] {
        self.details.as_deref().map_or(&[], |details| &details.waits)
    }

    /// Returns the futures of this crate that the task waits for, with the lines that await them,
    /// in the order of the last polls. Empty if the loop does not
    /// [record](crate::EventLoopBuilder::await_lines) them, and for a task that does not wait.
    ///
    /// The line is that of the innermost `.await` in user code: for a [`timeout`](crate::timeout())
    /// around an `async` block, for example, it is in the block. Four kinds of lines are less
    /// exact. A future polled by a combinator of another crate, such as `join!`, has a line of that
    /// crate. A boxed future, a future that is the whole task, and one that is awaited through
    /// `&mut` or [`Pin`](std::pin::Pin), has the line of the enclosing call of this crate, or of
    /// the spawn. A task that waits only for a future of another crate has no line, or that of
    /// another future polled in the same turn. Only the last turn counts: a combinator that polls
    /// only the futures that were woken, such as `FuturesUnordered` or a `join_all` of more than
    /// 30, hides the lines of the others.
    pub fn awaits(&self) -> &[Await] {
        self.details.as_deref().map_or(&[], |details| &details.awaits)
    }

    /// Returns the tick of the task's last turn, since which it has been waiting. `None` like for
    /// [`awaits`](Entry::awaits).
    pub fn waiting_since(&self) -> Option<u64> {
        self.detail(|details| details.waiting_since)
    }
}

/// The directions of an interest in lower case, such as `readable|writable`.
pub(super) struct Directions(pub(super) Interest);

impl fmt::Display for Directions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, _)) in self.0.iter_names().enumerate() {
            let separator = if index > 0 { "|" } else { "" };
            write!(f, "{separator}{}", name.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

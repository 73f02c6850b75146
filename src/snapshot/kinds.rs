//! Kinds and states of entries.

use std::fmt;

/// The kind of an [`Entry`](super::Entry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A closure that is queued for the next tick.
    Closure,
    /// A closure from another thread that the loop has not taken yet.
    Message,
    /// A timer or an interval.
    Timer,
    /// The callback of a descriptor.
    Watcher,
    /// A connection, with its protocol.
    Connection,
    /// A server: the callback of a listener.
    Server,
    /// A datagram endpoint.
    Datagrams,
    /// A connection attempt.
    Connecting,
    /// The handler of a signal.
    Signal,
    /// The callback of a process.
    Process,
    /// A hook.
    Hook,
    /// A task.
    Task,
    /// A descriptor that tasks wait for.
    Descriptor,
    /// A job of the blocking pool, until its thread is idle: its result may be there before.
    Job,
    /// A running [`TaskGroup`](crate::TaskGroup).
    Group,
    /// A [`CancelScope`](crate::CancelScope) that runs a future.
    Scope,
    /// A [`timeout`](crate::timeout) around a future.
    Timeout,
    /// A shielded [`CancelScope`](crate::CancelScope) that runs a future.
    Shield,
    /// A failure that waits for the exception handler.
    Report,
    /// The [`Remote`](crate::Remote)s of one call that keep the loop running.
    Remotes,
}

impl EntryKind {
    /// Returns the kind in lower case, as in the table and the JSON text.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Closure => "closure",
            EntryKind::Message => "message",
            EntryKind::Timer => "timer",
            EntryKind::Watcher => "watcher",
            EntryKind::Connection => "connection",
            EntryKind::Server => "server",
            EntryKind::Datagrams => "datagrams",
            EntryKind::Connecting => "connecting",
            EntryKind::Signal => "signal",
            EntryKind::Process => "process",
            EntryKind::Hook => "hook",
            EntryKind::Task => "task",
            EntryKind::Descriptor => "descriptor",
            EntryKind::Job => "job",
            EntryKind::Group => "group",
            EntryKind::Scope => "scope",
            EntryKind::Timeout => "timeout",
            EntryKind::Shield => "shield",
            EntryKind::Report => "report",
            EntryKind::Remotes => "remotes",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of an [`Entry`](super::Entry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryState {
    /// Queued: a due callback, a task that was spawned or woken, a job that waits for a thread.
    Pending,
    /// Running: it took the snapshot, or runs on another thread.
    Running,
    /// Waiting for an event.
    Waiting,
    /// Not reachable by any event: a watcher without interest, a timer without a deadline.
    Paused,
    /// A task that has ended, with an output that was not taken yet.
    Done,
}

impl EntryState {
    /// Returns the state in lower case, as in the table and the JSON text.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryState::Pending => "pending",
            EntryState::Running => "running",
            EntryState::Waiting => "waiting",
            EntryState::Paused => "paused",
            EntryState::Done => "done",
        }
    }
}

impl fmt::Display for EntryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

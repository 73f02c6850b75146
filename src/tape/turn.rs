//! Turns: the records of a tape as values.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::turn_id::TurnId;

/// One turn of a loop: a callback that ran, a sleep, or the loop's own work between them. One that
/// lasts longer than 78 hours is several turns, each but the last of that length.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Number of the turn, counted from the start of the loop.
    pub number: u64,
    /// Time from the creation of the loop to the beginning of the turn.
    pub at: Duration,
    /// Duration of the turn; `None` for the last one of a tape, which may still be running.
    pub lasted: Option<Duration>,
    /// The kind of registration.
    pub kind: TurnKind,
    /// Place of the registration as `FILE:LINE`, preceded by its name if it has one. Empty for
    /// turns of the loop.
    pub place: Arc<str>,
    /// Number that distinguishes live registrations with the same place.
    pub key: u32,
    /// The reason why it ran.
    pub cause: Cause,
    /// Time at which it was due, counted like `at`; `None` if the tape does not contain it.
    ///
    /// A timer is due at its deadline, and so is a task that sleeps. A lateness of more than half a
    /// millisecond is accurate to four millionths. A callback or a task queued by a turn is due at
    /// the end of that turn.
    ///
    /// An external event, such as readiness of a descriptor, is due at the earliest time at which
    /// it may have arrived. If the selector slept, that is the end of the sleep. If it returned at
    /// once, that is the end of its previous call.
    pub due: Option<Duration>,
    pub(super) id: TurnId,
}

impl Turn {
    /// Returns the time from the due time to the beginning of the turn. `None` if the due time is
    /// unknown.
    pub fn lateness(&self) -> Option<Duration> {
        Some(self.at.saturating_sub(self.due?))
    }

    /// Returns the end of the turn, or its start if it is still running.
    pub(super) fn end(&self) -> Duration {
        self.at + self.lasted.unwrap_or_default()
    }

    /// Returns false if the turn may have been due later than `due`.
    pub(super) fn is_due_exact(&self) -> bool {
        matches!(self.cause, Cause::Timer | Cause::Turn(_))
    }

    /// Returns the name of the turn in a trace: its place, or its kind if it has none.
    pub(super) fn name(&self) -> String {
        if self.place.is_empty() { self.kind.to_string() } else { self.place.to_string() }
    }
}

/// The kind of a [`Turn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum TurnKind {
    /// The loop's own work between two callbacks, including calls of the selector that do not
    /// sleep. Between two runs, it is the time outside of the loop; if [another loop drives this
    /// one](crate::guide::inside_another_loop), that includes the sleep of the other loop.
    Loop,
    /// A call of the selector that sleeps unless an event is pending.
    Sleep,
    /// A closure of `call_soon`, or of another thread.
    Soon,
    /// A timer.
    Timer,
    /// The callback of an fd.
    Watcher,
    /// The protocol of a connection, or of a listener.
    Stream,
    /// The handler of a signal.
    Signal,
    /// The callback of a process.
    Child,
    /// A hook.
    Hook,
    /// One poll of a task.
    Task,
}

impl TurnKind {
    const ALL: [TurnKind; 10] = [
        TurnKind::Loop,
        TurnKind::Sleep,
        TurnKind::Soon,
        TurnKind::Timer,
        TurnKind::Watcher,
        TurnKind::Stream,
        TurnKind::Signal,
        TurnKind::Child,
        TurnKind::Hook,
        TurnKind::Task,
    ];

    pub(super) fn from_number(number: u8) -> TurnKind {
        TurnKind::ALL.get(usize::from(number)).copied().unwrap_or(TurnKind::Loop)
    }

    /// Returns true for user code, false for the loop and its sleep.
    pub fn is_callback(self) -> bool {
        !matches!(self, TurnKind::Loop | TurnKind::Sleep)
    }
}

// `from_number` finds a kind by its number.
const _: () = {
    let mut number = 0;
    while number < TurnKind::ALL.len() {
        assert!(TurnKind::ALL[number] as usize == number);
        number += 1;
    }
};

impl fmt::Display for TurnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TurnKind::Loop => "loop",
            TurnKind::Sleep => "sleep",
            TurnKind::Soon => "callback",
            TurnKind::Timer => "timer",
            TurnKind::Watcher => "watcher",
            TurnKind::Stream => "stream",
            TurnKind::Signal => "signal handler",
            TurnKind::Child => "process",
            TurnKind::Hook => "hook",
            TurnKind::Task => "task",
        })
    }
}

/// The reason why a [`Turn`] ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The loop itself, or a reason that is not on the tape.
    Loop,
    /// Readiness of the descriptor with this number.
    Fd(i32),
    /// A deadline.
    Timer,
    /// Another thread.
    Thread,
    /// A signal.
    Signal,
    /// The exit of a process.
    Child,
    /// The turn with this number, which queued a callback or woke a task.
    Turn(u64),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Loop => f.pad("loop"),
            Cause::Fd(fd) => write!(f, "fd {fd}"),
            Cause::Timer => f.pad("timer"),
            Cause::Thread => f.pad("thread"),
            Cause::Signal => f.pad("signal"),
            Cause::Child => f.pad("process"),
            Cause::Turn(number) => write!(f, "turn {number}"),
        }
    }
}

//! A red flag, and the list of them.

use std::fmt::{self, Write};

use crate::log_text::OneLine;

/// The kind of a [`Flag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FlagKind {
    /// Callbacks of one place take much longer than the others of this loop: either one takes a
    /// hundred times the usual time and at least 100 ms, or three take ten times the usual time and
    /// at least 1 ms while another place waits. The usual time is the 99th percentile of the turns
    /// of all other places. With fewer than 20 of them, a turn of 100 ms is long. Only turns since
    /// the previous call of [`diagnose`](crate::LoopHandle::diagnose) count, so each is flagged
    /// once.
    LongCallback,
    /// A task, a closure or a timer runs itself again in each tick, without external events.
    BusyLoop,
    /// A descriptor is ready in each tick, and its callback never reads its input. Not detected for
    /// datagrams and for Unix listeners: their waiting input cannot be counted.
    UndrainedDescriptor,
    /// A reader was paused and not resumed, while its input waits.
    PausedReader,
    /// The number of registrations of one place keeps growing.
    GrowingPlace,
    /// The accept queue of a listener is full, so the kernel refuses connections. On Linux the
    /// queue holds one connection more than its limit.
    FullAcceptQueue,
    /// Reading the clock costs as much as a system call.
    SlowClock,
    /// A timer is re-armed again and again, and its deadline is never reached.
    UnreachedTimer,
}

impl FlagKind {
    /// Returns a suggestion.
    pub fn advice(self) -> &'static str {
        match self {
            FlagKind::LongCallback => {
                "all other callbacks wait while it runs: move the work to `spawn_blocking`, or divide it"
            }
            FlagKind::BusyLoop => "the loop never sleeps: wait for an event or for a time instead",
            FlagKind::UndrainedDescriptor => {
                "read until `WouldBlock`, or pause the watcher with `set_interest`"
            }
            FlagKind::PausedReader => "resume it, or close it: its peer waits",
            FlagKind::GrowingPlace => {
                "a registration for each event is never ended there: cancel it, or join the task"
            }
            FlagKind::FullAcceptQueue => {
                "accept more often, raise the backlog of `ListenOptions`, or add processes"
            }
            FlagKind::SlowClock => "choose another clock source of the system, and do not measure",
            FlagKind::UnreachedTimer => {
                "good for an idle limit; for work that must be done, arm it only if it is not armed"
            }
        }
    }
}

impl fmt::Display for FlagKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FlagKind::LongCallback => "long callback",
            FlagKind::BusyLoop => "busy loop",
            FlagKind::UndrainedDescriptor => "undrained descriptor",
            FlagKind::PausedReader => "paused reader",
            FlagKind::GrowingPlace => "growing place",
            FlagKind::FullAcceptQueue => "full accept queue",
            FlagKind::SlowClock => "slow clock",
            FlagKind::UnreachedTimer => "unreached timer",
        })
    }
}

/// A sign of trouble. Returned by [`Diagnosis::flags`].
///
/// `Display` writes one line: kind, place, figures and advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    kind: FlagKind,
    place: Option<String>,
    figures: String,
}

impl Flag {
    pub(crate) fn new(kind: FlagKind, place: Option<String>, figures: String) -> Flag {
        Flag { kind, place, figures }
    }

    /// Returns the kind.
    pub fn kind(&self) -> FlagKind {
        self.kind
    }

    /// Returns the kind and the place of the registration, such as `timer src/session.rs:41`, or
    /// the descriptor. `None` if the flag is about the whole loop.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Returns the figures that were found.
    pub fn figures(&self) -> &str {
        &self.figures
    }

    /// Returns a suggestion, as a sentence.
    pub fn advice(&self) -> &'static str {
        self.kind.advice()
    }

    /// Returns true if this may be intended: a timer that is never reached may be an idle limit.
    pub fn is_hint(&self) -> bool {
        self.kind == FlagKind::UnreachedTimer
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = if self.is_hint() { "hint, " } else { "" };
        let mut line = OneLine(f); // The place may have a name from outside.
        write!(line, "{label}{}: ", self.kind)?;
        if let Some(place) = &self.place {
            write!(line, "{place}: ")?;
        }
        write!(line, "{}; {}", self.figures, self.advice())
    }
}

/// The red flags of a loop. Returned by [`LoopHandle::diagnose`](crate::LoopHandle::diagnose).
///
/// `Display` writes a line for each flag, and one for each check that was not possible. The guide
/// has examples from [programs that misbehave](crate::guide::async_anti_patterns).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    pub(crate) flags: Vec<Flag>,
    pub(crate) unchecked: Vec<&'static str>,
}

impl Diagnosis {
    /// Returns all flags, by kind.
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// Returns true if there are no flags, apart from hints.
    pub fn is_healthy(&self) -> bool {
        self.flags.iter().all(Flag::is_hint)
    }

    /// Returns the checks that were not possible, each with the reason.
    pub fn unchecked(&self) -> &[&'static str] {
        &self.unchecked
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flags.is_empty() {
            writeln!(f, "no red flags")?;
        }
        self.flags.iter().try_for_each(|flag| writeln!(f, "{flag}"))?;
        self.unchecked.iter().try_for_each(|reason| writeln!(f, "not checked: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e7_a_flag_is_one_line_whatever_the_name_of_its_place() {
        let place = Some("task a\nb (src/main.rs:7)".to_owned());
        let flag = Flag::new(FlagKind::BusyLoop, place, "figures".into()).to_string();
        assert!(flag.starts_with("busy loop: task a\\nb (src/main.rs:7): figures; "), "{flag}");
    }
}

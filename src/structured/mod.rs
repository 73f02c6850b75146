//! Structured concurrency: tasks and futures that end together.
//!
//! | file | contents |
//! |---|---|
//! | `scope/`, `timeout`, `limited` | cancel scopes and time limits |
//! | `group/` | task groups: all tasks end before the code after the group runs |
//! | `gather`, `wait`, `as_completed`, `race`, `wake_set` | several tasks or futures at once |
//! | `shutdown` | two-stage shutdown of a service |
//!
//! This module contains what a library without access to tasks cannot do as well, and functions
//! that asyncio has under the same names. For everything else there is the crate `futures`, which
//! works on this loop unchanged.

mod as_completed;
mod gather;
mod group;
mod limited;
mod race;
mod scope;
mod shutdown;
mod timeout;
mod wait;
mod wake_set;

pub use self::as_completed::{AsCompleted, as_completed};
pub use self::gather::{gather, gather_all, race_all};
pub use self::group::{GroupError, GroupTask, TaskGroup};
pub use self::race::{race, shield};
pub use self::scope::CancelScope;
pub use self::shutdown::{Shutdown, ShutdownEnding, ShutdownGuard};
pub use self::timeout::{timeout, timeout_at};
pub use self::wait::{WaitUntil, wait};

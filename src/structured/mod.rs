//! Structured concurrency: tasks and futures that end together.
//!
//! | file | contents |
//! |---|---|
//! | `scope/`, `timeout`, `limited` | cancel scopes and time limits |
//! | `group/` | task groups: all tasks end before the code after the group runs |
//! | `gather`, `wait`, `as_completed`, `race`, `wake_set` | several tasks or futures at once |
//! | `shutdown` | the end of a service in two stages |
//!
//! This module has what the loop can do better than a library that does not use tasks, and what
//! asyncio has under the same names. For everything else there is the crate `futures`, which works
//! on this loop unchanged.

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

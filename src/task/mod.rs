//! Tasks: a thin adapter that runs futures on the callback layer.
//!
//! ```text
//!   spawn ──► table: futures by key           a timer, an fd, a promise, another task, a thread
//!                │       ▲                                      │ wake (by key, or by `Waker`)
//!                ▼ poll  │ Pending                              ▼
//!             call ◄──── run_batch ◄──── ready deque ◄──── queue the task's key, once
//! ```
//!
//! A task is a key in the same ready deque as the callbacks. When the loop reaches the key, it
//! polls the task's future. A pending task waits until an event queues its key again. Any future
//! runs here, even one that does not use this crate.
//!
//! # Budget
//!
//! An await that completes at once does not return to the loop. To let other callbacks run, one
//! poll of a task completes at most 128 awaits of this crate; the next await is pending until the
//! next tick. A call that transfers more than 4 KiB counts once per 4 KiB. Futures of other crates
//! have no such limit: call [`yield_now()`] in a loop that awaits only those.
//!
//! # Cancellation
//!
//! A future is cancelled by dropping it, at an `await` where it waits; its locals are dropped. A
//! future that was woken is polled once more first, so a result that is already ready wins. The
//! rule is the same for tasks, scopes, timeouts and groups. Cleanup cannot `await`; spawn a task
//! for that.
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `spawn`, `join`, `current_loop`, `yield_now`, `run` | spawning and joining; running a loop |
//! | `tasks/` | the tasks of one loop: table, polling, completion, cancellation, waiters of fds |
//! | `any_task`, `outcome`, `detached`, `failure` | type-erased futures; the outcomes of a task |
//! | `current`, `waker/`, `foreign`, `keyed_arena/` | the running loop; wakers; arenas of keys |
//! | `kept_wakers` | wakers that this crate keeps itself |
//! | `cancel_region/` | nested regions of a task that can be cancelled |
//! | `sleep`, `clock_sleep`, `interval`, `signal`, `promise/`, `remote`, `blocking` | futures that a task can await |
//! | `budget` | the limit of one poll |

mod any_task;
mod blocking;
pub(crate) mod budget;
pub(crate) mod cancel_region;
mod clock_sleep;
pub(crate) mod current;
mod current_loop;
mod detached;
mod failure;
pub(crate) mod foreign;
mod interval;
mod join;
pub(crate) mod kept_wakers;
mod keyed_arena;
mod outcome;
mod promise;
mod remote;
mod run;
mod signal;
mod sleep;
mod spawn;
mod tasks;
mod waker;
mod yield_now;

pub(crate) use self::blocking::job_of;
pub use self::blocking::spawn_blocking;
pub use self::clock_sleep::{sleep_in_boot_time, sleep_until_boot_time, sleep_until_wall_time};
pub use self::current_loop::{CurrentLoop, current_loop};
pub use self::detached::DetachedOutput;
pub use self::interval::{Interval, interval};
pub use self::join::Task;
pub use self::outcome::{CancelReason, Cancelled, JoinError, TaskEnding, TaskState};
pub use self::promise::{Promise, Promised, promise};
pub use self::remote::RemoteTask;
pub use self::signal::{SignalReceiver, signal};
#[cfg(feature = "hyper")]
pub(crate) use self::sleep::TimerFuture;
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::spawn::spawn;
pub(crate) use self::tasks::Tasks;
pub(crate) use self::tasks::ticket::Ticket;
pub use self::yield_now::{YieldNow, yield_now};

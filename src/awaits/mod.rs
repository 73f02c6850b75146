//! The lines of a program at which its tasks wait.
//!
//! `Future::poll` of a public future is `#[track_caller]`, so `Location::caller()` is the line of
//! the `.await`. This needs neither debug information nor an attribute on user code. A future that
//! is pending passes the line to [`pending`], which keeps it only while a loop records.
//!
//! # Invariants
//!
//! * Without a loop that records, a pending future costs one test of a thread-local flag.
//! * The lines of a turn belong to the futures that were pending in it. A line of this crate,
//!   or of the standard library, is replaced by the line that awaits the enclosing `async fn`.
//!
//! | file | contents |
//! |---|---|
//! | `turn` | the lines of the turn that runs |
//! | `futures` | wrappers for blocks and poll functions, which do not see their caller |

mod futures;
mod turn;

use std::fmt;
use std::panic::Location;

pub(crate) use self::futures::{around, await_fn, located, poll_as};
pub(crate) use self::turn::{Turn, is_library, pause, pending, resume};

/// A future of this crate that a task waits for, and the line that awaits it.
///
/// `Display` writes, for example, `sleep at src/main.rs:7:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Await {
    pub(crate) call: &'static str,
    pub(crate) location: &'static Location<'static>,
}

impl Await {
    /// Returns the name of the function that returned the future, such as `sleep` or `accept`;
    /// `task` for a [`Task`](crate::Task), and `promise` for a [`Promised`](crate::Promised).
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// Returns the place of the `.await`.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

impl fmt::Display for Await {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.call, self.location)
    }
}

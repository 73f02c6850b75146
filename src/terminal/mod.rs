//! Standard input and terminals, as event sources for callbacks and tasks.
//!
//! [`Stdin`] and [`Tty`] are plain sources for [`add_reader`](crate::LoopHandle::add_reader) and
//! [`Io`](crate::Io). Neither has a thread, so an idle standard input never delays the
//! exit of the process.
//!
//! A terminal, and the file of standard input, is shared with other processes: the shell and its
//! other children use the same open file. So it never gets the flag `O_NONBLOCK`. The loop reads
//! only after poll(2) has reported input. If another process takes that input first, the read
//! blocks until more input arrives.
//!
//! | item | purpose |
//! |---|---|
//! | [`Stdin`] | standard input: a pipe, a file, `/dev/null`, a terminal |
//! | [`Tty`], [`RawMode`] | a terminal, and a guard for its raw mode |
//! | [`WindowSize`], [`SizeChanges`] | the window size, and its changes |

mod size;
mod stdin;
mod tty;

pub use mainspring_sys::terminal::WindowSize;

pub use self::size::SizeChanges;
pub use self::stdin::Stdin;
pub use self::tty::{RawMode, Tty};

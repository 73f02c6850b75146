//! The system-call layer of mainspring: everything unsafe, everything that differs between systems.
//!
//! Above this crate nobody names a system or writes `unsafe`. What lies here, from the kernel up:
//!
//! * [`syscall`] and [`fd`]: libc's conventions as [`std::io::Result`]; pipes, flags of
//!   descriptors;
//! * [`process`]: which process something belongs to, since fork(2) copies loops;
//! * [`error_class`]: what an error number means, by operation;
//! * [`event`] and [`timeout`]: the values that go in and out of a selector;
//! * [`selector`]: one contract, and a backend for each of epoll, kqueue, poll and select;
//! * [`wakeup`]: the doorbell that ends a sleep from another thread;
//! * [`signal`]: signals as bits that a loop looks at, with exact restore of dispositions;
//! * [`socket`]: non-blocking connect and accept, addresses, options;
//! * [`stderr`]: lines of a log that neither wait nor fail the process;
//! * [`closure`]: closures without a box, which is unsafe code as well.
//!
//! # Raw descriptors
//!
//! A [`Selector`] takes descriptors by number. It never reads, writes or closes one, so a wrong
//! number can at worst give an error or an event that is not true. That is why these functions are
//! safe.

pub mod closure;
pub mod environment;
pub mod error_class;
pub mod event;
pub mod fd;
pub mod nonblocking;
pub mod process;
pub mod selector;
pub mod signal;
pub mod socket;
pub mod stderr;
pub mod syscall;
pub mod timeout;
pub mod wakeup;

pub use event::{Event, Events, Interest, Readiness, Token, TriggerMode};
pub use selector::{AnySelector, Selector, SelectorKind, UserEvent};
pub use signal::Signal;
pub use wakeup::{Wakeup, WakeupKind};

//! The system-call layer of mainspring: all unsafe code, and all platform differences.
//!
//! The code above this crate neither names an operating system nor uses `unsafe`. The modules, from
//! the kernel up:
//!
//! * [`fd`]: pipes, flags and identity of descriptors;
//! * [`process`]: identity of the process that owns a value, since fork(2) copies loops;
//! * [`error_class`]: the meaning of an error number, by operation;
//! * [`nonblocking`]: the non-blocking flag of files that are watched;
//! * [`event`] and [`timeout`]: the values that go into and come out of a selector;
//! * [`selector`]: one contract, with a backend for each of epoll, kqueue, poll and select;
//! * [`wakeup`]: wakes a sleeping selector from another thread;
//! * [`clock`]: the boot-time clock, and kernel timers for clocks that can jump;
//! * [`child`]: process exit as an event of a selector, exit status, signals to processes;
//! * [`signal`]: signals as events of a selector, with exact restoration of dispositions;
//! * [`socket`]: non-blocking connect and accept, addresses, options;
//! * [`stderr`]: log lines that never block or kill the process;
//! * [`closure`]: closures stored without a box, which needs unsafe code;
//! * [`shared_map`]: memory-mapped files, which outlive the process, and memory without a file;
//! * [`inherited`]: descriptors inherited from the parent process;
//! * [`terminal`]: raw mode, window size, reads by background processes;
//! * [`FutureWith`]: a future inside another one, which needs unsafe code;
//! * [`ThreadBound`]: thread-bound values in `Send` types;
//! * [`cycles`](mod@cycles): a counter that is cheaper to read than a clock;
//! * [`environment`]: settings from environment variables.
//!
//! # Raw descriptors
//!
//! A [`Selector`] takes descriptors by number. It never reads, writes or closes one, so a wrong
//! number causes at worst an error or a false event. Therefore its methods are safe.

pub mod child;
pub mod clock;
pub mod closure;
pub mod cycles;
pub mod environment;
pub mod error_class;
pub mod event;
pub mod fd;
pub mod file_type;
mod future_with;
pub mod inherited;
pub mod nonblocking;
mod per_process;
pub mod process;
pub mod selector;
pub mod shared_map;
pub mod signal;
pub mod socket;
pub mod stderr;
pub mod syscall;
pub mod terminal;
mod thread_bound;
pub mod timeout;
pub mod wakeup;

pub use event::{Event, Events, Interest, Readiness, Token, TriggerMode};
pub use future_with::{FutureWith, PollWith};
pub use selector::{AnySelector, Selector, SelectorKind, UserEvent};
pub use signal::Signal;
pub use thread_bound::ThreadBound;
pub use wakeup::{Wakeup, WakeupKind};

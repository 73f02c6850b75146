//! An event loop for network daemons on Unix: selector, ready deque, callbacks.
//!
//! ```text
//!  fds ─────────► selector ─► watchers ─ feed ─┐
//!  signals ──────► handlers ──────────── feed ─┤
//!  other threads ─► inbox ──────────────── feed ─┼─► ready ─ run_batch ─► callbacks
//!  clock ────────► timers ────────────── feed ─┘     ▲      call_soon       │
//!                                                   └──────────────────────┘
//! ```
//!
//! [`EventLoop`] owns your state and runs; [`LoopHandle`] is what callbacks get and where
//! everything is registered; [`Remote`] is the loop as other threads see it. Streams and servers
//! are in [`net`], simulated time in [`testing`].
//!
//! ```
//! use mainspring::EventLoop;
//! use std::time::Duration;
//!
//! let mut el = EventLoop::with_state(Vec::new())?;
//! el.call_later(Duration::from_millis(2), |_el, seen| seen.push("later"));
//! el.call_soon(|_el, seen| seen.push("soon"));
//! el.run()?; // until nothing is left that could call back
//! assert_eq!(*el.state(), ["soon", "later"]);
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! # Features
//!
//! `futures-io`, off by default, implements `AsyncRead` and `AsyncWrite` of the crate of that name
//! for [`Io`] and the streams of [`net`].
//!
//! # One pass
//!
//! A tick asks the selector, sleeping if nothing is due, and then feeds the ready deque in this
//! order: what callbacks queued before, descriptors (the reader before the writer of one fd),
//! signals, other threads, timers. Then it runs what is in the deque, which is a batch: what
//! callbacks add runs in a later tick, after the selector was asked again. So nobody can keep
//! others waiting for more than two ticks, except by not returning.
//!
//! # Environment
//!
//! | variable | says |
//! |---|---|
//! | `MAINSPRING_SELECTOR` | which selector to use: `epoll`, `kqueue`, `poll`, `select` |
//! | `MAINSPRING_WAKEUP` | the doorbell of other threads: `user-event`, `eventfd`, `pipe` |
//! | `MAINSPRING_WAIT` | the finest wait asked of epoll: `nanoseconds`, `milliseconds` |
//! | `MAINSPRING_DEBUG` | `1`: report callbacks that run longer than [`Builder::slow_callback_duration`] |
//!
//! They are ignored in a process with raised privileges.
#![forbid(unsafe_code)]

mod builder;
mod callbacks;
mod clock;
#[cfg(doctest)]
mod compile_fail;
mod error;
mod event_loop;
mod executor;
mod handle;
#[cfg(feature = "hyper")]
pub mod hyper;
mod inbox;
pub mod net;
mod panic;
mod ready;
mod signals;
mod soon;
mod sync;
mod task;
pub mod testing;
mod timers;
mod watchers;

pub use builder::{Builder, SelectorChoice};
pub use clock::{Clock, MonotonicClock};
pub use error::{Error, Result};
pub use event_loop::{EventLoop, Kind, LoopHandle, Outcome, PanicPolicy, Remote, Report, Watched};
pub use executor::{Executor, ExecutorBuilder, Job, JobBuilder, JobError, StuckJob, StuckJobs};
pub use handle::{Handle, TimerHandle, Watcher};
pub use mainspring_sys::{
    Event, Events, Interest, Mode, Readiness, Selector, SelectorKind, Signal, Token, WakeupKind,
};
pub use panic::Panic;
pub use task::{
    AsCompleted, CancelScope, Cancelled, Chunk, CurrentLoop, Ending, GroupError, GroupTask,
    Interval, Io, JoinError, Promise, Promised, Reason, RemoteTask, Shutdown, ShutdownEnding,
    ShutdownGuard, Sleep, Task, TaskGroup, TaskState, When, YieldNow, as_completed, current_loop,
    gather, gather_all, interval, race, race_all, shield, sleep, sleep_until, spawn,
    spawn_blocking, timeout, timeout_at, wait, yield_now,
};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

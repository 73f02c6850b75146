//! An event loop for network daemons on Unix: selector, ready deque, callbacks.
//!
//! ```text
//!  fds ──────────► selector ─► watchers ─ feed ─┐
//!  signals ──────► handlers ───────────── feed ─┤
//!  other threads ► inbox ──────────────── feed ─┼─► ready ─ run_batch ─► callbacks, tasks
//!  clock ────────► timers ─────────────── feed ─┘     ▲      call_soon       │
//!                                                     └──────────────────────┘
//! ```
//!
//! [`EventLoop`] owns your state and runs; [`LoopHandle`] is what callbacks get and where
//! everything is registered; [`Remote`] is the loop as other threads see it, and the only one of
//! the three that may leave the loop's thread. Streams and servers are in [`net`], simulated time
//! in [`testing`].
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
//! # Where to begin
//!
//! | you want | with callbacks | with tasks |
//! |---|---|---|
//! | something to run | [`call_soon`] | [`spawn`], [`run_until_complete`] |
//! | time | [`call_later`], [`call_every`], [`add_timer`] | [`sleep`], [`interval`], [`timeout`] |
//! | any descriptor | [`add_reader`], [`watch`] | [`Io`] |
//! | a library in C with its own descriptors | [`watch`], [`set_interest`] | [`Io`] |
//! | a server | [`serve`], [`serve_with`] and [`net::Protocol`] | [`net::TcpListener`], [`net::UnixListener`] |
//! | a client | [`connect`], then [`attach_with`] | [`net::TcpStream::connect_host`] |
//! | blocking work, other threads | [`Remote::call_soon`] | [`spawn_blocking`], [`Remote::spawn`] |
//! | a signal, a graceful end | [`add_signal_handler`], [`net::Server::close`] | [`Shutdown`] |
//! | to end what goes on | [`cancel`] | [`CancelScope`], [`TaskGroup`], [`Task::cancel`] |
//! | failures of others | [`set_exception_handler`], [`PanicPolicy`] | [`JoinError`] |
//! | a loop inside another one | [`PollFd`], [`next_deadline`], [`tick`] | |
//!
//! Both live in one loop. A task reaches the state by [`with`], and hands a socket over to a
//! protocol by [`into_socket`]; a callback becomes a future by [`Promise`].
//!
//! [`add_reader`]: LoopHandle::add_reader
//! [`add_signal_handler`]: LoopHandle::add_signal_handler
//! [`add_timer`]: LoopHandle::add_timer
//! [`attach_with`]: LoopHandle::attach_with
//! [`call_every`]: LoopHandle::call_every
//! [`call_later`]: LoopHandle::call_later
//! [`call_soon`]: LoopHandle::call_soon
//! [`cancel`]: LoopHandle::cancel
//! [`connect`]: LoopHandle::connect
//! [`into_socket`]: net::TcpStream::into_socket
//! [`next_deadline`]: LoopHandle::next_deadline
//! [`run_until_complete`]: EventLoop::run_until_complete
//! [`serve`]: LoopHandle::serve
//! [`serve_with`]: LoopHandle::serve_with
//! [`set_interest`]: LoopHandle::set_interest
//! [`set_exception_handler`]: LoopHandle::set_exception_handler
//! [`tick`]: EventLoop::tick
//! [`watch`]: LoopHandle::watch
//! [`with`]: LoopHandle::with
//!
//! # Features
//!
//! `futures-io`, off by default, implements `AsyncRead` and `AsyncWrite` of the crate of that name
//! for [`Io`] and the streams of [`net`]: so `BufReader`, `lines` and `copy` of the crate `futures`
//! work. `hyper`, off by default, adds the module `hyper`: the streams, the executor and the timer
//! that the crate of that name asks for.
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
//! | `MAINSPRING_DEBUG` | `1`: the mode of [`EventLoopBuilder::debug`], which reports slow callbacks; `0`: not |
//!
//! They are ignored in a process with raised privileges. Any other value is
//! [`Error::Setting`] when a loop is built.
#![forbid(unsafe_code)]

mod arena;
mod blocking;
mod builder;
mod callbacks;
mod clock;
#[cfg(doctest)]
mod compile_fail;
mod error;
mod event_loop;
mod handle;
#[cfg(feature = "hyper")]
pub mod hyper;
mod inbox;
mod io;
mod key_groups;
mod log_text;
pub mod net;
mod panic;
mod ready;
pub mod selector;
mod signals;
mod soon_queue;
mod std_or_loom;
mod step_counter;
mod structured;
mod task;
pub mod testing;
mod timers;

mod watchers;

pub use blocking::{
    BlockingPool, BlockingPoolBuilder, Job, JobBuilder, JobError, StuckJob, StuckJobs,
};
pub use builder::EventLoopBuilder;
pub use clock::{Clock, MissedTickBehavior, MonotonicClock};
pub use error::{Error, Result};
pub use event_loop::{
    CallbackResult, EventLoop, LoopHandle, PanicPolicy, PollFd, Remote, Report, ReportKind, Watched,
};
pub use handle::{Handle, TimerHandle, Watcher};
pub use io::{Io, ReadChunk};
pub use mainspring_sys::{Interest, Readiness, SelectorKind, Signal, TriggerMode, WakeupKind};
pub use panic::Panic;
pub use structured::{
    AsCompleted, CancelScope, GroupError, GroupTask, Shutdown, ShutdownEnding, ShutdownGuard,
    TaskGroup, WaitUntil, as_completed, gather, gather_all, race, race_all, shield, timeout,
    timeout_at, wait,
};
pub use task::{
    CancelReason, Cancelled, CurrentLoop, DetachedOutput, Interval, JoinError, Promise, Promised,
    RemoteTask, Sleep, Task, TaskEnding, TaskState, YieldNow, current_loop, interval, promise,
    sleep, sleep_until, spawn, spawn_blocking, yield_now,
};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

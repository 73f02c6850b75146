//! An event loop for Unix daemons: callbacks and `async` tasks on one thread.
//!
//! You register descriptors, timers, signals and sockets, and the loop calls back when something
//! happens. Each callback gets your state as `&mut S`, so callbacks share it without
//! `Rc<RefCell<..>>`. Tasks run in the same loop, for code that reads better with `await`.
//!
//! New to event loops, or to this one? The [`guide`] begins with [the loop in one
//! picture](guide::the_loop_in_one_picture). This page is an index.
//!
//! ```
//! use mainspring::EventLoop;
//! use std::time::Duration;
//!
//! let mut el = EventLoop::with_state(Vec::new())?;
//! el.call_later(Duration::from_millis(2), |_el, seen| seen.push("later"));
//! el.call_soon(|_el, seen| seen.push("soon"));
//! el.run()?; // returns when nothing is left to wait for
//! assert_eq!(*el.state(), ["soon", "later"]);
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! In all examples, `el` is the event loop (`loop` is a keyword).
//!
//! | item | purpose |
//! |---|---|
//! | [`guide`] | the manual: how the loop works, testing, deployment, other libraries, porting |
//! | [`EventLoop`] | owns your state, and runs |
//! | [`LoopHandle`] | registers callbacks; each callback gets a reference to it |
//! | [`Remote`] | reaches the loop from other threads: the only one of these three that is `Send` |
//! | [`BlockingPool`] | runs blocking closures on separate threads |
//! | [`Metrics`], [`Histogram`] | counters and durations of a loop, readable from any thread |
//! | [`Blame`] | the turns that made a timer, a callback or a task late, as [`BlamePart`]s |
//! | [`Diagnosis`] | red flags of a loop: each [`Flag`] has a [`FlagKind`], a place and advice |
//! | [`Heartbeat`] | the [`RunningTurn`] of a loop, readable from any thread |
//! | [`Watchdog`] | a thread that reports each [`Stall`], until its [`WatchdogGuard`] is dropped |
//! | [`Recorder`], [`Tape`] | a flight recorder: each [`Turn`] with its [`TurnKind`] and its [`Cause`] |
//! | [`net`] | sockets, servers and clients |
//! | [`io`] | copying, reading lines, and the traits of readers and writers |
//! | [`process`] | child processes, and waiting for other processes |
//! | [`service`] | service managers: inherited sockets, notifications, watchdog, reload |
//! | [`snapshot`] | the contents of a loop, as plain values |
//! | [`selector`] | custom selectors, and the tokens and events that they use |
//! | [`terminal`] | standard input, raw mode, window size |
//! | [`testing`] | simulated time for tests |
//!
//! # Where to begin
//!
//! | purpose | with callbacks | with tasks |
//! |---|---|---|
//! | run code in the loop | [`call_soon`] | [`spawn`], [`run_until_complete`] |
//! | timers | [`call_later`], [`call_every`], [`add_timer`] | [`sleep`], [`interval`], [`timeout`] |
//! | time limits | [`set_idle_limit`], [`add_timer`] | [`timeout`] |
//! | times of day | [`call_at_wall_time`], [`call_on_wall_schedule`] | [`sleep_until_wall_time`] |
//! | delays that include suspend | [`call_later_in_boot_time`] | [`sleep_in_boot_time`] |
//! | watch a descriptor | [`add_reader`], [`watch`] | [`Io`] |
//! | drive a C library | [`watch`], [`set_interest`] | [`Io`] |
//! | a server | [`serve`], [`serve_with`] and [`net::Protocol`] | [`net::TcpListener`], [`net::UnixListener`] |
//! | a client | [`connect`], then [`attach_with`] | [`net::TcpStream::connect_host`] |
//! | read lines, copy streams | [`net::Protocol`] | [`io::BufReader`], [`io::copy()`] |
//! | pass descriptors to other processes | [`net::FdStream`] | [`net::UnixStream::send_fds`] |
//! | datagrams | [`bind_datagram`] | [`net::UdpSocket`], [`net::UnixDatagram`] |
//! | blocking work, other threads | [`Remote::call_soon`] | [`spawn_blocking`], [`Remote::spawn`] |
//! | a child process | [`spawn_child`] | [`process::Child::spawn`] |
//! | another process | [`watch_pid`], [`reap_orphans`] | [`process::wait_pid`] |
//! | signals | [`add_signal_handler`], [`dump_on`] | [`signal`](signal()) |
//! | a graceful shutdown | [`net::Server::close`] | [`Shutdown`] |
//! | counters, bytes, histograms of times | [`metrics`] | [`metrics`] |
//! | list what is registered | [`snapshot`](LoopHandle::snapshot) | [`snapshot`](LoopHandle::snapshot) |
//! | find what is slow or stuck | [`diagnose`], [`Watchdog`], [`Tape::blame`] | [`dump_on`], feature `tracing` |
//! | use a library that requires `Send` | | [`ThreadBound`] |
//! | cancel something | [`cancel`] | [`CancelScope`], [`TaskGroup`], [`Task::cancel`] |
//! | handle errors and panics | [`set_exception_handler`], [`PanicPolicy`] | [`JoinError`] |
//! | embed the loop in another one | [`PollFd`], [`next_deadline`], [`tick`] | |
//!
//! Callbacks and tasks work together. A task reaches the state through [`with`], and hands a socket
//! over to a protocol through [`into_socket`]. A [`Promise`], created by [`promise()`], turns a
//! callback into a future.
//!
//! [`add_reader`]: LoopHandle::add_reader
//! [`add_signal_handler`]: LoopHandle::add_signal_handler
//! [`add_timer`]: LoopHandle::add_timer
//! [`attach_with`]: LoopHandle::attach_with
//! [`bind_datagram`]: LoopHandle::bind_datagram
//! [`call_at_wall_time`]: LoopHandle::call_at_wall_time
//! [`call_every`]: LoopHandle::call_every
//! [`call_later`]: LoopHandle::call_later
//! [`call_later_in_boot_time`]: LoopHandle::call_later_in_boot_time
//! [`call_on_wall_schedule`]: LoopHandle::call_on_wall_schedule
//! [`call_soon`]: LoopHandle::call_soon
//! [`cancel`]: LoopHandle::cancel
//! [`connect`]: LoopHandle::connect
//! [`diagnose`]: LoopHandle::diagnose
//! [`dump_on`]: LoopHandle::dump_on
//! [`into_socket`]: net::TcpStream::into_socket
//! [`metrics`]: LoopHandle::metrics
//! [`next_deadline`]: LoopHandle::next_deadline
//! [`reap_orphans`]: LoopHandle::reap_orphans
//! [`run_until_complete`]: EventLoop::run_until_complete
//! [`serve`]: LoopHandle::serve
//! [`serve_with`]: LoopHandle::serve_with
//! [`set_idle_limit`]: net::Server::set_idle_limit
//! [`set_interest`]: LoopHandle::set_interest
//! [`set_exception_handler`]: LoopHandle::set_exception_handler
//! [`spawn_child`]: LoopHandle::spawn_child
//! [`tick`]: EventLoop::tick
//! [`watch`]: LoopHandle::watch
//! [`watch_pid`]: LoopHandle::watch_pid
//! [`with`]: LoopHandle::with
//!
//! # Features
//!
//! All are off by default.
//!
//! * `futures-io` implements `AsyncRead` and `AsyncWrite` of the crate `futures-io` for [`Io`] and
//!   the streams of [`net`]. This makes `BufReader`, `lines` and `copy` of the crate `futures`
//!   work.
//! * `hyper` adds the module `hyper`, with the streams, the executor and the timer that the crate
//!   `hyper` requires.
//! * `tracing` opens a span for each task, and records its polls and wakes, for subscribers of the
//!   crate `tracing`. tokio-console shows them, see [`guide::debugging_a_stuck_daemon`].
//!
//! # The program `mainspring`
//!
//! `cargo install mainspring` installs a program that reads the tape of a [`Recorder`] from
//! outside, even while a callback is stuck, or after the process was killed:
//!
//! ```text
//! $ mainspring ps 4711
//! tape     memory of process 4711: 4214 turns in 2.8s
//! process  4711 runs; its loop was created at 2026-11-30 09:35:49.007 UTC
//! now      callback src/session.rs:41 for 1.3s, since 2026-11-30 09:35:50.516 UTC
//! ```
//!
//! `top` refreshes this view, `trace` draws the turns, and `blame` explains the late ones. The page
//! [`guide::the_program_mainspring`] lists the options; [`guide::debugging_a_stuck_daemon`] shows
//! it at work.
//!
//! # One tick
//!
//! ```text
//!   fds   signals  threads  clock
//!    │       │        │       │
//! selector   │        │       │
//!    │       │        │       │
//! watchers handlers inbox   timers
//!    └───────┴──┬─────┴───────┘
//!               │ feed
//!               ▼
//!          ready deque ◄────────┐
//!               │ run_batch     │
//!               ▼               │
//!       callbacks, tasks ───────┘
//!          call_soon, wake
//! ```
//!
//! A tick is one pass of the loop. It has three steps:
//!
//! 1. It calls the selector (epoll, kqueue, poll or select), which returns the ready descriptors.
//!    If nothing is ready or due, the loop sleeps here until the next event or deadline.
//! 2. It appends the due callbacks to the ready deque: descriptors (the reader of an fd before its
//!    writer), then signals, then messages from other threads, then timers. Callbacks that were
//!    already queued come first.
//! 3. It runs the batch, in order. The batch is the content of the deque at this point.
//!
//! Callbacks that are queued meanwhile run in a later tick, after the next call of the selector. So
//! no callback delays another by more than two ticks, unless it does not return.
//!
//! # Environment
//!
//! | variable | effect | values |
//! |---|---|---|
//! | `MAINSPRING_SELECTOR` | the selector | `epoll`, `kqueue`, `poll`, `select` |
//! | `MAINSPRING_WAKEUP` | how other threads wake the loop | `user-event`, `eventfd`, `pipe` |
//! | `MAINSPRING_CHILDREN` | how the exit of child processes is detected | `pidfd`, `kqueue`, `signal` |
//! | `MAINSPRING_WAIT` | precision of the sleep in epoll | `nanoseconds`, `milliseconds` |
//! | `MAINSPRING_DEBUG` | [debug mode](EventLoopBuilder::debug) on or off | `1`, `0` |
//!
//! A process with elevated privileges (set-user-ID, for example) ignores them. With any other
//! value, building a loop returns [`Error::Setting`].
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod arena;
mod awaits;
mod blocking;
mod builder;
mod callbacks;
mod children;
mod clock;
#[cfg(doctest)]
mod compile_fail;
mod diagnosis;
mod error;
mod event_loop;
#[cfg(any(doc, doctest))]
pub mod guide;
mod handle;
#[cfg(feature = "hyper")]
pub mod hyper;
mod inbox;
pub mod io;
mod key_groups;
mod log_text;
mod metrics;
pub mod net;
mod panic;
pub mod process;
mod ready;
pub mod selector;
pub mod service;
mod signals;
pub mod snapshot;
mod soon_queue;
mod std_or_loom;
mod step_counter;
mod structured;
mod tape;
mod task;
pub mod terminal;
pub mod testing;
mod timers;
mod watchdog;
mod watchers;

pub use blocking::{
    BlockingPool, BlockingPoolBuilder, Job, JobBuilder, JobError, StuckJob, StuckJobs,
};
pub use builder::EventLoopBuilder;
pub use clock::{Clock, JumpDetection, JumpNotice, MissedTickBehavior, MonotonicClock};
pub use diagnosis::{Diagnosis, Flag, FlagKind};
pub use error::{Error, Result, Stalled, StalledTask};
pub use event_loop::{
    CallbackResult, EventLoop, LoopHandle, PanicPolicy, PollFd, Remote, Report, ReportKind, Watched,
};
pub use handle::{Handle, TimerHandle, Watcher};
pub use io::read_chunk::ReadChunk;
pub use io::source::Io;
pub use mainspring_sys::child::ExitWatchKind;
pub use mainspring_sys::signal::{SignalInfo, SignalOrigin};
pub use mainspring_sys::{
    Interest, Readiness, SelectorKind, Signal, ThreadBound, TriggerMode, WakeupKind,
};
pub use metrics::{Histogram, Metrics};
pub use panic::Panic;
pub use structured::{
    AsCompleted, CancelScope, GroupError, GroupTask, Shutdown, ShutdownEnding, ShutdownGuard,
    TaskGroup, WaitUntil, as_completed, gather, gather_all, race, race_all, shield, timeout,
    timeout_at, wait,
};
pub use tape::{Blame, BlamePart, Cause, Recorder, Tape, Turn, TurnKind};
pub use task::{
    CancelReason, Cancelled, CurrentLoop, DetachedOutput, Interval, JoinError, Promise, Promised,
    RemoteTask, SignalReceiver, Sleep, Task, TaskEnding, TaskState, YieldNow, current_loop,
    interval, promise, signal, sleep, sleep_in_boot_time, sleep_until, sleep_until_boot_time,
    sleep_until_wall_time, spawn, spawn_blocking, yield_now,
};
pub use watchdog::{Heartbeat, RunningTurn, Stall, Watchdog, WatchdogGuard};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

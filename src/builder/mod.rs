//! The builder of event loops: settings, defaults, and creation.

mod parts;

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use mainspring_sys::child::ExitWatchKind;
use mainspring_sys::{Selector, SelectorKind, WakeupKind};

use self::parts::{debug_by_environment, open_selector, open_wakeup, setting};
use crate::blocking::BlockingPool;
use crate::clock::{Clock, Timeline};
use crate::error::{Error, Result};
use crate::event_loop::loop_core::{LoopCore, Settings};
use crate::event_loop::{EventLoop, LoopHandle, PanicPolicy};
use crate::inbox::Inbox;
use crate::tape::Recorder;
use crate::task::Tasks;
use crate::watchers::Watchers;

/// The selector of a new loop: a [`SelectorKind`] or a custom selector.
#[derive(Debug)]
#[non_exhaustive]
pub enum SelectorChoice {
    /// A selector of this crate.
    Kind(SelectorKind),
    /// A custom selector.
    Custom(Box<dyn Selector>),
}

impl From<SelectorKind> for SelectorChoice {
    fn from(kind: SelectorKind) -> SelectorChoice {
        SelectorChoice::Kind(kind)
    }
}

impl From<Box<dyn Selector>> for SelectorChoice {
    fn from(selector: Box<dyn Selector>) -> SelectorChoice {
        SelectorChoice::Custom(selector)
    }
}

impl EventLoop {
    /// Creates a loop without state, with the best selector of the system.
    ///
    /// # Errors
    ///
    /// Same as [`EventLoopBuilder::build`].
    pub fn new() -> Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::new()
    }
}

impl<S> EventLoop<S> {
    /// Creates a loop that passes `&mut state` to every callback.
    ///
    /// # Errors
    ///
    /// Same as [`EventLoopBuilder::build`].
    pub fn with_state(state: S) -> Result<EventLoop<S>> {
        EventLoopBuilder::new().build_with(state)
    }
}

/// Maximum size of the read buffer, in bytes.
const MAX_READ_BUFFER: usize = 1 << 30;

/// A builder of event loops, returned by [`EventLoop::builder`].
///
/// ```
/// use mainspring::{EventLoop, SelectorKind};
/// use std::time::Duration;
///
/// let el = EventLoop::builder()
///     .selector(SelectorKind::Poll)
///     .event_capacity(64)
///     .debug(true)
///     .slow_callback_duration(Duration::from_millis(20))
///     .build()?;
/// assert!(el.poll_fd().is_none()); // poll(2) has no kernel object
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder creates no loop before `build`"]
pub struct EventLoopBuilder {
    selector: Option<SelectorChoice>,
    wakeup: Option<WakeupKind>,
    /// `None` for the system's clock.
    clock: Option<Box<dyn Clock>>,
    event_capacity: usize,
    settings: Settings,
    debug: Option<bool>,
    await_lines: Option<bool>,
    measure: bool,
    recorder: Option<(Recorder, &'static Location<'static>)>,
    report_disconnects: Option<bool>,
    slow: Duration,
    panic_policy: PanicPolicy,
    blocking_pool: Option<BlockingPool>,
}

impl EventLoopBuilder {
    pub(crate) fn new() -> EventLoopBuilder {
        EventLoopBuilder {
            selector: None,
            wakeup: None,
            clock: None,
            event_capacity: 1024,
            settings: Settings {
                accept_batch: 64,
                inbox_batch: 1024,
                read_buffer: 64 * 1024,
                report_disconnects: false,
                debug: false,
                await_lines: false,
                custom_selector: false,
                slow: None,
                exit_watch: None,
            },
            debug: None,
            await_lines: None,
            measure: false,
            recorder: None,
            report_disconnects: None,
            slow: Duration::from_millis(100),
            panic_policy: PanicPolicy::default(),
            blocking_pool: None,
        }
    }

    /// Sets the selector: a [`SelectorKind`], or a custom `Box<dyn Selector>` ([`Selector`] has an
    /// example). Default: the one named by the environment variable `MAINSPRING_SELECTOR`, or the
    /// best one of the system.
    pub fn selector(mut self, selector: impl Into<SelectorChoice>) -> EventLoopBuilder {
        self.selector = Some(selector.into());
        self
    }

    /// Sets how other threads wake the loop. Default: the one named by the environment variable
    /// `MAINSPRING_WAKEUP`, or the best one for the selector.
    pub fn wakeup(mut self, kind: WakeupKind) -> EventLoopBuilder {
        self.wakeup = Some(kind);
        self
    }

    /// Sets the mechanism that reports the exit of child processes. Default: the one named by the
    /// environment variable `MAINSPRING_CHILDREN`, or the best one of the system. The first child
    /// opens it.
    ///
    /// ```
    /// use mainspring::{EventLoop, ExitWatchKind};
    /// use std::process::Command;
    ///
    /// let builder = EventLoop::builder().exit_watch(ExitWatchKind::Signal);
    /// let mut el = builder.build_with(None)?;
    /// el.spawn_child(Command::new("true"), |_, code, status| *code = status.unwrap().code())?;
    /// el.run()?;
    /// assert_eq!(*el.state(), Some(0));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn exit_watch(mut self, kind: ExitWatchKind) -> EventLoopBuilder {
        self.settings.exit_watch = Some(kind);
        self
    }

    /// Sets the clock. Default: the system's monotonic clock.
    pub fn clock(mut self, clock: impl Clock + 'static) -> EventLoopBuilder {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Sets the maximum number of fds that a tick serves, up to a million. Default: 1024.
    pub fn event_capacity(mut self, events: usize) -> EventLoopBuilder {
        self.event_capacity = events;
        self
    }

    /// Sets the maximum number of connections that a listener accepts in a tick. Default: 64.
    pub fn accept_batch(mut self, connections: usize) -> EventLoopBuilder {
        self.settings.accept_batch = connections;
        self
    }

    /// Sets the maximum number of closures from other threads that run in a tick. Default: 1024.
    pub fn inbox_batch(mut self, closures: usize) -> EventLoopBuilder {
        self.settings.inbox_batch = closures;
        self
    }

    /// Sets the size of the read buffer that all transports of the loop share, in bytes, up to
    /// 1 GiB. Default: 64 KiB.
    pub fn read_buffer(mut self, bytes: usize) -> EventLoopBuilder {
        self.settings.read_buffer = bytes;
        self
    }

    /// Turns the debug mode on or off. The debug mode reports slow callbacks, bytes that are
    /// [written](crate::net::Transport::write) to a connection after its `close`, and
    /// [disconnects](EventLoopBuilder::report_disconnects). Default: the value of the environment
    /// variable `MAINSPRING_DEBUG`, `1` or `0`; without it, off.
    pub fn debug(mut self, debug: bool) -> EventLoopBuilder {
        self.debug = Some(debug);
        self
    }

    /// Records for each task the line where it waits, its age and its number of turns, for a
    /// [snapshot](crate::snapshot::Entry::awaits) and for [`Error::Stalled`]. Default: on in debug
    /// mode, and if the crate was built with debug assertions; otherwise off.
    ///
    /// This costs 48 bytes per task, and about 440 instructions per turn.
    ///
    /// ```
    /// use mainspring::{EventLoop, sleep};
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::builder().await_lines(true).build()?;
    /// let task = el.spawn(async { sleep(Duration::from_secs(60)).await });
    /// el.run_until_stalled()?;
    /// let snapshot = el.snapshot();
    /// let entry = snapshot.get(task.handle()).unwrap();
    /// assert_eq!(entry.awaits()[0].call(), "sleep");
    /// assert_eq!((entry.waiting_since(), entry.runs()), (Some(1), Some(1)));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn await_lines(mut self, keep: bool) -> EventLoopBuilder {
        self.await_lines = Some(keep);
        self
    }

    /// Turns time measurements for [`Metrics`](crate::Metrics) on or off. They read the clock twice
    /// per callback and four times per tick. Default: off.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::builder().measure(true).build()?;
    /// el.call_soon(|_, _| {});
    /// el.run()?;
    /// assert_eq!(el.metrics().call_durations().count(), 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn measure(mut self, measure: bool) -> EventLoopBuilder {
        self.measure = measure;
        self
    }

    /// Records the turns of the loop on a tape, which [`LoopHandle::tape`] returns. Default: off.
    ///
    /// A recorder that cannot be opened does not stop the program: the loop runs without a tape,
    /// and the exception handler gets a report with this line. [`Recorder`] has an example.
    #[track_caller]
    pub fn record(mut self, recorder: Recorder) -> EventLoopBuilder {
        self.recorder = Some((recorder, Location::caller()));
        self
    }

    /// Turns reports of disconnects on or off: errors for which
    /// [`is_disconnect`](crate::Error::is_disconnect) returns true, when they end a connection of a
    /// protocol or a detached task. Default: on in debug mode only.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::io::{Error, ErrorKind};
    ///
    /// for shown in [false, true] {
    ///     let mut el = EventLoop::builder().report_disconnects(shown).build_with(0)?;
    ///     el.set_exception_handler(|_, reports, report| {
    ///         assert!(report.error.is_disconnect());
    ///         *reports += 1;
    ///     });
    ///     el.spawn(async { Err::<(), _>(Error::from(ErrorKind::ConnectionReset)) }).detach();
    ///     el.run()?;
    ///     assert_eq!(*el.state(), i32::from(shown));
    /// }
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn report_disconnects(mut self, report: bool) -> EventLoopBuilder {
        self.report_disconnects = Some(report);
        self
    }

    /// Sets the duration from which on debug mode reports a callback as slow. Default: 100 ms.
    pub fn slow_callback_duration(mut self, duration: Duration) -> EventLoopBuilder {
        self.slow = duration;
        self
    }

    /// Sets the policy for panics of callbacks. Default: a panic unwinds out of `run_*`.
    pub fn panic_policy(mut self, policy: PanicPolicy) -> EventLoopBuilder {
        self.panic_policy = policy;
        self
    }

    /// Sets the thread pool for blocking work. Default: [`BlockingPool::new`].
    ///
    /// ```
    /// use mainspring::{EventLoop, BlockingPool};
    ///
    /// let pool = BlockingPool::builder().max_threads(2).thread_name("disk").build()?;
    /// let el = EventLoop::builder().blocking_pool(pool).build()?;
    /// assert_eq!(el.blocking_pool().threads(), 0); // none before the first job
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn blocking_pool(mut self, pool: BlockingPool) -> EventLoopBuilder {
        self.blocking_pool = Some(pool);
        self
    }

    /// Creates the loop.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] if a size is zero or too large, or if an environment variable has an
    /// invalid value. [`Error::Create`] if the process or the system is out of descriptors.
    pub fn build(self) -> Result<EventLoop> {
        self.build_with(())
    }

    /// Creates the loop, with `state` for its callbacks.
    ///
    /// # Errors
    ///
    /// Same as [`build`](EventLoopBuilder::build).
    pub fn build_with<S>(mut self, state: S) -> Result<EventLoop<S>> {
        self.check()?;
        self.settings.debug = match self.debug {
            Some(debug) => debug,
            None => debug_by_environment()?,
        };
        self.settings.report_disconnects = self.report_disconnects.unwrap_or(self.settings.debug);
        if self.settings.exit_watch.is_none() {
            self.settings.exit_watch = ExitWatchKind::from_env().map_err(setting)?;
        }
        self.settings.custom_selector = matches!(self.selector, Some(SelectorChoice::Custom(_)));
        let awaits = self.await_lines.unwrap_or(self.settings.debug || cfg!(debug_assertions));
        self.settings.await_lines = awaits;
        self.settings.slow = self.settings.debug.then_some(self.slow);
        let mut watchers = Watchers::new(open_selector(self.selector)?);
        let wakeup = open_wakeup(self.wakeup, &mut watchers)?;
        let pool = self.blocking_pool.unwrap_or_default();
        let timeline = self.clock.map_or_else(Timeline::monotonic, Timeline::new);
        let core = LoopCore::new(watchers, timeline, pool, self.settings);
        let times = self.settings.slow.is_some() || self.measure || self.recorder.is_some();
        core.is_timed.set(times);
        core.is_instrumented.set(times || self.settings.await_lines);
        if self.measure {
            core.page.measure();
        }
        if let Some((recorder, location)) = &self.recorder {
            core.open_tape(recorder, location);
        }
        let inbox = Arc::new(Inbox::new(wakeup));
        let tasks = Tasks::open(core.clone(), Inbox::with_wakeup_of(&inbox));
        let handle = LoopHandle::new(core, inbox, tasks);
        handle.set_panic_policy(self.panic_policy);
        Ok(EventLoop::assemble(handle, state, self.event_capacity))
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("event_capacity", self.event_capacity),
            ("accept_batch", self.settings.accept_batch),
            ("inbox_batch", self.settings.inbox_batch),
            ("read_buffer", self.settings.read_buffer),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::Setting(format!("{name} must be at least 1")));
        }
        // Both buffers are allocated in full: with the loop, and by the first read.
        if self.event_capacity > 1_000_000 {
            return Err(Error::Setting("event_capacity must be at most a million".into()));
        }
        if self.settings.read_buffer > MAX_READ_BUFFER {
            return Err(Error::Setting("read_buffer must be at most 1 GiB".into()));
        }
        Ok(())
    }
}

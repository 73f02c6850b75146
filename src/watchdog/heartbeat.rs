//! The running turn, readable from any thread.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use mainspring_sys::process::Process;

use crate::metrics::Page;
use crate::tape::{LiveTape, Turn};

/// The running turn of a loop, readable from any thread, even while it is stuck. Returned by
/// [`LoopHandle::heartbeat`](crate::LoopHandle::heartbeat).
///
/// ```
/// use mainspring::{EventLoop, TurnKind};
/// use std::sync::mpsc;
///
/// let mut el = EventLoop::new()?;
/// let heartbeat = el.heartbeat();
/// let (stuck, is_stuck) = mpsc::channel();
/// let (seen, is_seen) = mpsc::channel();
/// std::thread::spawn(move || {
///     is_stuck.recv().unwrap();
///     seen.send(heartbeat.running()).unwrap();
/// });
/// let handle = el.call_soon(move |_, _| {
///     stuck.send(()).unwrap();
///     let running = is_seen.recv().unwrap().expect("this callback runs");
///     assert_eq!((running.turn.kind, running.tick), (TurnKind::Soon, 1));
///     assert!(running.turn.place.starts_with("probe ("));
/// });
/// el.set_name(handle, "probe");
/// el.run()?;
/// assert!(el.heartbeat().running().is_none());
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone)]
pub struct Heartbeat {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` if the tape could not be created.
    tape: Option<LiveTape>,
    page: Arc<Page>,
    /// Start of the loop's time.
    start: Instant,
    process: Process,
    is_closed: AtomicBool,
}

/// A turn that has not ended. Returned by [`Heartbeat::running`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningTurn {
    /// The turn: its kind, its place with its name, and its cause.
    pub turn: Turn,
    /// Number of the tick. It may be off by one if the turn has just ended.
    pub tick: u64,
    /// Time since the turn began. Meaningless if the loop has another clock than
    /// [`MonotonicClock`](crate::MonotonicClock).
    pub lasted: Duration,
}

impl Heartbeat {
    /// Returns a heartbeat of the loop of `process`.
    pub(crate) fn new(
        tape: Option<LiveTape>,
        page: Arc<Page>,
        start: Instant,
        process: Process,
    ) -> Heartbeat {
        let is_closed = AtomicBool::new(false);
        Heartbeat { shared: Arc::new(Shared { tape, page, start, process, is_closed }) }
    }

    /// Returns the running turn: a callback, or a poll of a task. `None` while the loop sleeps or
    /// does not run, after it was closed, and in a forked child.
    pub fn running(&self) -> Option<RunningTurn> {
        if self.is_closed() {
            return None;
        }
        let turn = self.shared.tape.as_ref()?.last_turn().filter(|turn| turn.kind.is_callback())?;
        let tick = self.ticks();
        let lasted = Instant::now().saturating_duration_since(self.shared.start + turn.at);
        Some(RunningTurn { turn, tick, lasted })
    }

    /// Returns the number of ticks, like [`Metrics::ticks`](crate::Metrics::ticks).
    pub fn ticks(&self) -> u64 {
        self.shared.page.ticks()
    }

    /// Returns true if the loop was closed or dropped, or in a forked child of its process.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Acquire) || !self.shared.process.is_current()
    }

    /// Notes that the loop is closed.
    pub(crate) fn close(&self) {
        self.shared.is_closed.store(true, Release);
    }

    /// Returns the number of turns that have begun.
    pub(super) fn turns_begun(&self) -> u64 {
        self.shared.tape.as_ref().map_or(0, LiveTape::turns_begun)
    }

    /// Writes the tape to a file.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        self.shared
            .tape
            .as_ref()
            .map_or(Err(io::ErrorKind::NotFound.into()), |tape| tape.save(path))
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Heartbeat").field(&self.running()).finish()
    }
}

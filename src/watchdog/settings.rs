//! The settings of a watchdog.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::heartbeat::Heartbeat;
use super::stall::Stall;
use super::thread::{self, Settings, WatchdogGuard};
use crate::error::{Error, Result};

/// A thread that reports stuck callbacks and tasks while they are still running.
///
/// It samples the [`Heartbeat`] four times per limit. A turn that it sees for the whole limit is a
/// stall, and is reported once. Time during which the process was stopped is not a stall. At most
/// five stalls a minute are reported; the others are counted.
///
/// [`Service::keep_watchdog`](crate::service::Service::keep_watchdog) is different: it is not a
/// thread, and pings the watchdog of the service manager.
///
/// [`spawn`](Watchdog::spawn) returns a guard, which ends the thread when it is dropped. So keep it
/// in a variable: `let _watchdog = ..`, because `let _ = ..` drops it at once. The guide shows one
/// in a [stuck daemon](crate::guide::debugging_a_stuck_daemon#the-daemon-reports-it-itself).
///
/// ```
/// use mainspring::{EventLoop, Watchdog};
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// let mut el = EventLoop::new()?;
/// let (report, reported) = mpsc::channel();
/// let watchdog = Watchdog::new(el.heartbeat())
///     .limit(Duration::from_millis(20))
///     .on_stall(move |stall| report.send(stall.to_string()).unwrap())
///     .spawn()?;
/// el.call_soon(move |_, _| {
///     // Stuck until the watchdog has reported it.
///     let text = reported.recv().unwrap();
///     assert!(text.starts_with("callback ") && text.contains(" has been running for "));
/// });
/// el.run()?;
/// drop(watchdog);
/// # Ok::<(), mainspring::Error>(())
/// ```
#[must_use = "a watchdog does nothing before `spawn`"]
pub struct Watchdog {
    settings: Settings,
}

impl Watchdog {
    /// Returns a watchdog of this loop, with a limit of a second.
    pub fn new(heartbeat: Heartbeat) -> Watchdog {
        let limit = Duration::from_secs(1);
        let settings = Settings { heartbeat, limit, on_stall: None, tape: None, abort: false };
        Watchdog { settings }
    }

    /// Sets the time after which a turn is a stall. Default: a second.
    pub fn limit(mut self, limit: Duration) -> Watchdog {
        self.settings.limit = limit;
        self
    }

    /// Sets the closure that gets each report, on the thread of the watchdog. Default: a line on
    /// standard error. A panic of the closure is printed, and the watchdog continues.
    pub fn on_stall(mut self, on_stall: impl FnMut(&Stall) + Send + 'static) -> Watchdog {
        self.settings.on_stall = Some(Box::new(on_stall));
        self
    }

    /// Writes the tape to this file before each report, replacing an older one. The file has mode
    /// 0600, and [`Tape::open`](crate::Tape::open) reads it. Without a
    /// [recorder](crate::EventLoopBuilder::record) it contains the last 1000 turns since the
    /// heartbeat was created.
    pub fn write_tape(mut self, path: impl AsRef<Path>) -> Watchdog {
        self.settings.tape = Some(path.as_ref().to_owned());
        self
    }

    /// Aborts the process after the first report, so that a core dump shows the stuck callback.
    pub fn abort(mut self) -> Watchdog {
        self.settings.abort = true;
        self
    }

    /// Starts the thread. It blocks all signals, so that other threads handle them. It ends when
    /// the guard is dropped, or within a quarter of the limit after the loop was closed.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a limit of less than a millisecond; [`Error::Thread`].
    pub fn spawn(self) -> Result<WatchdogGuard> {
        if self.settings.limit < Duration::from_millis(1) {
            return Err(Error::Setting(
                "the limit of a watchdog is less than a millisecond".into(),
            ));
        }
        thread::start(self.settings).map_err(Error::Thread)
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog")
            .field("heartbeat", &self.settings.heartbeat)
            .field("limit", &self.settings.limit)
            .field("tape", &self.settings.tape)
            .field("abort", &self.settings.abort)
            .finish_non_exhaustive()
    }
}

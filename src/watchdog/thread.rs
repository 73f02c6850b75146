//! The thread of a watchdog.

use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mainspring_sys::process::Process;
use mainspring_sys::signal;

use super::heartbeat::{Heartbeat, RunningTurn};
use super::stall::Stall;
use crate::log_text::write_line;

/// Number of samples per limit.
const SAMPLES: u32 = 4;
/// Number of reports in a period.
const BURST: u32 = 5;
const PERIOD: Duration = Duration::from_secs(60);

/// Ends the thread of a [`Watchdog`](super::Watchdog) when it is dropped, and waits for its end. A
/// report in progress delays the drop, unless the report itself drops the guard.
#[must_use = "the watchdog ends when its guard is dropped"]
pub struct WatchdogGuard {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    process: Process,
}

/// The settings of a watchdog.
pub(super) struct Settings {
    pub(super) heartbeat: Heartbeat,
    pub(super) limit: Duration,
    /// `None` for a line on standard error.
    pub(super) on_stall: Option<OnStall>,
    /// Path for the tape, if it is written.
    pub(super) tape: Option<PathBuf>,
    pub(super) abort: bool,
}

/// The closure that gets the stalls.
type OnStall = Box<dyn FnMut(&Stall) + Send>;

/// The request to end.
#[derive(Default)]
struct Stop {
    is_requested: Mutex<bool>,
    requested: Condvar,
}

impl Stop {
    fn request(&self) {
        *self.is_requested.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.requested.notify_all();
    }

    /// Waits for `time`. Returns true if the end was requested.
    fn wait(&self, time: Duration) -> bool {
        let is_requested = self.is_requested.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.requested.wait_timeout_while(is_requested, time, |requested| !*requested);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Starts the thread of a watchdog.
pub(super) fn start(settings: Settings) -> io::Result<WatchdogGuard> {
    let stop = Arc::new(Stop::default());
    let of_thread = stop.clone();
    let wait = move |time| (!of_thread.wait(time)).then(Instant::now);
    let builder = thread::Builder::new().name("watchdog".into());
    // The new thread inherits the mask.
    let start = || builder.spawn(move || watch(settings, wait));
    let thread = Some(signal::with_all_blocked(start)?);
    Ok(WatchdogGuard { stop, thread, process: Process::current() })
}

/// Watches the loop until it is closed, or until `wait` returns `None`. Until then, `wait` returns
/// the time after its wait.
fn watch(mut settings: Settings, mut wait: impl FnMut(Duration) -> Option<Instant>) {
    let mut seen = Seen::default();
    let mut rate = Rate::default();
    while let Some(now) = wait(settings.limit / SAMPLES) {
        let heartbeat = &settings.heartbeat;
        if heartbeat.is_closed() {
            return;
        }
        let running = || heartbeat.running();
        let stall = seen.stall(heartbeat.turns_begun(), now, settings.limit, running);
        if let Some((running, lasted)) = stall {
            report(&mut settings, &mut rate, running, lasted, now);
        }
    }
}

fn report(
    settings: &mut Settings,
    rate: &mut Rate,
    running: RunningTurn,
    lasted: Duration,
    now: Instant,
) {
    let Some(suppressed) = rate.admit(now) else { return };
    let tape = settings.tape.as_ref();
    let tape_error = tape.and_then(|path| settings.heartbeat.save(path).err());
    let RunningTurn { turn, tick, .. } = running;
    let stall = Stall { turn, tick, lasted, suppressed, tape_error };
    match &mut settings.on_stall {
        // A panic has been printed by the panic hook.
        Some(on_stall) => _ = catch_unwind(AssertUnwindSafe(|| on_stall(&stall))),
        // Ignored: standard error may be full, and the thread must not wait for it.
        None => _ = write_line(&stall),
    }
    if settings.abort {
        process::abort();
    }
}

/// The turn seen by the last samples.
#[derive(Default)]
struct Seen {
    /// Number of turns that had begun.
    turns: u64,
    /// Time of the first sample with this turn.
    since: Option<Instant>,
    samples: u32,
    is_reported: bool,
}

impl Seen {
    /// Adds a sample. Returns the turn that was seen for the limit, if it was not reported yet, and
    /// how long it was seen. `running` reads the turn, which may have ended since its number was
    /// read.
    fn stall(
        &mut self,
        turns: u64,
        now: Instant,
        limit: Duration,
        running: impl FnOnce() -> Option<RunningTurn>,
    ) -> Option<(RunningTurn, Duration)> {
        let lasted = self.sample(turns, now, limit)?;
        let running = running().filter(|running| running.turn.number + 1 == turns)?;
        self.is_reported = true;
        Some((running, lasted))
    }

    /// Adds a sample. Returns how long the turn was seen, if it is a stall that was not reported
    /// yet.
    ///
    /// A minimum number of samples is required as well: after the process was stopped, one sample
    /// can be as late as the limit.
    fn sample(&mut self, turns: u64, now: Instant, limit: Duration) -> Option<Duration> {
        if turns != self.turns || self.since.is_none() {
            *self = Seen { turns, since: Some(now), samples: 0, is_reported: false };
        }
        self.samples += 1;
        let lasted = now.duration_since(self.since?);
        let is_stall = lasted >= limit && self.samples > SAMPLES && !self.is_reported;
        is_stall.then_some(lasted)
    }
}

/// The limit of the rate of reports.
#[derive(Default)]
struct Rate {
    period: Option<Instant>,
    reported: u32,
    suppressed: u64,
}

impl Rate {
    /// Returns the number of stalls that were suppressed before this one, or `None` if this one is.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.period.is_none_or(|begin| now.duration_since(begin) >= PERIOD) {
            (self.period, self.reported) = (Some(now), 0);
        }
        if self.reported == BURST {
            self.suppressed += 1;
            return None;
        }
        self.reported += 1;
        Some(mem::take(&mut self.suppressed))
    }
}

impl Drop for WatchdogGuard {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.process.is_current() {
            // The thread does not exist in a forked child, and may have held the lock.
            return mem::forget(thread);
        }
        self.stop.request();
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join(); // Its panics were caught.
        }
    }
}

impl fmt::Debug for WatchdogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchdogGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Page;
    use crate::tape::{Recorder, Recording, Start, TurnKind};

    const LIMIT: Duration = Duration::from_millis(100);

    #[test]
    fn e5_a_turn_is_a_stall_once_when_the_limit_is_over() {
        let (begin, mut seen) = (Instant::now(), Seen::default());
        let mut sample = |turns, millis| {
            let lasted = seen.sample(turns, begin + Duration::from_millis(millis), LIMIT);
            seen.is_reported |= lasted.is_some();
            lasted
        };
        for millis in [0, 25, 50, 75] {
            assert_eq!(sample(7, millis), None);
        }
        assert_eq!(sample(7, 100), Some(LIMIT));
        assert_eq!(sample(7, 125), None, "reported");
        for millis in [150, 175, 200, 225, 249] {
            assert_eq!(sample(8, millis), None, "another turn");
        }
        assert_eq!(sample(8, 250), Some(LIMIT));
    }

    /// Returns a heartbeat of a loop that does not end its first turn.
    fn stuck() -> Heartbeat {
        let recording = Recording::open(&Recorder::ring(16), || 0).unwrap();
        recording.begin(0, 0, Start { kind: TurnKind::Soon, ..Start::LOOP });
        let page = Arc::<Page>::default();
        Heartbeat::new(recording.live(), page, Instant::now(), Process::current())
    }

    #[test]
    fn e5_a_turn_that_ends_while_it_is_read_is_no_stall() {
        let (mut now, mut seen) = (Instant::now(), Seen::default());
        let running = stuck().running().unwrap();
        let mut next = running.clone();
        next.turn.number += 1;
        let mut stall = |running: &RunningTurn| {
            now += LIMIT / SAMPLES;
            seen.stall(1, now, LIMIT, || Some(running.clone())).map(|(running, _)| running)
        };
        for _ in 0..8 {
            assert_eq!(stall(&next), None);
        }
        assert_eq!(stall(&running), Some(running.clone()), "none was reported before");
        assert_eq!(stall(&running), None, "reported");
    }

    #[test]
    fn e5_the_heartbeat_is_sampled_four_times_per_limit() {
        let (stalls, reported) = std::sync::mpsc::channel();
        let on_stall: OnStall = Box::new(move |stall| stalls.send(stall.lasted).unwrap());
        let (heartbeat, on_stall) = (stuck(), Some(on_stall));
        let (mut now, mut waits) = (Instant::now(), Vec::new());
        watch(Settings { heartbeat, limit: LIMIT, on_stall, tape: None, abort: false }, |time| {
            now += time;
            waits.push(time);
            (waits.len() < 12).then_some(now)
        });
        assert_eq!(waits, [LIMIT / 4; 12]);
        assert_eq!(reported.iter().collect::<Vec<_>>(), [LIMIT]);
    }

    #[test]
    fn e5_a_process_that_was_stopped_has_no_stall() {
        let (begin, mut seen) = (Instant::now(), Seen::default());
        assert_eq!(seen.sample(7, begin, LIMIT), None);
        assert_eq!(seen.sample(7, begin + 60 * LIMIT, LIMIT), None);
        // Stopped after three samples.
        for time in [0, 25, 50].map(Duration::from_millis) {
            assert_eq!(seen.sample(8, begin + time, LIMIT), None);
        }
        assert_eq!(seen.sample(8, begin + 60 * LIMIT, LIMIT), None);
    }

    #[test]
    fn e6_five_stalls_a_minute_are_reported() {
        let (begin, mut rate) = (Instant::now(), Rate::default());
        let mut admit = |seconds| rate.admit(begin + Duration::from_secs(seconds));
        for seconds in 0..5 {
            assert_eq!(admit(seconds), Some(0));
        }
        assert_eq!([5, 30, 59].map(&mut admit), [None; 3]);
        assert_eq!([60, 61].map(&mut admit), [Some(3), Some(0)]);
    }
}

//! The clock of a loop, which a test can replace.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainspring_sys::clock;

mod interval_grid;
mod jumps;
mod turn_clock;

pub(crate) use self::interval_grid::IntervalGrid;
pub use self::interval_grid::MissedTickBehavior;
pub(crate) use self::jumps::JumpListener;
pub use self::jumps::{JumpDetection, JumpNotice};
use self::turn_clock::TurnClock;

/// A clock, which also limits how long the loop sleeps.
///
/// The default methods are those of a real clock. A simulated clock, like
/// [`SimClock`](crate::testing::SimClock), does not let the loop sleep and moves forward instead.
pub trait Clock: fmt::Debug {
    /// Returns the current time. It never goes back.
    fn now(&self) -> Instant;

    /// Returns the time of day. Unlike [`now`](Clock::now) it can be set, so it may jump forward
    /// and back.
    fn wall_time(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Returns the time since an unspecified point in the past, usually the boot. Unlike
    /// [`now`](Clock::now) it includes the time during which the machine is suspended, see
    /// [`MonotonicClock`]. It never goes back.
    fn boot_time(&self) -> Duration {
        clock::boot_time()
    }

    /// Called once by each loop that gets the clock. Returns how the loop notices that the wall
    /// time or the boot time has jumped relative to [`now`](Clock::now).
    ///
    /// A clock that announces its jumps keeps `notice`, sends it after each of them, and returns
    /// [`JumpDetection::Announced`].
    fn announce_jumps(&self, notice: JumpNotice) -> JumpDetection {
        drop(notice);
        JumpDetection::Compared
    }

    /// Returns the longest time for which the selector may sleep when nothing is due for `wanted`.
    /// `None` means "until an event".
    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        wanted
    }

    /// Called when no event came within the time that [`max_wait`](Clock::max_wait) returned for
    /// `wanted`.
    fn on_timeout(&self, wanted: Option<Duration>) {
        let _ = wanted;
    }
}

/// The system's clocks: the monotonic clock of [`Instant`] for ordinary timers, the wall clock, and
/// the boot time.
///
/// The manual page clock_gettime(2) of each system, on macOS clock_gettime(3), has these rules:
///
/// | system | clock of ordinary timers | includes suspend | boot-time clock | includes suspend |
/// |---|---|---|---|---|
/// | Linux, Android | `CLOCK_MONOTONIC` | no | `CLOCK_BOOTTIME` | yes |
/// | macOS, iOS | `CLOCK_UPTIME_RAW` | no | `CLOCK_MONOTONIC_RAW` | yes |
/// | FreeBSD | `CLOCK_MONOTONIC` | yes, per the page of 2024 | the same | the same |
/// | OpenBSD | `CLOCK_MONOTONIC` | yes | `CLOCK_BOOTTIME` | yes |
/// | NetBSD, DragonFly, illumos | `CLOCK_MONOTONIC` | not documented | the same | the same |
///
/// Only the boot time includes suspend wherever the system can. No clock excludes it on every
/// system. The wall clock is `CLOCK_REALTIME`, which includes it everywhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn announce_jumps(&self, _: JumpNotice) -> JumpDetection {
        JumpDetection::System
    }
}

/// A clock that may jump relative to the loop's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Timebase {
    /// The wall clock, in nanoseconds since 1970.
    Wall,
    /// The boot time, in nanoseconds.
    Boot,
}

impl Timebase {
    pub(crate) const ALL: [Timebase; 2] = [Timebase::Wall, Timebase::Boot];
}

/// A reading of all clocks, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Time of the loop.
    pub(crate) now: u64,
    /// Times of the clocks that may jump.
    timebases: [u64; Timebase::ALL.len()],
}

impl Times {
    /// Returns the time of a clock that may jump.
    pub(crate) fn of(self, timebase: Timebase) -> u64 {
        self.timebases[timebase as usize]
    }
}

/// A clock and the start of its loop. Users have instants; the loop counts nanoseconds since the
/// start.
#[derive(Debug)]
pub(crate) struct Timeline {
    clock: Box<dyn Clock>,
    start: Instant,
    /// The clock of instruments; `None` if the clock is a custom one, which is always read.
    turns: Option<TurnClock>,
}

/// A deadline that never comes, 584 years after the loop's start.
pub(crate) const NEVER: u64 = u64::MAX;

impl Timeline {
    pub(crate) fn new(clock: Box<dyn Clock>) -> Timeline {
        let start = clock.now();
        Timeline { clock, start, turns: None }
    }

    /// Returns the time of the system's clock.
    pub(crate) fn monotonic() -> Timeline {
        let turns = Some(TurnClock::default());
        Timeline { turns, ..Timeline::new(Box::new(MonotonicClock)) }
    }

    /// Returns the start of the loop's time.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Returns the time of day.
    pub(crate) fn wall_time(&self) -> SystemTime {
        self.clock.wall_time()
    }

    /// Returns the boot time.
    pub(crate) fn boot_time(&self) -> Duration {
        self.clock.boot_time()
    }

    /// Returns the time of another clock in nanoseconds.
    pub(crate) fn nanos_in(&self, timebase: Timebase) -> u64 {
        match timebase {
            Timebase::Wall => wall_nanos(self.clock.wall_time()),
            Timebase::Boot => nanos(self.clock.boot_time()),
        }
    }

    /// Reads all clocks.
    pub(crate) fn times(&self) -> Times {
        let timebases = Timebase::ALL.map(|timebase| self.nanos_in(timebase));
        Times { now: self.now_nanos(), timebases }
    }

    /// Returns the nanoseconds since the start.
    pub(crate) fn now_nanos(&self) -> u64 {
        self.nanos_of(self.clock.now())
    }

    /// Like [`now_nanos`](Timeline::now_nanos), for instruments: cheaper, and up to a microsecond
    /// off.
    #[inline]
    pub(crate) fn turn_nanos(&self) -> u64 {
        match &self.turns {
            Some(turns) => turns.now(|| self.now_nanos()),
            None => self.now_nanos(),
        }
    }

    /// Returns the nanoseconds from the start to `instant`, or zero if it is earlier.
    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.start))
    }

    /// Returns the nanoseconds from the start to the end of `delay`, which begins now.
    pub(crate) fn nanos_after(&self, delay: Duration) -> u64 {
        self.now_nanos().saturating_add(nanos(delay))
    }

    /// Returns the instant `nanos` after the start, or `None` if an `Instant` cannot hold it.
    pub(crate) fn instant_of(&self, nanos: u64) -> Option<Instant> {
        self.start.checked_add(Duration::from_nanos(nanos))
    }
}

/// Returns a time of day in nanoseconds since 1970; zero for an earlier one, and [`NEVER`] for one
/// that is too late.
pub(crate) fn wall_nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, nanos)
}

/// Returns the time from `now` to `deadline`, or `None` for [`NEVER`].
pub(crate) fn time_left(now: u64, deadline: u64) -> Option<Duration> {
    (deadline != NEVER).then(|| Duration::from_nanos(deadline.saturating_sub(now)))
}

/// Returns `duration` in nanoseconds, or [`NEVER`] if it is too long.
pub(crate) fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().checked_mul(1_000_000_000);
    seconds.and_then(|nanos| nanos.checked_add(u64::from(duration.subsec_nanos()))).unwrap_or(NEVER)
}

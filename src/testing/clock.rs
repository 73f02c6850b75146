//! The simulated clock: it moves only when the loop would sleep.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Clock;

/// A simulated clock. When nothing is ready, it jumps to the next deadline instead of letting the
/// loop sleep.
///
/// Descriptors are real: the loop polls the selector before each jump. Without a deadline it sleeps
/// until a descriptor is ready. Clones share one time.
///
/// ```
/// use mainspring::{EventLoop, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build_with(0)?;
/// el.call_every(Duration::from_secs(60), |el, minutes| {
///     *minutes += 1;
///     if *minutes == 24 * 60 { el.stop() }
/// })?;
/// el.run_forever()?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(24 * 60 * 60));
/// # Ok::<(), mainspring::Error>(())
/// ```
///
/// A test that stops at certain times calls [`advance`](SimClock::advance) and then
/// [`run_until_stalled`](crate::EventLoop::run_until_stalled), which runs what is due and does not
/// sleep, so the clock does not jump.
///
/// ```
/// use mainspring::{EventLoop, testing::SimClock};
/// use std::time::Duration;
///
/// let clock = SimClock::new();
/// let mut el = EventLoop::builder().clock(clock.clone()).build_with("alive")?;
/// el.call_later(Duration::from_secs(30), |_el, session| *session = "expired");
///
/// clock.advance(Duration::from_secs(29));
/// el.run_until_stalled()?;
/// assert_eq!(*el.state(), "alive");
///
/// clock.advance(Duration::from_secs(1));
/// el.run_until_stalled()?;
/// assert_eq!(*el.state(), "expired");
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SimClock {
    start: Instant,
    elapsed: Rc<Cell<Duration>>,
    /// The time of day, and the elapsed time at which it was set.
    wall: Rc<Cell<(SystemTime, Duration)>>,
}

impl SimClock {
    /// Creates a clock that stands still at the current time.
    pub fn new() -> SimClock {
        let wall = Rc::new(Cell::new((SystemTime::now(), Duration::ZERO)));
        SimClock { start: Instant::now(), elapsed: Rc::default(), wall }
    }

    /// Returns the time by which the clock has moved since its creation.
    pub fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    /// Moves the clock forward, as if work took that time. Does nothing if an `Instant` cannot hold
    /// the new time.
    pub fn advance(&self, by: Duration) {
        let elapsed = self.elapsed.get().saturating_add(by);
        if self.start.checked_add(elapsed).is_some() {
            self.elapsed.set(elapsed);
        }
    }
}

impl SimClock {
    /// Sets the time of day, as an administrator or NTP does. [`now`](Clock::now) does not change,
    /// and the time of day then advances with it.
    ///
    /// ```
    /// use mainspring::{Clock, testing::SimClock};
    /// use std::time::{Duration, SystemTime};
    ///
    /// let clock = SimClock::new();
    /// clock.set_wall_time(SystemTime::UNIX_EPOCH);
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(clock.wall_time(), SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    /// ```
    pub fn set_wall_time(&self, time: SystemTime) {
        self.wall.set((time, self.elapsed.get()));
    }
}

impl Default for SimClock {
    fn default() -> SimClock {
        SimClock::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed.get()
    }

    fn wall_time(&self) -> SystemTime {
        let (time, at) = self.wall.get();
        time.checked_add(self.elapsed.get() - at).unwrap_or(time)
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        wanted.map(|_| Duration::ZERO)
    }

    fn on_timeout(&self, wanted: Option<Duration>) {
        if let Some(wanted) = wanted {
            self.advance(wanted);
        }
    }
}

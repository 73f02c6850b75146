//! The simulated clock: it moves only when the loop would sleep.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::{Clock, JumpDetection, JumpNotice};

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
/// [`run_until_stalled`](crate::EventLoop::run_until_stalled), which runs everything due without
/// sleeping, so the clock does not jump.
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
    shared: Rc<SimTimes>,
}

/// The times shared by all clones of a clock.
#[derive(Debug)]
struct SimTimes {
    elapsed: Cell<Duration>,
    /// Time spent in simulated suspends.
    suspended: Cell<Duration>,
    /// The time of day, and the elapsed time at which it was set.
    wall: Cell<(SystemTime, Duration)>,
    /// Addresses of the loops that have this clock.
    notices: RefCell<Vec<JumpNotice>>,
}

impl SimClock {
    /// Creates a clock that stands still at the current time.
    pub fn new() -> SimClock {
        let shared = SimTimes {
            elapsed: Cell::default(),
            suspended: Cell::default(),
            wall: Cell::new((SystemTime::now(), Duration::ZERO)),
            notices: RefCell::default(),
        };
        SimClock { start: Instant::now(), shared: Rc::new(shared) }
    }

    /// Returns the time by which the clock has moved since its creation, without suspends.
    pub fn elapsed(&self) -> Duration {
        self.shared.elapsed.get()
    }

    /// Moves the clock forward, as if work had taken that time. Does nothing if an `Instant` cannot
    /// hold the new time.
    pub fn advance(&self, by: Duration) {
        let elapsed = self.elapsed().saturating_add(by);
        if self.start.checked_add(elapsed).is_some() {
            self.shared.elapsed.set(elapsed);
        }
    }

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
        self.shared.wall.set((time, self.elapsed()));
        self.announce();
    }

    /// Simulates a suspend of the machine: the time of day and the boot time move forward, and
    /// [`now`](Clock::now) stands still, as on Linux.
    ///
    /// ```
    /// use mainspring::{EventLoop, testing::SimClock};
    /// use std::time::Duration;
    ///
    /// let clock = SimClock::new();
    /// let mut el = EventLoop::builder().clock(clock.clone()).build_with("valid")?;
    /// let hour = Duration::from_secs(3600);
    /// el.call_later_in_boot_time(hour, |_, lease| *lease = "expired")?;
    /// clock.suspend(2 * hour);
    /// el.run()?;
    /// assert_eq!((*el.state(), clock.elapsed()), ("expired", Duration::ZERO));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn suspend(&self, duration: Duration) {
        let SimTimes { suspended, wall, .. } = &*self.shared;
        suspended.set(suspended.get().saturating_add(duration));
        let (time, at) = wall.get();
        wall.set((time.checked_add(duration).unwrap_or(time), at));
        self.announce();
    }

    fn announce(&self) {
        self.shared.notices.borrow_mut().retain(JumpNotice::send);
    }
}

impl Default for SimClock {
    fn default() -> SimClock {
        SimClock::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    fn wall_time(&self) -> SystemTime {
        let (time, at) = self.shared.wall.get();
        time.checked_add(self.elapsed() - at).unwrap_or(time)
    }

    /// Returns the time since the creation of the clock, with suspends.
    fn boot_time(&self) -> Duration {
        self.elapsed().saturating_add(self.shared.suspended.get())
    }

    fn announce_jumps(&self, notice: JumpNotice) -> JumpDetection {
        let mut notices = self.shared.notices.borrow_mut();
        notices.retain(JumpNotice::is_valid);
        notices.push(notice);
        JumpDetection::Announced
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

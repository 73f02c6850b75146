//! Pinging the service manager's watchdog from a timer of the loop.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::handle::Service;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;
use crate::handle::TimerHandle;

/// Number of samples per limit.
const SAMPLES: u32 = 4;

/// Shortest time between two samples.
const SHORTEST: Duration = Duration::from_millis(1);

impl Service {
    /// Pings the manager's watchdog from a timer of the loop, at half the interval of
    /// `WatchdogSec=`, as long as no turn of the loop takes longer than that. Returns `None` if the
    /// manager expects no pings.
    ///
    /// Like [`keep_watchdog_within`](Service::keep_watchdog_within) with that limit.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    #[track_caller]
    pub fn keep_watchdog<S: 'static>(&self, el: &LoopHandle<S>) -> Result<Option<TimerHandle>> {
        let Some(time) = self.watchdog_time() else { return Ok(None) };
        self.keep_watchdog_within(el, time / 2)
    }

    /// Pings the manager's watchdog from a timer of the loop, as long as no turn of the loop takes
    /// longer than `limit`. Returns the timer, or `None` if the manager expects no pings.
    ///
    /// A turn here is the time in which the loop runs everything that is ready: one long callback,
    /// or many. It delays every other callback of the service. A ping from another thread, or from
    /// a timer without this check, would hide it.
    ///
    /// A timer samples the loop four times per `limit`; its lateness is the length of the turn that
    /// delayed it. So this costs callbacks nothing. A turn longer than 1.25 x `limit` is always
    /// found, and one shorter than `limit` is never taken for a hang. After a long turn, the next
    /// ping is sent after a sample that was on time. So a single long turn only delays the ping,
    /// and the service survives if that is still in time; consecutive long turns stop the pings.
    ///
    /// Not detected: tasks that wait for each other, and a callback that never gets its event. A
    /// process stopped by the system counts as being in a long turn.
    ///
    /// The timer is in the background, so it does not keep [`run`](crate::EventLoop::run) going. If
    /// the manager's queue is full, the ping is sent with the next sample.
    ///
    /// # Errors
    ///
    /// [`Error::ZeroInterval`] for a limit of zero; [`Error::Closed`].
    #[track_caller]
    pub fn keep_watchdog_within<S: 'static>(
        &self,
        el: &LoopHandle<S>,
        limit: Duration,
    ) -> Result<Option<TimerHandle>> {
        let Some(time) = self.watchdog_time() else { return Ok(None) };
        if limit.is_zero() {
            return Err(Error::ZeroInterval);
        }
        let period = (limit / SAMPLES).max(SHORTEST).min(time / 2);
        let timer = Rc::new(Cell::new(None));
        let mut health = Health::new(limit, period, time / 2, el.now());
        let (service, own) = (self.clone(), timer.clone());
        let handle = el.add_timer(move |el, _| {
            let now = el.now();
            if health.is_ping_due(now) && service.ping_watchdog().is_ok() {
                health.pinged(now);
            }
            if let Some(timer) = own.get() {
                // A sample that was late begins a whole period now.
                health.next = now + period;
                el.reset_at(timer, health.next);
            }
        })?;
        timer.set(Some(handle));
        el.set_background(handle);
        el.reset_at(handle, el.now()); // The first ping comes at once.
        Ok(Some(handle))
    }
}

/// The samples of the loop since the last ping.
struct Health {
    limit: Duration,
    period: Duration,
    /// Time between two pings.
    between: Duration,
    /// Time for which the next sample is set.
    next: Instant,
    last_ping: Option<Instant>,
}

impl Health {
    fn new(limit: Duration, period: Duration, between: Duration, now: Instant) -> Health {
        Health { limit, period, between, next: now, last_ping: None }
    }

    /// Returns true if the loop was not late for this sample, and the next one is too late for the
    /// ping.
    fn is_ping_due(&self, now: Instant) -> bool {
        let is_late = now.saturating_duration_since(self.next) > self.limit;
        let is_due = self.last_ping.is_none_or(|last| now + self.period > last + self.between);
        is_due && !is_late
    }

    fn pinged(&mut self, now: Instant) {
        self.last_ping = Some(now);
    }
}

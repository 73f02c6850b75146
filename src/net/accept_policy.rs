//! The accept policy: how many connections a ready listener accepts, and when it backs off.
//!
//! One policy serves the callbacks of servers and the listeners of tasks. It makes no system call
//! and reads no clock, so its tests need no descriptors.
//!
//! # Batches
//!
//! A run accepts one connection, or up to a batch if the tick before accepted one as well. So a
//! single connection costs a single accept(2), and a burst does not need a tick for each
//! connection.
//!
//! # Descriptor limit
//!
//! When descriptors run out, the listener backs off for [`BACKOFF`]. If it still cannot accept
//! after a backoff, a few clients are turned away with the reserve descriptor. They read end of
//! file instead of waiting, and the backlog advances.
//!
//! # Failures in a row
//!
//! accept(2) can fail every time and leave the connection in the backlog, so that the listener
//! stays ready: EPERM of a seccomp or BPF filter. Or no accepted connection can be registered:
//! select(2) beyond its highest descriptor, epoll at its limit of watches. After [`FAILURES`] in a
//! row the listener backs off as well, but turns no client away.
//!
//! # Incidents
//!
//! An incident is reported once. Under load, each client that leaves makes room for one that waits,
//! and the next one hits the limit again: that is the same incident. So an incident is over only
//! when the limit was not hit for [`INCIDENT_QUIET`].

use std::time::Duration;

/// Time for which a listener stops accepting.
const BACKOFF: Duration = Duration::from_millis(100);
/// Number of clients that are turned away after a backoff that did not help.
const TURNED_AWAY: usize = 8;
/// Time without another hit of the limit after which an incident is over.
const INCIDENT_QUIET: Duration = Duration::from_secs(1);
/// Number of failures in a row after which the listener backs off.
const FAILURES: u32 = 64;

/// The next step of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Accept up to this many connections, then wait for readiness. Zero: wait now.
    Accept(usize),
    /// Stop accepting for this long.
    BackOff(Duration),
}

/// A failure to take a connection from the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// accept(2) failed for this connection only.
    Connection,
    /// The connection was accepted, but the loop could not register it.
    Registration,
    /// The process or the system is out of descriptors or memory.
    Capacity,
}

/// The reaction to a [`Failure`]. The steps are taken in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reaction {
    /// Number of waiting clients to turn away.
    pub(super) turn_away: usize,
    /// True if the failure begins an incident and must be reported.
    pub(super) report: bool,
    pub(super) next: Next,
}

/// The state of the policy for one listener.
#[derive(Debug)]
pub(super) struct AcceptPolicy {
    /// Number of connections that this run may still accept.
    left: usize,
    /// Tick of the latest run.
    latest_tick: u64,
    /// Time of the loop's clock in nanoseconds when the limit was last hit; `None` if never.
    last_limit_hit: Option<u64>,
    /// True if no connection was accepted since the last backoff began.
    last_backoff_failed: bool,
    /// Number of failures in a row.
    failures: u32,
}

impl AcceptPolicy {
    /// Returns the policy of a listener that begins in `tick`.
    pub(super) fn new(tick: u64) -> AcceptPolicy {
        AcceptPolicy {
            left: 0,
            latest_tick: tick,
            last_limit_hit: None,
            last_backoff_failed: false,
            failures: 0,
        }
    }

    /// Begins a run of a ready listener in `tick`.
    pub(super) fn begin(&mut self, tick: u64, batch: usize) -> Next {
        // Zero if a second run follows in the same tick.
        let is_burst = tick.wrapping_sub(self.latest_tick) <= 1;
        self.latest_tick = tick;
        self.left = if is_burst { batch } else { 1 };
        Next::Accept(self.left)
    }

    /// Notes a connection that was accepted and needs nothing more.
    pub(super) fn accepted(&mut self) -> Next {
        self.last_backoff_failed = false;
        self.failures = 0;
        self.count_one()
    }

    /// Notes a failure at `now`, in nanoseconds of the loop's clock.
    pub(super) fn failed(&mut self, failure: Failure, now: u64) -> Reaction {
        if failure == Failure::Capacity {
            let turn_away = if self.last_backoff_failed { TURNED_AWAY } else { 0 };
            self.last_backoff_failed = true;
            return Reaction {
                turn_away,
                report: self.begins_incident(now),
                next: self.back_off(),
            };
        }
        if failure == Failure::Registration {
            self.last_backoff_failed = false; // accept(2) itself has succeeded.
        }
        self.failures += 1;
        let backs_off = self.failures >= FAILURES;
        // A single failed connection is an everyday event, a failed registration is not.
        let may_report = backs_off || failure == Failure::Registration;
        let report = may_report && self.begins_incident(now);
        let next = if backs_off { self.back_off() } else { self.count_one() };
        Reaction { turn_away: 0, report, next }
    }

    fn count_one(&mut self) -> Next {
        self.left = self.left.saturating_sub(1);
        Next::Accept(self.left)
    }

    fn back_off(&mut self) -> Next {
        self.left = 0;
        self.failures = 0;
        Next::BackOff(BACKOFF)
    }

    fn begins_incident(&mut self, now: u64) -> bool {
        let before = self.last_limit_hit.replace(now);
        before.is_none_or(|before| now.saturating_sub(before) >= INCIDENT_QUIET.as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_OFF: Next = Next::BackOff(BACKOFF);
    const MILLI: u64 = 1_000_000;

    #[test]
    fn a_single_connection_is_a_run_of_one() {
        let mut policy = AcceptPolicy::new(0);
        assert_eq!(policy.begin(7, 16), Next::Accept(1));
        assert_eq!(policy.accepted(), Next::Accept(0));
    }

    #[test]
    fn a_burst_is_a_run_of_a_batch() {
        let mut policy = AcceptPolicy::new(0);
        policy.begin(7, 16);
        assert_eq!(policy.begin(8, 3), Next::Accept(3));
        assert_eq!(policy.accepted(), Next::Accept(2));
        assert_eq!(policy.accepted(), Next::Accept(1));
        assert_eq!(policy.accepted(), Next::Accept(0));
        assert_eq!(policy.begin(10, 3), Next::Accept(1), "tick 9 was quiet");
    }

    #[test]
    fn ticks_may_wrap_around() {
        let mut policy = AcceptPolicy::new(u64::MAX);
        assert_eq!(policy.begin(0, 4), Next::Accept(4));
    }

    #[test]
    fn the_limit_of_descriptors_is_one_incident() {
        let mut policy = AcceptPolicy::new(0);
        policy.begin(1, 16);
        let first = policy.failed(Failure::Capacity, 0);
        assert_eq!(first, Reaction { turn_away: 0, report: true, next: BACK_OFF });
        let second = policy.failed(Failure::Capacity, 100 * MILLI);
        assert_eq!(second, Reaction { turn_away: TURNED_AWAY, report: false, next: BACK_OFF });
    }

    #[test]
    fn an_accepted_connection_ends_the_turning_away() {
        let mut policy = AcceptPolicy::new(0);
        policy.failed(Failure::Capacity, 0);
        policy.accepted();
        assert_eq!(policy.failed(Failure::Capacity, MILLI).turn_away, 0);
        assert_eq!(policy.failed(Failure::Capacity, MILLI).turn_away, TURNED_AWAY);
        policy.failed(Failure::Registration, MILLI);
        assert_eq!(policy.failed(Failure::Capacity, MILLI).turn_away, 0, "one was accepted");
    }

    /// Each hit prolongs the incident, so only a quiet second ends it.
    #[test]
    fn an_incident_ends_after_a_quiet_second() {
        let mut policy = AcceptPolicy::new(0);
        assert!(policy.failed(Failure::Capacity, 0).report);
        assert!(!policy.failed(Failure::Capacity, 999 * MILLI).report);
        assert!(!policy.failed(Failure::Capacity, 1_500 * MILLI).report);
        assert!(policy.failed(Failure::Capacity, 2_500 * MILLI).report);
    }

    #[test]
    fn failed_connections_in_a_row_back_off() {
        let mut policy = AcceptPolicy::new(0);
        policy.begin(1, 1_000);
        for left in (1_000 - u64::from(FAILURES) + 1..1_000).rev() {
            let reaction = policy.failed(Failure::Connection, 0);
            let next = Next::Accept(left as usize);
            assert_eq!(reaction, Reaction { turn_away: 0, report: false, next });
        }
        let last = policy.failed(Failure::Connection, 0);
        assert_eq!(last, Reaction { turn_away: 0, report: true, next: BACK_OFF });
        assert!(!policy.failed(Failure::Connection, 0).report, "the count begins again");
    }

    #[test]
    fn a_success_resets_the_count_of_failures() {
        let mut policy = AcceptPolicy::new(0);
        for _ in 0..FAILURES - 1 {
            policy.failed(Failure::Connection, 0);
        }
        policy.accepted();
        assert_ne!(policy.failed(Failure::Connection, 0).next, BACK_OFF);
    }

    #[test]
    fn a_failed_registration_is_reported_at_once() {
        let mut policy = AcceptPolicy::new(0);
        policy.begin(1, 16);
        let reaction = policy.failed(Failure::Registration, 0);
        assert_eq!(reaction, Reaction { turn_away: 0, report: true, next: Next::Accept(15) });
    }
}

//! Reports on standard error, for loops without an exception handler.
//!
//! Peers must not choose the rate of the log. For each place of registration, [`BURST`] reports in
//! [`PERIOD`] are written. The others are counted, and a line with their number follows at most
//! [`PERIOD`] later. A report that standard error does not accept is counted as well, so nothing
//! here fails or waits.
//!
//! # Invariants
//!
//! * A timer is set while a count has not been written, except after a failed attempt: then the
//!   next report of the place carries the count.
//! * There are at most as many entries as places in the program.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

use super::report::{Report, ReportKind};
use crate::clock::{MonotonicClock, Timeline, nanos};
use crate::log_text::{grouped, write_line};
use crate::timers::TimerSlot;

/// Number of reports of one place that are written in a period.
const BURST: u32 = 10;
/// Time from the first report of a burst to the next burst.
const PERIOD: Duration = Duration::from_secs(10);

/// Reports of one place.
struct Place {
    kind: ReportKind,
    /// End of the period, in nanoseconds of the loop's time.
    end: u64,
    /// Number of reports that were written in the period.
    written: u32,
    /// Number of reports that no line has contained or counted yet.
    more: u64,
}

/// Counts of reports by place.
#[derive(Default)]
pub(crate) struct ReportLog {
    places: HashMap<Location<'static>, Place>,
    /// Timer of the next line with counts. `None` while no count waits.
    pub(super) timer: Option<TimerSlot>,
}

impl ReportLog {
    /// Returns true if the report may be written, and a count that must be written before it.
    fn admit(&mut self, report: &Report, now: u64) -> (bool, Option<Line>) {
        let place = self.places.entry(*report.location).or_insert_with(|| Place {
            kind: report.kind,
            end: 0,
            written: 0,
            more: 0,
        });
        let is_timed = self.timer.is_some();
        let mut summary = None;
        if now >= place.end {
            place.end = now.saturating_add(nanos(PERIOD));
            place.written = 0;
            if place.more > 0 && !is_timed {
                summary = Some(Line::take(report.location, place));
            }
        }
        let is_admitted = place.written < BURST;
        place.written += u32::from(is_admitted);
        (is_admitted, summary)
    }

    fn count(&mut self, location: &Location<'static>, more: u64) {
        if let Some(place) = self.places.get_mut(location) {
            place.more = place.more.saturating_add(more);
        }
    }

    /// Writes all counts. Those that standard error does not accept stay.
    pub(super) fn flush(&mut self) {
        for (location, place) in self.places.iter_mut().filter(|(_, place)| place.more > 0) {
            let line = Line::take(location, place);
            if line.write().is_err() {
                place.more = line.more;
            }
        }
    }
}

/// A line with the number of reports of a place that were not written.
struct Line {
    kind: ReportKind,
    location: Location<'static>,
    more: u64,
}

impl Line {
    fn take(location: &Location<'static>, place: &mut Place) -> Line {
        Line { kind: place.kind, location: *location, more: std::mem::take(&mut place.more) }
    }

    fn write(&self) -> io::Result<()> {
        let Line { kind, location, more } = self;
        write_line(&format_args!(
            "{kind} {} at {location}: and {} more",
            kind.verb(),
            grouped(*more)
        ))
    }
}

/// Writes a report in one call. The `Display` of a user-defined error may panic.
fn write_report(report: &Report) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(|| write_line(report))).unwrap_or_else(|_| {
        let Report { kind, location, .. } = report;
        write_line(&format_args!("{kind} {} at {location}: its error cannot be shown", kind.verb()))
    })
}

/// Writes a report for which there is no loop.
#[cold]
pub(crate) fn print_outside(report: &Report) {
    thread_local! {
        static LOG: (Timeline, RefCell<ReportLog>) =
            (Timeline::new(Box::new(MonotonicClock)), RefCell::default());
    }
    let print = |(timeline, log): &(Timeline, RefCell<ReportLog>)| {
        print(log, report, timeline.now_nanos());
    };
    if LOG.try_with(print).is_err() {
        let _ = write_report(report); // The thread ends, and has dropped its log.
    }
}

/// Returns false if the report, or a count that came before it, was not written.
pub(super) fn print(log: &RefCell<ReportLog>, report: &Report, now: u64) -> bool {
    let (is_admitted, summary) = log.borrow_mut().admit(report, now);
    let mut is_written = true;
    if let Some(line) = summary
        && line.write().is_err()
    {
        log.borrow_mut().count(&line.location, line.more);
        is_written = false;
    }
    if !is_admitted || write_report(report).is_err() {
        log.borrow_mut().count(report.location, 1);
        is_written = false;
    }
    is_written
}

/// Returns the time of the next line with counts, in nanoseconds of the loop's time.
pub(super) fn next_flush(timeline: &Timeline) -> u64 {
    timeline.nanos_after(PERIOD)
}

//! Reports on standard error, for loops without an exception handler.
//!
//! The rate of the log must not be a peer's choice: of each place of registration, [`BURST`] reports
//! in [`PERIOD`] are written. The others are counted, and a line with their number follows at most
//! [`PERIOD`] later. A report that standard error does not take is counted as well, so nothing here
//! fails or waits.
//!
//! # Invariants
//!
//! * A timer is set while a count has not been written, except after an attempt that failed: then the
//!   next report of the place carries it.
//! * There are as many entries as places in the program, at most.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

use mainspring_sys::stderr;

use super::loop_core::LoopCore;
use super::report::{Report, ReportKind};
use crate::clock::{MonotonicClock, Timeline, nanos};
use crate::handle::Key;
use crate::log_text::{Limited, grouped};
use crate::timers::TimerSlot;

/// Reports of one place that are written in a period.
const BURST: u32 = 10;
/// From the first report of a burst to the next burst.
const PERIOD: Duration = Duration::from_secs(10);

/// Reports of one place.
struct Place {
    kind: ReportKind,
    /// End of the period, in nanoseconds of the loop's time.
    end: u64,
    /// Reports that were written in the period.
    written: u32,
    /// Reports that were not written and not yet mentioned.
    more: u64,
}

/// Counts of reports by place.
#[derive(Default)]
pub(crate) struct ReportLog {
    places: HashMap<Location<'static>, Place>,
    /// Timer of the next line with counts.
    timer: Option<TimerSlot>,
}

impl ReportLog {
    /// Returns true if the report may be written, and a count that has to be written before it.
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

    /// Writes all counts. Those that standard error does not take stay.
    fn flush(&mut self) {
        for (location, place) in self.places.iter_mut().filter(|(_, place)| place.more > 0) {
            let line = Line::take(location, place);
            if line.write().is_err() {
                place.more = line.more;
            }
        }
    }
}

/// Line that says how many reports of a place were not written.
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

/// Writes a report in one call. The text of a user's error comes from the user's code, which may
/// panic.
fn write_report(report: &Report) -> io::Result<()> {
    catch_unwind(AssertUnwindSafe(|| write_line(report))).unwrap_or_else(|_| {
        let Report { kind, location, .. } = report;
        write_line(&format_args!("{kind} {} at {location}: its error cannot be shown", kind.verb()))
    })
}

fn write_line(text: &dyn Display) -> io::Result<()> {
    let mut line = Limited::new(stderr::LINE - 1);
    // An error means that the line is full, or that a `Display` has failed: the rest is shown.
    let _ = write!(line, "mainspring: {text}");
    let mut line = line.take();
    line.push('\n');
    stderr::write(line.as_bytes())
}

/// Writes a report that no loop is there for.
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
        let _ = write_report(report); // The thread ends.
    }
}

/// Returns false if the report, or what came before it, was not written.
fn print(log: &RefCell<ReportLog>, report: &Report, now: u64) -> bool {
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

impl LoopCore {
    /// Writes a report to standard error, unless its place has reported too often.
    #[cold]
    pub(crate) fn print(&self, report: &Report) {
        if print(&self.log, report, self.timeline.now_nanos()) || self.closed.get() {
            return;
        }
        let deadline = self.timeline.nanos_after(PERIOD);
        let timer = &mut self.log.borrow_mut().timer;
        timer.get_or_insert_with(|| self.timers.borrow_mut().insert(deadline, Key::REPORTS));
    }

    /// Writes the counts of reports that were left out.
    #[cold]
    pub(crate) fn flush_reports(&self) {
        let mut log = self.log.borrow_mut();
        if let Some(timer) = log.timer.take() {
            self.timers.borrow_mut().remove(timer);
        }
        log.flush();
    }
}

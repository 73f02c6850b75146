//! Merging the events of an fd into one report.

use std::io;
use std::os::fd::RawFd;

use super::Kqueue;
use super::kernel::Kernel;
use super::kevent::{self, EV_ONESHOT, Filter, Kevent};
use super::report::{Report, translate};
use super::table::Registration;
use crate::event::{Interest, Readiness, TriggerMode};

impl<K: Kernel> Kqueue<K> {
    /// Merges the kernel's events into one report per registration.
    pub(super) fn merge(&mut self) {
        self.reports.clear();
        for at in 0..self.buffer.len() {
            let event = self.buffer[at];
            match Filter::in_event(&event) {
                None => {}
                Some(Filter::User) => self.merge_user(event.ident),
                Some(filter) => self.merge_fd(filter, &event),
            }
        }
    }

    fn merge_user(&mut self, ident: usize) {
        if let Some(&token) = self.user_events.get(&ident) {
            let (readiness, from) = (Readiness::READABLE, Interest::empty());
            self.reports.push(Report { fd: None, token, readiness, from });
        }
    }

    /// Adds an event to the report of its fd.
    ///
    /// An event that belongs to no registration is not reported. Its filter is deleted, or disabled
    /// if its registration is asleep, because it would end every later wait.
    ///
    /// `EV_ONESHOT` is never requested: it means that the kernel has dropped the filter, because
    /// the file has lost its other end.
    fn merge_fd(&mut self, filter: Filter, event: &Kevent) {
        let (fd, from) = (event.ident as RawFd, filter.interest());
        let registration = self.table.get_mut(fd).filter(|one| is_wanted(one, event, from));
        let Some(registration) = registration else { return self.changes.delete(fd, from) };
        let is_dropped = event.flags & EV_ONESHOT != 0;
        if is_dropped {
            registration.held -= from;
            self.dropped.push(fd);
        }
        let readiness = translate(filter, event);
        if readiness.is_empty() {
            return self.changes.touch(fd, registration); // EV_DISPATCH may have disabled it.
        }
        match self.reports.get_mut(registration.mark).filter(|report| report.fd == Some(fd)) {
            Some(report) => {
                report.readiness |= readiness;
                report.from |= from;
            }
            None if registration.asleep && is_dropped => {}
            None if registration.asleep => self.changes.disable(fd, from, registration.token),
            None => {
                registration.mark = self.reports.len();
                registration.asleep = registration.mode == TriggerMode::Oneshot;
                let token = registration.token;
                self.reports.push(Report { fd: Some(fd), token, readiness, from });
            }
        }
    }

    /// Puts registrations that were reported in [`TriggerMode::Oneshot`] to sleep. The kernel has
    /// disabled the filters that reported; the others are deleted. The disabled filters stay, to
    /// prove later that the fd was not closed.
    pub(super) fn disarm(&mut self) -> io::Result<()> {
        for report in &self.reports {
            let Some(fd) = report.fd else { continue };
            if let Some(one) = self.table.get_mut(fd).filter(|one| one.asleep) {
                self.changes.delete(fd, one.held - report.from);
                one.held &= report.from;
            }
        }
        if self.changes.is_empty() {
            return Ok(());
        }
        self.changes.apply(&mut self.kernel).map(drop)
    }
}

/// Returns true if the event belongs to the present registration of the number, and not to an
/// earlier one.
fn is_wanted(registration: &Registration, event: &Kevent, from: Interest) -> bool {
    let udata = event.udata;
    registration.held.contains(from) && udata.addr() == kevent::udata(registration.token)
}

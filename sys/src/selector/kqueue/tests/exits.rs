//! Filters for the end of processes, over a kernel that follows a script.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Interest, Token};
use crate::selector::contract::UserEvent;
use crate::selector::kqueue::exits::ExitFilters;
use crate::selector::kqueue::kernel::{FileKind, Kernel};
use crate::selector::kqueue::kevent::{
    EV_ADD, EV_DELETE, EV_ERROR, EV_ONESHOT, EVFILT_PROC, EVFILT_READ, Kevent, NOTE_EXIT,
    exit_change,
};

/// A kernel with processes. Like FreeBSD's, it reports a zombie at once.
#[derive(Debug, Default, Clone)]
struct Processes(Rc<RefCell<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// Processes, and the status of those that have ended.
    processes: BTreeMap<usize, Option<isize>>,
    watched: Vec<usize>,
    /// Events that are no ends of processes.
    others: Vec<Kevent>,
    renewed: usize,
}

impl Kernel for Processes {
    fn fd(&self) -> &Arc<OwnedFd> {
        unreachable!("the filters are not watched")
    }

    fn kevent(
        &mut self,
        changes: &[Kevent],
        events: &mut Vec<Kevent>,
        room: usize,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        assert_eq!(timeout, Some(Duration::ZERO), "no call waits");
        let table = &mut *self.0.borrow_mut();
        for change in changes {
            let (pid, filter, fflags) = (change.ident, change.filter, change.fflags);
            assert_eq!((filter, fflags), (EVFILT_PROC, NOTE_EXIT));
            let is_watched = table.watched.contains(&pid);
            match change.flags {
                flags if flags == EV_ADD | EV_ONESHOT && table.processes.contains_key(&pid) => {
                    table.watched.push(pid);
                }
                flags if flags == EV_DELETE && is_watched => {
                    table.watched.retain(|watched| *watched != pid);
                }
                _ => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
            }
        }
        events.clear();
        let (processes, watched) = (&table.processes, &mut table.watched);
        watched.retain(|pid| {
            let status = processes[pid].filter(|_| events.len() < room);
            status.is_none_or(|status| {
                let mut event = exit_change(*pid, EV_ONESHOT);
                event.data = status as _;
                events.push(event);
                false // oneshot
            })
        });
        events.append(&mut table.others);
        Ok(())
    }

    fn kind(&self, _: RawFd) -> io::Result<FileKind> {
        unreachable!()
    }

    fn polled(&self, _: RawFd, _: Interest) -> Interest {
        unreachable!()
    }

    fn probed(&self, _: RawFd, _: Interest) -> io::Result<Interest> {
        unreachable!()
    }

    fn has_except(&self) -> bool {
        unreachable!()
    }

    fn forgets_closed(&self) -> bool {
        unreachable!()
    }

    fn renew(&mut self) -> io::Result<()> {
        let table = &mut *self.0.borrow_mut();
        table.watched.clear();
        table.renewed += 1;
        Ok(())
    }

    fn user_event(&self, _: usize, _: Token) -> Box<dyn UserEvent> {
        unreachable!()
    }
}

impl Processes {
    fn with(pids: impl IntoIterator<Item = u32>) -> (Processes, ExitFilters<Processes>) {
        let kernel = Processes::default();
        let mut filters = ExitFilters::over(kernel.clone());
        for pid in pids {
            kernel.0.borrow_mut().processes.insert(pid as usize, None);
            filters.add(pid).unwrap();
        }
        (kernel, filters)
    }

    fn end(&self, pid: u32, status: isize) {
        self.0.borrow_mut().processes.insert(pid as usize, Some(status));
    }
}

fn ends(filters: &mut ExitFilters<Processes>) -> Vec<u32> {
    let mut pids = Vec::new();
    filters.drain(|pid, _| pids.push(pid)).unwrap();
    pids
}

#[test]
fn each_end_is_reported_once() {
    let (kernel, mut filters) = Processes::with([7, 8]);
    assert_eq!(ends(&mut filters), [0; 0]);
    kernel.end(8, 0x300);
    assert_eq!(ends(&mut filters), [8]);
    assert_eq!(ends(&mut filters), [0; 0]);
    filters.remove(8); // The kernel has removed it, which is no error.
}

#[test]
fn a_removed_process_is_not_reported() {
    let (kernel, mut filters) = Processes::with([7]);
    filters.remove(7);
    kernel.end(7, 0);
    assert_eq!(ends(&mut filters), [0; 0]);
}

#[test]
fn a_process_that_does_not_exist_is_an_error() {
    let (_kernel, mut filters) = Processes::with([]);
    assert_eq!(filters.add(9).unwrap_err().raw_os_error(), Some(libc::ESRCH));
}

#[test]
fn many_ends_come_in_several_calls() {
    let (kernel, mut filters) = Processes::with(1..=100);
    (1..=100).for_each(|pid| kernel.end(pid, 0));
    let first = ends(&mut filters).len();
    assert!(first < 100, "a bounded number");
    assert_eq!(first + ends(&mut filters).len(), 100);
}

#[test]
fn events_of_others_and_errors_are_ignored() {
    let (kernel, mut filters) = Processes::with([7]);
    let mut foreign = exit_change(7, 0);
    foreign.filter = EVFILT_READ;
    kernel.0.borrow_mut().others = vec![foreign, exit_change(7, EV_ERROR)];
    assert_eq!(ends(&mut filters), [0; 0]);
}

#[test]
fn a_forked_child_begins_without_filters() {
    let (kernel, mut filters) = Processes::with([7]);
    filters.after_fork().unwrap();
    kernel.end(7, 0);
    assert_eq!(ends(&mut filters), [0; 0]);
    assert_eq!(kernel.0.borrow().renewed, 1);
}

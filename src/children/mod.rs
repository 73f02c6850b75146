//! The processes that a loop watches, and the callbacks and tasks that wait for their exit.
//!
//! # Invariants
//!
//! * An entry is in `entries` until its process has ended, and has an end from then on.
//! * A process is in `polled` if the kernel does not report its end.
//! * Waiters are taken out of an entry before they run. Nothing is borrowed while they do.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use mainspring_sys::child::{self, ExitNotice, ExitWatch, ExitWatchKind, WatchedProcess};
use mainspring_sys::{Selector, Signal, Token, TriggerMode};

use crate::error::{Error, Result};
use crate::handle::Key;

mod entry;

pub(crate) use self::entry::{ProcessEnd, ProcessEntry};

/// Time between two checks of the processes in `polled`, in nanoseconds.
const POLL_INTERVAL: u64 = 20_000_000;

/// The target of a signal at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillTarget {
    Process,
    Group,
}

/// The processes that a loop watches. Before the first one, no system resource is used.
#[derive(Debug, Default)]
pub(crate) struct Children {
    watch: Option<ExitWatch>,
    entries: BTreeMap<u32, Rc<ProcessEntry>>,
    /// Processes that are checked by a timer.
    polled: BTreeSet<u32>,
    /// Time of the next check of those.
    poll_at: u64,
    /// Processes to kill, by deadline and the number of the call.
    kills: BTreeMap<(u64, u64), (Rc<ProcessEntry>, KillTarget)>,
    /// Number of the next call.
    next_kill: u64,
    notices: Vec<ExitNotice>,
}

impl Children {
    /// Opens the watch, and returns its fd and trigger mode. Returns `None` if it is open already.
    pub(crate) fn open(
        &mut self,
        kind: ExitWatchKind,
        selector: &mut dyn Selector,
        token: Token,
    ) -> Result<Option<(RawFd, TriggerMode)>> {
        if self.watch.is_some() {
            return Ok(None);
        }
        let watch = ExitWatch::open(kind, selector, token)
            .map_err(|source| Error::Create { part: "watch of child processes", source })?;
        self.watch = Some(watch);
        Ok(self.watched())
    }

    /// Returns the fd that becomes readable when a process exits, and its trigger mode. Returns
    /// `None` before the first process.
    pub(crate) fn watched(&self) -> Option<(RawFd, TriggerMode)> {
        let watch = self.watch.as_ref()?;
        Some((watch.watched_fd().as_raw_fd(), watch.mode()))
    }

    /// Watches a process, after [`open`](Children::open), and returns its entry. If the loop
    /// already watches the process, this is the existing entry.
    ///
    /// The end of an earlier process with this pid, which other code has reaped, goes to `ended`.
    pub(crate) fn add(
        &mut self,
        process: Arc<WatchedProcess>,
        is_spawned: bool,
        ended: &mut Vec<Rc<ProcessEntry>>,
    ) -> Rc<ProcessEntry> {
        let pid = process.id();
        if let Some(entry) = self.entries.get(&pid) {
            if entry.watches(&process) {
                let entry = entry.clone();
                if process.end().is_some() {
                    // The search for it has reaped it, and its report may have come before.
                    self.polled.insert(pid);
                    self.poll_at = 0;
                }
                return entry;
            }
            entry.lose();
            ended.extend(self.take_ended(pid));
        }
        let entry = Rc::new(ProcessEntry::new(process, is_spawned));
        self.entries.insert(pid, entry.clone());
        self.watch_entry(&entry);
        entry
    }

    fn watch_entry(&mut self, entry: &ProcessEntry) {
        let (Some(watch), Some(process)) = (&mut self.watch, entry.process()) else { return };
        // An error is that of a process that has ended, or the kernel's lack of memory.
        let kernel_reports = process.end().is_none() && watch.add(&process).unwrap_or(false);
        if !kernel_reports || watch.misses_earlier_ends() && !entry.is_spawned() {
            self.polled.insert(entry.pid());
            self.poll_at = 0;
        }
    }

    /// Returns true if no process is watched, and none will be killed.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.kills.is_empty()
    }

    /// Stops watching a process that was not spawned here, if nothing waits for it any longer.
    pub(crate) fn release(&mut self, pid: u32) {
        let Some(entry) = self.entries.get(&pid).filter(|entry| entry.is_unused()).cloned() else {
            return;
        };
        self.unwatch(&entry);
        self.entries.remove(&pid);
        entry.forget();
    }

    fn unwatch(&mut self, entry: &ProcessEntry) {
        self.polled.remove(&entry.pid());
        if let (Some(watch), Some(process)) = (&mut self.watch, entry.process()) {
            watch.remove(&process);
        }
    }

    /// Removes the waiter `key` of a process.
    pub(crate) fn remove_key(&mut self, pid: u32, key: Key) {
        if let Some(entry) = self.entries.get(&pid) {
            entry.remove_key(key);
        }
        self.release(pid);
    }

    /// Takes the processes that have ended according to the kernel, a bounded number.
    pub(crate) fn drain(&mut self, ended: &mut Vec<Rc<ProcessEntry>>) -> io::Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        child::reap_abandoned();
        let mut notices = mem::take(&mut self.notices);
        let any = watch.drain(&mut notices)?;
        for notice in notices.drain(..) {
            ended.extend(self.entry_if_ended(notice));
        }
        self.notices = notices;
        if any {
            let pids: Vec<u32> = self.entries.keys().copied().collect();
            ended.extend(pids.into_iter().filter_map(|pid| self.check(pid)));
        }
        Ok(())
    }

    fn check(&mut self, pid: u32) -> Option<Rc<ProcessEntry>> {
        self.entry_if_ended(ExitNotice { pid, status: None })
    }

    /// Returns the entry of a process that has ended.
    fn entry_if_ended(&mut self, notice: ExitNotice) -> Option<Rc<ProcessEntry>> {
        let process = self.entries.get(&notice.pid)?.process()?;
        if notice.settle(&process) {
            return self.take_ended(notice.pid);
        }
        // A kernel may report the end before a wait returns the status (kqueue(2) of macOS), and
        // reports it once.
        if self.watch.as_ref().is_some_and(ExitWatch::reports_once) {
            self.polled.insert(notice.pid);
        }
        None
    }

    fn take_ended(&mut self, pid: u32) -> Option<Rc<ProcessEntry>> {
        let entry = self.entries.remove(&pid)?;
        self.unwatch(&entry);
        entry.end_by_process();
        self.kills.retain(|_, (other, target)| {
            !Rc::ptr_eq(other, &entry) || *target == KillTarget::Group
        });
        Some(entry)
    }

    /// Adds a deadline at which the process or its group is killed, instead of an earlier one.
    pub(crate) fn kill_at(&mut self, entry: &Rc<ProcessEntry>, deadline: u64, target: KillTarget) {
        self.kills.retain(|_, (other, kind)| !(Rc::ptr_eq(other, entry) && *kind == target));
        self.kills.insert((deadline, self.next_kill), (entry.clone(), target));
        self.next_kill += 1;
    }

    /// Returns the time at which [`on_deadline`](Children::on_deadline) has something to do.
    pub(crate) fn next_deadline(&mut self, now: u64) -> Option<u64> {
        let kill = self.kills.first_key_value().map(|((deadline, _), _)| *deadline);
        if self.polled.is_empty() {
            return kill;
        }
        self.poll_at = self.poll_at.min(now + POLL_INTERVAL);
        Some(kill.map_or(self.poll_at, |kill| kill.min(self.poll_at)))
    }

    /// Kills what is due, and checks the processes that the kernel does not report.
    pub(crate) fn on_deadline(&mut self, now: u64, ended: &mut Vec<Rc<ProcessEntry>>) {
        while let Some(entry) = self.kills.first_entry().filter(|entry| entry.key().0 <= now) {
            let (process, target) = entry.remove();
            process.kill(target);
        }
        if now >= self.poll_at {
            self.poll_at = now + POLL_INTERVAL;
            let pids: Vec<u32> = self.polled.iter().copied().collect();
            ended.extend(pids.into_iter().filter_map(|pid| self.poll(pid)));
        }
    }

    /// Checks a process, and tries again to have its end reported.
    fn poll(&mut self, pid: u32) -> Option<Rc<ProcessEntry>> {
        if let Some(entry) = self.check(pid) {
            return Some(entry);
        }
        let process = self.entries.get(&pid).and_then(|entry| entry.process());
        let watch = self.watch.as_mut();
        let kernel_reports =
            process.zip(watch).is_none_or(|(process, watch)| watch.add(&process).unwrap_or(false));
        if kernel_reports {
            self.polled.remove(&pid);
        }
        None
    }

    /// Watches everything again in a forked child. The processes are not its children.
    pub(crate) fn after_fork(&mut self) -> io::Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        watch.after_fork()?;
        self.kills.clear();
        self.polled.clear();
        let entries: Vec<_> = self.entries.values().cloned().collect();
        entries.iter().for_each(|entry| self.watch_entry(entry));
        Ok(())
    }

    /// Ends the watch of a loop that is being closed, and returns the entries. What would have been
    /// killed later is killed now.
    pub(crate) fn close(&mut self) -> Vec<Rc<ProcessEntry>> {
        for (entry, target) in mem::take(&mut self.kills).into_values() {
            entry.kill(target);
        }
        let entries = mem::take(&mut self.entries).into_values().collect();
        self.polled.clear();
        self.watch = None;
        entries
    }
}

impl ProcessEntry {
    /// Kills the process, or its group, if that is still possible.
    fn kill(&self, target: KillTarget) {
        let Some(process) = self.held_process() else { return };
        match target {
            KillTarget::Group => process.kill_and_release_group(),
            // The only error is that it has ended.
            KillTarget::Process => _ = process.signal(Signal::KILL),
        }
    }
}

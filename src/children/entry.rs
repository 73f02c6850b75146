//! One process of a loop: its exit, and the callbacks and futures that wait for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::Waker;

use mainspring_sys::child::{WatchedProcess, abandon};

use crate::error::{Error, Result};
use crate::handle::Key;

/// The end of a process, from the view of a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    /// This process has reaped it.
    Status(ExitStatus),
    /// It is gone without a status: other code has reaped it, or it was not a child.
    Gone,
    /// The loop was closed before.
    LoopClosed,
}

/// A process that a loop watches.
#[derive(Debug)]
pub(crate) struct ProcessEntry {
    pid: u32,
    /// True if a loop of this process has spawned it, and so must reap it.
    is_spawned: bool,
    /// The process; `None` after its end, so that its descriptor is closed.
    process: RefCell<Option<Arc<WatchedProcess>>>,
    /// The process after its end, while its group is held.
    held: RefCell<Option<Arc<WatchedProcess>>>,
    end: Cell<Option<ProcessEnd>>,
    /// Callbacks that wait for the end.
    keys: RefCell<Vec<Key>>,
    /// Futures that wait for the end, by number.
    wakers: RefCell<BTreeMap<u64, Waker>>,
    /// Number of futures that exist.
    futures: Cell<usize>,
    next_future: Cell<u64>,
}

impl ProcessEntry {
    pub(super) fn new(process: Arc<WatchedProcess>, is_spawned: bool) -> ProcessEntry {
        ProcessEntry {
            pid: process.id(),
            is_spawned,
            process: RefCell::new(Some(process)),
            held: RefCell::default(),
            end: Cell::new(None),
            keys: RefCell::default(),
            wakers: RefCell::default(),
            futures: Cell::new(0),
            next_future: Cell::new(0),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_spawned(&self) -> bool {
        self.is_spawned
    }

    pub(crate) fn end(&self) -> Option<ProcessEnd> {
        self.end.get()
    }

    /// Returns the process, or `None` after its end.
    pub(crate) fn process(&self) -> Option<Arc<WatchedProcess>> {
        self.process.borrow().clone()
    }

    /// Like [`process`](ProcessEntry::process), but also returns a process that has ended and
    /// leads a group that is held.
    pub(crate) fn held_process(&self) -> Option<Arc<WatchedProcess>> {
        self.process().or_else(|| self.held.borrow().clone())
    }

    pub(super) fn watches(&self, process: &Arc<WatchedProcess>) -> bool {
        self.process.borrow().as_ref().is_some_and(|own| Arc::ptr_eq(own, process))
    }

    /// Returns true if the entry has no purpose: nothing waits, and nothing must be reaped.
    pub(super) fn is_unused(&self) -> bool {
        !self.is_spawned && self.keys.borrow().is_empty() && self.futures.get() == 0
    }

    /// Takes over the end of the process.
    pub(super) fn end_by_process(&self) {
        let process = self.process.take();
        let end = process.as_ref().and_then(|process| process.end()).flatten();
        self.end.set(Some(end.map_or(ProcessEnd::Gone, ProcessEnd::Status)));
        // Dropped when the group is released, or here.
        *self.held.borrow_mut() = process.filter(|process| process.is_held());
    }

    /// Marks the process as reaped by other code.
    pub(super) fn lose(&self) {
        if let Some(process) = self.process() {
            process.lose();
        }
    }

    /// Drops the process without an end.
    pub(super) fn forget(&self) {
        drop(self.process.take());
    }

    /// Ends the entry of a closed loop. A child that is still running is reaped by a later loop.
    pub(crate) fn close(&self) {
        let process = self.process.take();
        self.end.set(Some(ProcessEnd::LoopClosed));
        if let Some(process) = process.filter(|process| self.is_spawned && process.is_child()) {
            abandon(process);
        }
    }

    pub(crate) fn add_key(&self, key: Key) {
        self.keys.borrow_mut().push(key);
    }

    pub(super) fn remove_key(&self, key: Key) {
        self.keys.borrow_mut().retain(|other| *other != key);
    }

    pub(crate) fn take_keys(&self) -> Vec<Key> {
        self.keys.take()
    }

    pub(crate) fn take_wakers(&self) -> BTreeMap<u64, Waker> {
        self.wakers.take()
    }

    /// Counts a future that may wait, and returns its number.
    pub(crate) fn add_future(&self) -> u64 {
        self.futures.set(self.futures.get() + 1);
        self.next_future.replace(self.next_future.get() + 1)
    }

    /// Stores the waker of a future. Returns the former one, which must be dropped with nothing
    /// borrowed.
    pub(crate) fn set_waker(&self, future: u64, waker: &Waker) -> Option<Waker> {
        let waker = waker.clone();
        self.wakers.borrow_mut().insert(future, waker)
    }

    /// Removes a future. Returns its waker, which must be dropped with nothing borrowed.
    pub(crate) fn remove_future(&self, future: u64) -> Option<Waker> {
        self.futures.set(self.futures.get() - 1);
        self.wakers.borrow_mut().remove(&future)
    }

    /// Returns the status of a process that has ended.
    ///
    /// # Errors
    ///
    /// [`Error::StatusUnavailable`], [`Error::Closed`].
    pub(crate) fn status(&self) -> Option<Result<ExitStatus>> {
        Some(match self.end.get()? {
            ProcessEnd::Status(status) => Ok(status),
            ProcessEnd::Gone => Err(Error::StatusUnavailable { pid: self.pid }),
            ProcessEnd::LoopClosed => Err(Error::Closed),
        })
    }
}

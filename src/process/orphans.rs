//! Orphans: children that this process has not started but must reap.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::child::{ended_child, ended_children, is_watched, reap};
use mainspring_sys::{Readiness, Signal};

use crate::clock::nanos;
use crate::error::{Error, Result};
use crate::event_loop::callback::{Callback, Flow, KEEP, Repeat, failed};
use crate::event_loop::loop_core::LoopCore;
use crate::event_loop::source::Source;
use crate::event_loop::{CallbackResult, LoopHandle};
use crate::handle::{Handle, Key};
use crate::timers::TimerSlot;

/// Shortest time between two searches, in nanoseconds.
const MIN_PAUSE: u64 = 10_000_000;

/// The callback of `reap_orphans`. Its drop removes the timer.
struct OrphanReaper<F> {
    core: Rc<LoopCore>,
    key: Key,
    timer: TimerSlot,
    seen: SeenZombies,
    /// Time of the next search; earlier calls do nothing.
    search_at: u64,
    callback: F,
}

/// Zombies that nothing watches.
struct SeenZombies {
    /// Time that other code gets to reap its own children, in nanoseconds.
    patience: u64,
    /// Time at which each was first seen.
    since: BTreeMap<u32, u64>,
}

impl SeenZombies {
    /// Returns true if other code had time to reap a zombie.
    fn is_due(&mut self, pid: u32, now: u64) -> bool {
        if is_watched(pid) {
            return false;
        }
        let since = *self.since.entry(pid).or_insert(now);
        now.saturating_sub(since) >= self.patience // A custom clock may go back.
    }

    /// Returns the time of the search after one at `now`.
    fn next_search(&self, now: u64) -> u64 {
        now.saturating_add(self.patience.max(MIN_PAUSE))
    }

    /// Removes all but these zombies. Those that were reaped leave their numbers to others.
    fn keep(&mut self, zombies: &BTreeSet<u32>) {
        self.since.retain(|pid, _| zombies.contains(pid));
    }
}

impl<F> OrphanReaper<F> {
    /// Returns a zombie that other code had time to reap, and has not.
    fn next_due(&mut self, now: u64, listed: &mut Option<BTreeSet<u32>>) -> Result<Option<u32>> {
        let Some((first, _)) = ended_child()? else { return Ok(None) };
        if self.seen.is_due(first, now) {
            return Ok(Some(first));
        }
        // The kernel returns the same zombie until it is reaped. The others are in procfs.
        let listed = listed.get_or_insert_with(|| {
            let mut all: BTreeSet<u32> = ended_children().into_iter().collect();
            all.insert(first);
            self.seen.keep(&all);
            all
        });
        while let Some(pid) = listed.pop_first() {
            if self.seen.is_due(pid, now) {
                return Ok(Some(pid));
            }
        }
        Ok(None)
    }

    /// Sets the time of the next search, if a zombie is left.
    fn schedule_search(&mut self, now: u64) {
        let is_left = matches!(ended_child(), Ok(Some(_)));
        let mut timers = self.core.timers.borrow_mut();
        if is_left {
            self.search_at = self.seen.next_search(now);
            timers.reset(self.timer, self.search_at);
        } else {
            self.seen.keep(&BTreeSet::new());
            self.search_at = 0;
            timers.disarm(self.timer);
        }
    }
}

impl<F> Drop for OrphanReaper<F> {
    fn drop(&mut self) {
        self.core.timers.borrow_mut().remove(self.timer);
    }
}

impl<S, F, R> Repeat<S> for OrphanReaper<F>
where
    F: FnMut(&LoopHandle<S>, &mut S, u32, ExitStatus) -> R,
    R: CallbackResult,
{
    fn call(&mut self, el: &LoopHandle<S>, state: &mut S, _: Readiness) -> Flow {
        let now = self.core.timeline.now_nanos();
        if now < self.search_at {
            return KEEP;
        }
        let mut listed = None;
        loop {
            let found = self.next_due(now, &mut listed);
            let reaped = found.and_then(|found| {
                let Some(pid) = found else { return Ok(None) };
                self.seen.since.remove(&pid);
                Ok(Some((pid, reap(pid)?)))
            });
            match reaped {
                Ok(Some((pid, Some(status)))) => {
                    if let Err(error) = (self.callback)(el, state, pid, status).into_result() {
                        return failed(error);
                    }
                    // The callback may have cancelled itself.
                    if !el.is_registered(self.key) {
                        return KEEP;
                    }
                }
                Ok(Some((_, None))) => {} // Other code was faster.
                Ok(None) => break,
                Err(error) => return failed(error),
            }
        }
        self.schedule_search(now);
        KEEP
    }
}

/// # Orphans
impl<S> LoopHandle<S> {
    /// Reaps orphans, and calls `callback` with the id and the status of each. For PID 1 of a
    /// container, and for a process that called [`become_subreaper`]: orphaned processes become its
    /// children, and remain zombies until they are reaped.
    ///
    /// The kernel does not mark orphans. So a zombie counts as an orphan if no loop of this process
    /// watches it, and no other code has reaped it within `patience`. Code that waits for its own
    /// children as they end, as [`std::process::Command::output`] does, is not disturbed. With a
    /// `patience` of zero only processes that a loop watches are left alone.
    ///
    /// Like [`add_signal_handler`](LoopHandle::add_signal_handler), it handles `SIGCHLD` and keeps
    /// [`run`](crate::EventLoop::run) going. Without procfs, orphans are reaped one after the
    /// other, each after its own `patience`.
    ///
    /// # Errors
    ///
    /// [`Error::Create`] if no descriptor is left for the wakeup of signals; [`Error::Closed`]. An
    /// error that the callback returns ends the registration.
    ///
    /// ```no_run
    /// use mainspring::{EventLoop, process::become_subreaper};
    /// use std::time::Duration;
    ///
    /// become_subreaper()?;
    /// let mut el = EventLoop::new()?;
    /// el.reap_orphans(Duration::from_secs(1), |_, _, pid, status| {
    ///     println!("orphan {pid}: {status}");
    /// })?;
    /// el.run_forever()?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn reap_orphans<F, R>(&self, patience: Duration, callback: F) -> Result<Handle>
    where
        F: FnMut(&LoopHandle<S>, &mut S, u32, ExitStatus) -> R + 'static,
        R: CallbackResult,
    {
        let core = self.core().clone();
        core.check_open()?;
        let key = self.reserve_slot(Location::caller());
        if let Err(error) = core.add_signal(Signal::CHLD, key) {
            self.remove(key);
            return Err(error);
        }
        let timer = core.timers.borrow_mut().insert_idle(key);
        let seen = SeenZombies { patience: nanos(patience), since: BTreeMap::new() };
        let reaper = OrphanReaper { core: core.clone(), key, timer, seen, search_at: 0, callback };
        self.fill_slot(key, Source::Signal(Signal::CHLD), Callback::repeat(reaper));
        core.feed(key); // Orphans may have ended already.
        Ok(self.handle(key))
    }
}

/// Makes this process, instead of PID 1, the parent of its orphaned descendants (prctl(2),
/// `PR_SET_CHILD_SUBREAPER`). It must then [reap](LoopHandle::reap_orphans) them.
///
/// # Errors
///
/// [`Error::Io`] of the kind `Unsupported` on systems without such a call.
pub fn become_subreaper() -> Result<()> {
    mainspring_sys::child::become_subreaper().map_err(Error::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c11_a_number_that_is_used_again_begins_with_the_whole_patience() {
        let mut seen = SeenZombies { patience: 10, since: BTreeMap::new() };
        let pids = [i32::MAX as u32, i32::MAX as u32 - 1]; // no such processes
        assert!(pids.into_iter().all(|pid| !seen.is_due(pid, 5)));
        seen.keep(&BTreeSet::from([pids[0]])); // other code has reaped the second one
        assert!(seen.is_due(pids[0], 15));
        assert!(!seen.is_due(pids[1], 15), "it is another process");
    }

    #[test]
    fn c11_any_patience_and_any_clock_are_possible() {
        let mut seen = SeenZombies { patience: u64::MAX, since: BTreeMap::new() };
        let pid = i32::MAX as u32; // no such process
        assert!(!seen.is_due(pid, 5));
        assert!(!seen.is_due(pid, 4), "a custom clock may go back");
        assert_eq!(seen.next_search(5), u64::MAX);
        seen.patience = 0;
        assert_eq!(seen.next_search(5), 5 + MIN_PAUSE, "not in each tick");
    }
}

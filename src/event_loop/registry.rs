//! Registrations: reserving and filling their slots, and ending them.
//!
//! # Invariant
//!
//! A registration first leaves every table. What it owned is dropped last, with nothing borrowed.

use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::LoopHandle;
use super::callback::{Callback, Repeating, Replacement};
use super::report::{Origin, Report, ReportKind, internal};
use super::source::Source;
use crate::error::Error;
use crate::handle::{Handle, Key};
use crate::ready::Ready;

impl<S> LoopHandle<S> {
    /// Reserves a slot for a callback that needs its key before it can be created.
    pub(crate) fn reserve_slot(&self, location: &'static Location<'static>) -> Key {
        self.shared.callbacks.borrow_mut().insert(Source::Soon, location, self.core().tick(), None)
    }

    /// Fills a [reserved](LoopHandle::reserve_slot) slot.
    pub(crate) fn fill_slot(&self, key: Key, source: Source, callback: Callback<S>) {
        if let Some(entry) = self.shared.callbacks.borrow_mut().get(key) {
            entry.source = source;
            entry.callback = Some(callback);
        }
    }

    /// Returns the handle of `key` in this loop.
    pub(crate) fn handle(&self, key: Key) -> Handle {
        Handle { key, loop_id: self.core().loop_id }
    }

    /// Returns the source of a callback, or `None` if it has ended or belongs to another loop.
    pub(crate) fn source_of(&self, handle: Handle) -> Option<Source> {
        if handle.loop_id != self.core().loop_id {
            return None;
        }
        self.origin_of(handle.key).map(|origin| origin.source)
    }

    pub(crate) fn origin_of(&self, key: Key) -> Option<Origin> {
        if key.is_soon() {
            let location = self.shared.soon.borrow_mut().location(key)?;
            return Some(Origin { source: Source::Soon, location });
        }
        let mut callbacks = self.shared.callbacks.borrow_mut();
        let entry = callbacks.get(key)?;
        Some(Origin { source: entry.source, location: entry.location })
    }

    /// Returns true if the callback `key` is registered: it was not cancelled.
    #[inline]
    pub(crate) fn is_registered(&self, key: Key) -> bool {
        self.shared.callbacks.borrow_mut().get(key).is_some()
    }

    /// Returns a report about the registration `key`, which stays registered.
    pub(crate) fn report_of(&self, key: Key, error: Error) -> Option<Report> {
        match key.is_task_layer() {
            true => self.shared.tasks.report_of(key, error),
            false => self.origin_of(key).map(|origin| origin.report(error, self.name_of(key))),
        }
    }

    /// Returns a report that the callback or the task of a ready key took longer than `limit`.
    #[cold]
    pub(super) fn report_of_next(&self, ready: Ready, limit: Duration) -> Option<Box<Report>> {
        let (key, error) = (ready.key, Error::Slow(limit));
        let report = match self.shared.messages.borrow().location() {
            Some(location) if key == Key::INBOX => {
                Some(Origin { source: Source::Soon, location }.report(error, None))
            }
            _ if key.is_task_layer() => {
                let (_, location, name) = self.shared.tasks.origin_of(ready)?;
                Some(Report { kind: ReportKind::Task, error, location, name })
            }
            _ => self.report_of(key, error),
        };
        report.map(Box::new)
    }

    /// Removes a registration from every table and drops it. Returns false if it has ended before.
    pub(crate) fn remove(&self, key: Key) -> bool {
        // First, because a closure that has run is in no table, but may still have a name.
        let name = self.take_name(key);
        if key.is_soon() {
            let cancelled = self.shared.soon.borrow_mut().cancel(key);
            let Some((once, location)) = cancelled else { return false };
            self.discard(Origin { source: Source::Soon, location }, name, once);
            return true;
        }
        let Some(entry) = self.shared.callbacks.borrow_mut().remove(key) else { return false };
        self.detach_source(entry.source, key);
        let origin = Origin { source: entry.source, location: entry.location };
        self.discard(origin, name, entry);
        true
    }

    /// Removes a callback that has lost its source, and the replacement that waits for the source.
    pub(crate) fn remove_with_replacement(&self, key: Key) {
        self.remove(key);
        if let Some(replacement) = self.core().take_replacement(key) {
            self.remove(replacement);
        }
    }

    /// Removes a key from the source that feeds it.
    #[inline]
    pub(crate) fn detach_source(&self, source: Source, key: Key) {
        match source {
            Source::Timer(timer) | Source::Interval(timer) => {
                self.core().timers.borrow_mut().remove(timer);
            }
            _ => self.detach_other_source(source, key),
        }
    }

    fn detach_other_source(&self, source: Source, key: Key) {
        let core = self.core();
        match source {
            Source::Soon | Source::Timer(_) | Source::Interval(_) => {}
            Source::WallTimer(_) | Source::BootTimer(_) | Source::Schedule(_) => {
                source.clock_slot().into_iter().for_each(|slot| core.remove_clock_timer(slot, key));
            }
            Source::Watch(watcher) | Source::Stream(watcher) => core.unwatch(watcher, key),
            Source::Signal(signal) => core.signals.borrow_mut().remove(signal, key),
            Source::Child(pid) => core.children.borrow_mut().remove_key(pid, key),
            Source::Hook(_) => core.hooks.remove(key),
        }
    }

    /// Drops values of the user under the panic policy.
    #[inline]
    pub(crate) fn discard<T>(&self, origin: Origin, name: Option<Rc<str>>, values: T) {
        self.core().contain(|error| origin.report(error, name), || drop(values));
    }

    /// Replaces the callback of a registration that had the key `old`. The new one, `key`, is
    /// registered already. If the old one runs, the new one is parked until that returns its
    /// source.
    pub(crate) fn replace_callback(
        &self,
        (old, callback): (Key, Option<Callback<S>>),
        key: Key,
        replacement: Replacement<S>,
    ) {
        match callback {
            Some(Callback::Repeat { repeat, .. }) if !repeat.is_running() => {
                self.install_replacement(key, &repeat, replacement);
            }
            // It is running, or is itself parked; a parked one never runs and is dropped here.
            callback => {
                self.core().set_replacement(old, key);
                self.set_callback(key, Callback::Parked(replacement));
                drop(callback);
            }
        }
    }

    /// Gives the source of a callback that has returned to its replacement, if there is one.
    #[cold]
    pub(crate) fn hand_over_source(&self, key: Key, replaced: &Repeating<S>) {
        let Some(key) = self.core().take_replacement(key) else { return };
        let mut callbacks = self.shared.callbacks.borrow_mut();
        // No entry if the replacement was cancelled. The source is then dropped with its callback.
        let parked = callbacks.get(key).and_then(|entry| entry.callback.take());
        drop(callbacks);
        if let Some(Callback::Parked(replacement)) = parked {
            self.install_replacement(key, replaced, replacement);
        }
    }

    fn install_replacement(&self, key: Key, replaced: &Repeating<S>, replacement: Replacement<S>) {
        let watched = replaced.take_watched();
        match watched.and_then(|watched| replacement(self, watched)) {
            Some(callback) => self.set_callback(key, callback),
            None => {
                self.remove(key);
            }
        }
    }

    fn set_callback(&self, key: Key, callback: Callback<S>) {
        if let Some(entry) = self.shared.callbacks.borrow_mut().get(key) {
            entry.callback = Some(callback);
        }
    }

    /// Drops a repeating callback that has returned and is no longer registered. Its replacement
    /// gets its source first.
    #[cold]
    pub(crate) fn retire(
        &self,
        key: Key,
        repeat: Repeating<S>,
        origin: Origin,
        name: Option<Rc<str>>,
    ) {
        self.hand_over_source(key, &repeat);
        self.discard(origin, name, repeat);
    }

    /// Removes all callbacks. The values that are dropped may call the loop, which is closed.
    pub(crate) fn remove_callbacks(&self) {
        while !self.shared.soon.borrow().is_empty() {
            let queued = self.shared.soon.borrow_mut().next();
            if let Some((once, location)) = queued {
                self.discard(Origin { source: Source::Soon, location }, None, once);
            }
        }
        let keys = self.shared.callbacks.borrow().keys();
        for key in keys {
            let Some(origin) = self.origin_of(key) else { continue };
            // Contained, because a custom selector may panic as well.
            let report = |error| origin.report(error, None);
            self.core().contain(report, || {
                self.remove(key);
            });
        }
    }

    /// Drops the exception handler, restores signals, and closes the kernel objects of a loop
    /// without callbacks.
    pub(crate) fn close_sources(&self) {
        let core = self.core();
        if let Some(handler) = self.shared.exception_handler.take() {
            self.discard_handler(handler);
        }
        let report = |error| internal(ReportKind::Signal, error);
        core.contain(report, || core.unwatch_signals());
        core.close_signals();
        core.contain(report, || core.unwatch_children());
        core.close_children();
        core.contain(report, || core.close_timebases());
        core.contain(report, || core.close_selector());
        core.agenda.clear();
        drop(core.read_buffer.take());
        drop(core.datagrams.batch.take());
    }
}

//! From a ready handle to the callback to run, and back; and the end of registrations.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::{process, thread};

use super::LoopHandle;
use super::callback::{Callback, Repeating};
use super::report::{ExceptionHandler, Origin, PanicPolicy, Report, ReportKind, internal};
use super::source::{Hook, Source};
use crate::arena;
use crate::error::Error;
use crate::handle::{Handle, Key};
use crate::panic::message_of;

/// Makes the callback that takes over a watched source.
pub(crate) type Successor<S> = Box<dyn FnOnce(&LoopHandle<S>, Box<dyn Any>) -> Option<Callback<S>>>;

impl<S> LoopHandle<S> {
    /// Keeps a slot for a callback that is put there by [`fill_slot`](LoopHandle::fill_slot).
    pub(crate) fn reserve_slot(&self, location: &'static Location<'static>) -> Key {
        self.shared.callbacks.borrow_mut().insert(Source::Soon, location, None)
    }

    /// Fills the slot that was kept under `key`.
    pub(crate) fn fill_slot(&self, key: Key, source: Source, callback: Callback<S>) {
        if let Some(entry) = self.shared.callbacks.borrow_mut().get(key) {
            entry.source = source;
            entry.callback = Some(callback);
        }
    }

    /// A report about the registration `key`, which goes on.
    pub(crate) fn report_of(&self, key: Key, error: Error) -> Option<Report> {
        match key.is_task_layer() {
            true => self.shared.tasks.report_of(key, error),
            false => self.origin_of(key).map(|origin| origin.report(error, self.name_of(key))),
        }
    }

    /// Calls the exception handler with a report, or prints it. The handler is kept even if it
    /// panics.
    pub(crate) fn report(&self, state: &mut S, report: Report) {
        match self.shared.exception_handler.take() {
            Some(handler) => self.call_handler(state, &report, handler),
            None => self.core().print(&report),
        }
        let (kind, location) = (report.kind, report.location);
        let origin = |error| Report { kind, error, location, name: None };
        // The error of the report may be a type of the user.
        self.core().contain(origin, || drop(report));
    }

    fn call_handler(&self, state: &mut S, report: &Report, handler: ExceptionHandler<S>) {
        let location = handler.location;
        let mut lent = LentHandler { handle: self, handler: Some(handler) };
        let policy = self.core().panic_policy.get();
        if policy == PanicPolicy::Propagate && !self.core().closing.get() && !thread::panicking() {
            return lent.call(state, report);
        }
        let called = catch_unwind(AssertUnwindSafe(|| lent.call(state, report)));
        drop(lent);
        let Err(payload) = called else { return };
        match policy {
            PanicPolicy::Abort => process::abort(),
            PanicPolicy::Propagate => self.core().unwind_later(payload),
            PanicPolicy::Report => {
                let error = Error::Panicked(message_of(payload));
                let kind = ReportKind::ExceptionHandler;
                self.core().print(report);
                self.core().print(&Report { kind, error, location, name: None });
            }
        }
    }

    pub(crate) fn handle(&self, key: Key) -> Handle {
        Handle { key, loop_id: self.core().loop_id }
    }

    pub(crate) fn source_of(&self, handle: Handle) -> Option<Source> {
        if handle.loop_id != self.core().loop_id {
            return None;
        }
        self.origin_of(handle.key).map(|origin| origin.source)
    }

    /// Ends a registration everywhere; what it owned is dropped last, with nothing borrowed. One that
    /// has run once is gone already, but not its name.
    pub(crate) fn remove(&self, key: Key) -> bool {
        let name = self.take_name(key);
        if key.is_soon() {
            let taken = self.shared.soon.borrow_mut().cancel(key);
            let Some((once, location)) = taken else { return false };
            self.discard(Origin { source: Source::Soon, location }, name, once);
            return true;
        }
        let Some(entry) = self.shared.callbacks.borrow_mut().remove(key) else { return false };
        self.detach_source(entry.source, key);
        let successor = self.take_successor(key);
        let origin = Origin { source: entry.source, location: entry.location };
        if successor.is_some() {
            self.discard(origin, name.clone(), successor);
        }
        self.discard(origin, name, entry);
        true
    }

    /// Drops what belongs to the user, as the panic policy says.
    #[inline]
    pub(crate) fn discard<T>(&self, origin: Origin, name: Option<Rc<str>>, things: T) {
        self.core().contain(|error| origin.report(error, name), || drop(things));
    }

    /// Drops a repeating callback that has ended and is not registered any more, after its source
    /// has gone to its successor.
    #[cold]
    pub(crate) fn retire(
        &self,
        key: Key,
        repeat: Repeating<S>,
        origin: Origin,
        name: Option<Rc<str>>,
    ) {
        let callback = Callback::Repeat(repeat);
        self.hand_over_source(key, &callback);
        self.discard(origin, name, callback);
    }

    /// Takes out the callback `key`, which waits for the one that runs to get its source.
    fn take_successor(&self, key: Key) -> Option<Successor<S>> {
        match self.shared.successor.take() {
            Some((heir, successor)) if heir == key => Some(successor),
            other => {
                self.shared.successor.set(other);
                None
            }
        }
    }

    /// Removes a callback whose source is gone, and the replacement that waits for the source.
    pub(crate) fn remove_with_replacement(&self, key: Key) {
        self.remove(key);
        if let Some(heir) = self.core().take_replacement(key) {
            self.remove(heir);
        }
    }

    /// Takes a key out of the source that feeds it.
    pub(crate) fn detach_source(&self, source: Source, key: Key) {
        let core = self.core();
        match source {
            Source::Soon => {}
            Source::Timer(timer) | Source::Interval(timer) => {
                core.timers.borrow_mut().remove(timer);
            }
            Source::Watch(watch) | Source::Stream(watch) => core.unwatch(watch, key),
            Source::Signal(signal) => core.signals.borrow_mut().remove(signal, key),
            Source::Hook(_) => self.remove_hook(key),
        }
    }

    /// The name of a registration that ends now.
    pub(crate) fn take_name(&self, key: Key) -> Option<Rc<str>> {
        if self.has_names() { self.remove_name(key) } else { None }
    }

    #[inline(never)]
    fn remove_name(&self, key: Key) -> Option<Rc<str>> {
        let mut names = self.shared.names.borrow_mut();
        let name = names.remove(&key);
        arena::shrink_map(&mut names);
        name
    }

    #[inline]
    pub(crate) fn has_names(&self) -> bool {
        !self.shared.names.borrow().is_empty()
    }

    pub(crate) fn pass_name(&self, old: Key, new: Key) {
        let mut names = self.shared.names.borrow_mut();
        if let Some(name) = names.remove(&old) {
            names.insert(new, name);
        }
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

    pub(crate) fn name_of(&self, key: Key) -> Option<Rc<str>> {
        let names = self.shared.names.borrow();
        if names.is_empty() { None } else { names.get(&key).cloned() }
    }

    /// Moves the source of one callback to the next, who may have a successor in turn.
    pub(crate) fn install_replacement(
        &self,
        key: Key,
        predecessor: &Callback<S>,
        successor: Successor<S>,
    ) {
        let watched = match predecessor {
            Callback::Repeat(repeat) => repeat.take_watched(),
            Callback::Once(_) => None,
        };
        let Some(callback) = watched.and_then(|watched| successor(self, watched)) else {
            return self.remove_with_replacement(key);
        };
        let homeless = self.shared.callbacks.borrow_mut().put_back(key, callback);
        if let Some(replaced) = homeless {
            self.hand_over_source(key, &replaced);
        }
    }

    /// A callback that has run is not registered any more: its source goes to its successor, if it
    /// has one.
    #[cold]
    pub(crate) fn hand_over_source(&self, key: Key, predecessor: &Callback<S>) {
        let heir = self.core().take_replacement(key);
        if let Some((heir, successor)) = heir.and_then(|it| Some((it, self.take_successor(it)?))) {
            self.install_replacement(heir, predecessor, successor);
        }
    }

    /// Whether this registration could ever be called.
    pub(crate) fn can_be_called(&self, key: Key, source: Source) -> bool {
        let core = self.core();
        match source {
            Source::Soon | Source::Signal(_) | Source::Hook(Hook::Idle) => true,
            Source::Hook(Hook::Prepare | Hook::Check) => false,
            Source::Timer(timer) | Source::Interval(timer) => core.is_armed(timer),
            Source::Watch(watch) => !core.watchers.borrow().interest(watch, key).is_empty(),
            Source::Stream(watch) => core.watchers.borrow().is_wanted(watch, key),
        }
    }

    /// Ends all callbacks. What is dropped may call the loop, which is closed to it.
    pub(crate) fn forget_callbacks(&self) {
        while !self.shared.soon.borrow().is_empty() {
            let queued = self.shared.soon.borrow_mut().next();
            if let Some((once, location)) = queued {
                self.discard(Origin { source: Source::Soon, location }, None, once);
            }
        }
        let keys = self.shared.callbacks.borrow().keys();
        for key in keys {
            let Some(origin) = self.origin_of(key) else { continue };
            // A custom selector may panic as well.
            self.core().contain(
                |error| origin.report(error, None),
                || {
                    self.remove(key);
                },
            );
        }
    }

    /// Ends the rest.
    pub(crate) fn forget_all(&self) {
        let core = self.core();
        if let Some(handler) = self.shared.exception_handler.take() {
            self.discard_handler(handler);
        }
        let origin = |error| internal(ReportKind::Signal, error);
        core.contain(origin, || core.unwatch_signals());
        core.close_signals();
        core.contain(origin, || core.close_selector());
        core.ready.borrow_mut().clear();
        core.batch_left.set(0);
        core.check_inbox.set(false);
        core.pending_wakeups.set(0);
        core.stopping.set(false);
        drop(core.read_buffer.take());
    }

    pub(crate) fn discard_handler(&self, handler: ExceptionHandler<S>) {
        let (kind, location) = (ReportKind::ExceptionHandler, handler.location);
        let origin = |error| Report { kind, error, location, name: None };
        self.core().contain(origin, || drop(handler));
    }
}

/// The exception handler while it runs. It goes back to its place, also when it unwinds.
struct LentHandler<'a, S> {
    handle: &'a LoopHandle<S>,
    handler: Option<ExceptionHandler<S>>,
}

impl<S> LentHandler<'_, S> {
    fn call(&mut self, state: &mut S, report: &Report) {
        if let Some(handler) = &mut self.handler {
            (handler.call)(self.handle, state, report);
        }
    }
}

impl<S> Drop for LentHandler<'_, S> {
    fn drop(&mut self) {
        let Some(handler) = self.handler.take() else { return };
        let place = &self.handle.shared.exception_handler;
        // It may have set another one; and one that is dropped may set yet another one.
        match place.take() {
            None => place.set(Some(handler)),
            newer => {
                place.set(newer);
                self.handle.discard_handler(handler);
            }
        }
    }
}

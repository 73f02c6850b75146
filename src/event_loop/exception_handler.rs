//! The exception handler: user code that receives the reports of a loop.
//!
//! # Invariant
//!
//! The handler is out of its cell while it runs, so it cannot be called inside itself: a report
//! that arises in it is printed.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::{process, thread};

use super::LoopHandle;
use super::report::{PanicPolicy, Report, ReportKind};
use crate::error::Error;
use crate::panic::message_of;

type HandleReport<S> = dyn FnMut(&LoopHandle<S>, &mut S, &Report);

/// The exception handler, and the place where it was set.
pub(crate) struct ExceptionHandler<S> {
    call: Box<HandleReport<S>>,
    location: &'static Location<'static>,
}

/// # Errors and panics
impl<S> LoopHandle<S> {
    /// Sets the exception handler, which is called with every failure: errors returned by
    /// callbacks, panics under [`PanicPolicy::Report`], slow callbacks, errors of listeners.
    ///
    /// Without a handler, each report is a line on standard error, written in one call. At most 10
    /// lines are written in 10 seconds for each place of registration; the next line then contains
    /// the number of the others ("and 4,211 more"). A line that standard error does not accept at
    /// once is counted too. So a full pipe, a full disk or a closed descriptor never stops the
    /// loop.
    ///
    /// ```
    /// use mainspring::{Error, EventLoop};
    ///
    /// let mut el = EventLoop::with_state(0)?;
    /// el.set_exception_handler(|_, failures, report| {
    ///     assert_eq!(report.error.to_string(), "no luck");
    ///     assert!(report.location.file().ends_with(".rs"));
    ///     *failures += 1;
    /// });
    /// el.call_soon(|_, _| Err(Error::other("no luck")));
    /// el.run()?;
    /// assert_eq!(*el.state(), 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn set_exception_handler<F>(&self, handler: F)
    where
        F: FnMut(&LoopHandle<S>, &mut S, &Report) + 'static,
    {
        if !self.core().closed.get() {
            let handler =
                ExceptionHandler { call: Box::new(handler), location: Location::caller() };
            if let Some(old) = self.shared.exception_handler.replace(Some(handler)) {
                self.discard_handler(old);
            }
        }
    }

    /// Sets the effect of a panic in user code.
    pub fn set_panic_policy(&self, policy: PanicPolicy) {
        self.core().panic_policy.set(policy);
    }

    /// Calls the exception handler with a report, or prints it. Nothing of the loop is borrowed
    /// here.
    pub(crate) fn report(&self, state: &mut S, report: Report) {
        match self.shared.exception_handler.take() {
            Some(handler) => self.call_handler(state, &report, handler),
            None => self.core().print(&report),
        }
        let (kind, location) = (report.kind, report.location);
        let origin = |error| Report { kind, error, location, name: None };
        // The error of the report may be a user-defined type with a `Drop` that panics.
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

    /// Drops an exception handler under the panic policy.
    pub(crate) fn discard_handler(&self, handler: ExceptionHandler<S>) {
        let (kind, location) = (ReportKind::ExceptionHandler, handler.location);
        let origin = |error| Report { kind, error, location, name: None };
        self.core().contain(origin, || drop(handler));
    }
}

/// The exception handler while it runs. The drop puts it back, even after a panic.
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
        let cell = &self.handle.shared.exception_handler;
        match cell.take() {
            None => cell.set(Some(handler)),
            // The handler has set another one, which stays. The drop of the old one may set a third
            // one, so the newer one goes back first.
            newer => {
                cell.set(newer);
                self.handle.discard_handler(handler);
            }
        }
    }
}

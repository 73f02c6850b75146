//! Errors that do not end a callback.

use crate::error::Error;
use crate::event_loop::LoopHandle;

/// Reports an error of the running callback, which stays registered.
pub(super) fn report<S>(el: &LoopHandle<S>, state: &mut S, error: Error) {
    let report = el.current().and_then(|this| el.report_of(this.key, error));
    if let Some(report) = report {
        el.report(state, report);
    }
}

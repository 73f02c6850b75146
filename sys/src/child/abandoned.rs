//! Children that outlive their loop. Any later loop of the process reaps them.

use std::sync::Arc;

use super::watched_process::{WatchedProcess, registry};

/// Keeps a child of a closed loop. It is reaped by a later call of [`reap_abandoned`].
pub fn abandon(process: Arc<WatchedProcess>) {
    if !process.check() {
        registry().add_abandoned([process]);
    }
}

/// Reaps the children of closed loops that have exited since.
pub fn reap_abandoned() {
    let mut abandoned = registry().take_abandoned();
    if !abandoned.is_empty() {
        abandoned.retain(|process| !process.check());
        registry().add_abandoned(abandoned);
    }
}

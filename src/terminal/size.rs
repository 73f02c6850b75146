//! [`SizeChanges`]: new sizes of a window, for tasks.

use std::future::Future;

use mainspring_sys::Signal;

use super::{Tty, WindowSize};
use crate::awaits::located;
use crate::error::Result;
use crate::task::{SignalReceiver, signal};

/// The changes of a window size, from [`Tty::size_changes`].
#[derive(Debug)]
pub struct SizeChanges {
    tty: Tty,
    signals: SignalReceiver,
}

impl SizeChanges {
    pub(super) fn new(tty: Tty) -> SizeChanges {
        SizeChanges { tty, signals: signal(Signal::WINCH) }
    }

    /// Waits for a change, and returns the new size.
    ///
    /// Cancel safe: the next wait returns a change that a dropped wait missed.
    ///
    /// # Errors
    ///
    /// The errors of [`SignalReceiver::recv`] and [`Tty::window_size`].
    #[allow(clippy::should_implement_trait)] // An asynchronous `next`, as of a stream.
    pub fn next(&mut self) -> impl Future<Output = Result<WindowSize>> {
        located(|| "next", async move {
            self.signals.recv().await?;
            self.tty.window_size()
        })
    }
}

//! [`SizeChanges`]: new sizes of a window, for tasks.

use std::future::Future;

use mainspring_sys::Signal;

use super::{Tty, WindowSize};
use crate::awaits::located;
use crate::error::Result;
use crate::task::{SignalReceiver, signal};

/// The changes of a window's size, from [`Tty::size_changes`].
#[derive(Debug)]
pub struct SizeChanges {
    tty: Tty,
    signals: SignalReceiver,
}

impl SizeChanges {
    pub(super) fn new(tty: Tty) -> SizeChanges {
        SizeChanges { tty, signals: signal(Signal::WINCH) }
    }

    /// Waits for a change, and returns the size that the window has then.
    ///
    /// Cancel safe: a change during a wait that was dropped is in the next one.
    ///
    /// # Errors
    ///
    /// Those of [`SignalReceiver::recv`] and of [`Tty::window_size`].
    #[allow(clippy::should_implement_trait)] // An asynchronous `next`, as of a stream.
    pub fn next(&mut self) -> impl Future<Output = Result<WindowSize>> {
        located(|| "next", async move {
            self.signals.recv().await?;
            self.tty.window_size()
        })
    }
}

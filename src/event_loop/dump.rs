//! Dumps: a snapshot of a loop to standard error on a signal.

use mainspring_sys::{Signal, stderr};

use super::LoopHandle;
use crate::error::Result;
use crate::handle::Handle;
use crate::snapshot::Snapshot;

/// # Dumps
impl<S> LoopHandle<S> {
    /// Writes the table of a [snapshot](LoopHandle::snapshot) to standard error whenever the
    /// process gets `signal`, and continues. `kill -QUIT` then shows what a daemon waits for.
    /// (Without this call, `QUIT` ends a process.)
    ///
    /// The handler is in the [background](LoopHandle::set_background), and
    /// [`cancel`](LoopHandle::cancel) ends it. A loop that is blocked by a callback writes the
    /// table after that callback. A line that standard error does not accept at once is dropped, so
    /// a slow terminal does not stop the daemon.
    ///
    /// A loop with this handler can always be woken, so it does not report
    /// [`Error::Stalled`](crate::Error::Stalled).
    ///
    /// # Errors
    ///
    /// The errors of [`add_signal_handler`](LoopHandle::add_signal_handler):
    /// [`Error::Signal`](crate::Error::Signal) for KILL and STOP, which cannot be caught.
    ///
    /// ```
    /// use mainspring::{EventLoop, Signal};
    ///
    /// let mut el = EventLoop::new()?;
    /// let dumps = el.dump_on(Signal::QUIT)?;
    /// assert_eq!(el.snapshot().get(dumps).unwrap().signal(), Some(Signal::QUIT));
    /// assert!(!el.is_alive()); // it does not keep the loop running
    /// let refused = el.dump_on(Signal::KILL).unwrap_err();
    /// assert_eq!(refused.to_string(), "cannot handle SIGKILL");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn dump_on(&self, signal: Signal) -> Result<Handle> {
        let handle = self.add_signal_handler(signal, |el, _| write(&el.snapshot()))?;
        self.set_background(handle);
        Ok(handle)
    }
}

/// Writes the table, line by line, so that no line is torn.
fn write(snapshot: &Snapshot) {
    for line in snapshot.to_string().lines() {
        // Ignored: there is no other place to report that to.
        let _ = stderr::write(format!("{line}\n").as_bytes());
    }
}

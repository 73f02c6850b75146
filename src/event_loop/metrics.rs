//! The metrics of a loop.

use super::LoopHandle;
use super::callback::Callback;
use crate::callbacks::REFRESH_EVERY;
use crate::metrics::{Gauges, Metrics};

/// # Numbers
impl<S> LoopHandle<S> {
    /// Returns the metrics of the loop, readable from any thread.
    ///
    /// ```
    /// let mut el = mainspring::EventLoop::new()?;
    /// for _ in 0..3 {
    ///     el.call_soon(|_, _| {});
    /// }
    /// el.run()?;
    /// let metrics = el.metrics();
    /// assert_eq!((metrics.ticks(), metrics.calls(), metrics.ready_peak()), (1, 3, 3));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.update_gauges();
        Metrics::new(self.core().page.clone())
    }

    /// Does the work of every 64th tick: stores the numbers of registrations.
    #[cold]
    pub(super) fn update_gauges(&self) {
        if self.core().tick().is_multiple_of(REFRESH_EVERY) {
            let tick = self.core().tick();
            self.shared.callbacks.borrow_mut().refresh_ages(tick, Callback::carry_runs);
            self.shared.tasks.refresh_ages();
        }
        self.sample_history();
        let callbacks = self.shared.callbacks.borrow().count();
        let descriptors = self.core().watchers.borrow().count();
        let (tasks, timers) = (self.shared.tasks.count(), self.core().timers.borrow().count());
        self.core().page.set_gauges(Gauges { callbacks, descriptors, tasks, timers });
    }
}

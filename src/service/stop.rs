//! Stopping a service on a signal.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Signal;

use super::handle::Service;
use super::report::report;
use crate::error::Result;
use crate::event_loop::{CallbackResult, LoopHandle};
use crate::handle::Handle;
use crate::structured::Shutdown;

impl Service {
    /// Calls `callback` on each of these signals, by convention [`Signal::TERM`] and
    /// [`Signal::INT`]. Before its first call, the manager gets `STOPPING=1`.
    ///
    /// The handlers are in the background, so they do not keep [`run`](crate::EventLoop::run)
    /// going: it returns when the last connection has ended.
    ///
    /// ```
    /// use mainspring::{EventLoop, Signal, service::Service};
    ///
    /// let mut el = EventLoop::with_state("running")?;
    /// Service::default().on_stop(&el, &[Signal::TERM, Signal::INT], |el, state| {
    ///     *state = "stopped";
    ///     el.stop();
    /// })?;
    /// Signal::TERM.raise()?;
    /// el.run_forever()?;
    /// assert_eq!(*el.state(), "stopped");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`add_signal_handler`](LoopHandle::add_signal_handler); then none of the
    /// signals is handled.
    #[track_caller]
    pub fn on_stop<S, F, R>(
        &self,
        el: &LoopHandle<S>,
        signals: &[Signal],
        callback: F,
    ) -> Result<()>
    where
        S: 'static,
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let callback = Rc::new(RefCell::new(callback));
        let mut handles = Vec::new();
        for signal in signals {
            let (service, callback) = (self.clone(), callback.clone());
            let added = el.add_signal_handler(*signal, move |el, state| {
                if let Err(error) = service.stopping() {
                    // Not returned: a full queue must not end the handler.
                    report(el, state, error);
                }
                (callback.borrow_mut())(el, state).into_result()
            });
            // The caller has no handle by which it could cancel the earlier ones.
            handles.push(added.inspect_err(|_| {
                handles.iter().for_each(|handle: &Handle| _ = el.cancel(*handle));
            })?);
        }
        handles.into_iter().for_each(|handle| _ = el.set_background(handle));
        Ok(())
    }

    /// Begins `shutdown` on the first of these signals, with the drain time `drain` for running
    /// work. A further signal ends the drain time at once. The manager gets `STOPPING=1` when the
    /// shutdown begins, by a signal or by [`begin`](Shutdown::begin).
    ///
    /// A drain time that is longer than `TimeoutStopSec=` needs
    /// [`extend_timeout`](Service::extend_timeout).
    ///
    /// ```
    /// use mainspring::{EventLoop, Shutdown, ShutdownEnding, Signal, service::Service, sleep};
    /// use std::time::Duration;
    ///
    /// let mut el = EventLoop::new()?;
    /// let shutdown = Shutdown::new();
    /// el.spawn(shutdown.track(sleep(Duration::MAX))).detach();
    /// let signals = [Signal::TERM, Signal::INT];
    /// Service::default().drain_on(&el, &signals, &shutdown, Duration::from_secs(60))?;
    /// Signal::TERM.raise()?;
    /// Signal::INT.raise()?; // the second one does not wait
    /// let ending = el.run_until_complete(async move { shutdown.finish().await })?;
    /// assert_eq!(ending, ShutdownEnding::Cancelled(1));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`on_stop`](Service::on_stop).
    #[track_caller]
    pub fn drain_on<S: 'static>(
        &self,
        el: &LoopHandle<S>,
        signals: &[Signal],
        shutdown: &Shutdown,
        drain: Duration,
    ) -> Result<()> {
        let begun = shutdown.clone();
        self.on_stop(el, signals, move |_, _| match begun.is_started() {
            false => begun.begin(drain),
            true => begun.begin(Duration::ZERO),
        })?;
        let (started, service) = (shutdown.started(), self.clone());
        let waiting = el.spawn(async move {
            started.await;
            service.stopping()
        });
        el.set_background(waiting.handle());
        waiting.detach();
        Ok(())
    }
}

//! Reloading the configuration on a signal.
//!
//! # Invariants
//!
//! * `READY` follows each `RELOADING`, even if the reload fails, panics or is cancelled.
//! * Neither is sent before the service is ready, nor after it has begun to stop.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use mainspring_sys::Signal;

use super::handle::{Phase, Service};
use super::report::report;
use crate::error::{Error, Result};
use crate::event_loop::{CallbackResult, LoopHandle};
use crate::handle::Handle;

/// Pause before a refused message is sent again. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause. By then the manager has given up too (`TimeoutStartSec=` is 90 s by default).
const LAST_PAUSE: Duration = Duration::from_secs(60);

impl Service {
    /// Calls `callback` on `signal`, by convention [`Signal::HUP`], to reload the configuration.
    /// The manager gets `RELOADING=1` before and `READY=1` after it (`Type=notify-reload`).
    ///
    /// If the callback fails, the service keeps its old configuration: the manager gets `READY=1`
    /// with the error as `STATUS=`, the exception handler gets the error, and the handler stays
    /// registered. The next successful reload restores the [`status`](Service::status). A panic
    /// follows the [`PanicPolicy`](crate::PanicPolicy).
    ///
    /// The handler is in the background, so it does not keep [`run`](crate::EventLoop::run) going.
    ///
    /// ```
    /// use mainspring::{EventLoop, Signal, service::Service};
    ///
    /// let service = Service::default();
    /// let mut el = EventLoop::with_state(1)?;
    /// service.on_reload(&el, Signal::HUP, |el, version| {
    ///     *version += 1;
    ///     el.stop();
    /// })?;
    /// service.ready()?;
    /// Signal::HUP.raise()?;
    /// el.run_forever()?;
    /// assert_eq!(*el.state(), 2);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`add_signal_handler`](LoopHandle::add_signal_handler).
    #[track_caller]
    pub fn on_reload<S, F, R>(
        &self,
        el: &LoopHandle<S>,
        signal: Signal,
        mut callback: F,
    ) -> Result<Handle>
    where
        S: 'static,
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        let service = self.clone();
        let handle = el.add_signal_handler(signal, move |el, state| {
            let (reload, refused) = Reload::begin(&service, el);
            let failed = callback(el, state).into_result().err();
            reload.end(failed.as_ref());
            for error in refused.into_iter().chain(failed) {
                report(el, state, error);
            }
        })?;
        el.set_background(handle);
        Ok(handle)
    }

    /// Like [`on_reload`](Service::on_reload), but `callback` returns a future, which runs as a
    /// task. The reload ends when the task ends.
    ///
    /// Signals that arrive meanwhile start one more reload after this one, however many there are.
    ///
    /// ```
    /// use mainspring::{EventLoop, Signal, service::Service, spawn_blocking};
    ///
    /// let service = Service::default();
    /// let mut el = EventLoop::with_state(String::new())?;
    /// service.on_reload_task(&el, Signal::HUP, |el, _| {
    ///     let el = el.clone();
    ///     async move {
    ///         let text = spawn_blocking(|| std::fs::read_to_string("/dev/null")).await??;
    ///         el.with(|el, config| { *config = text; el.stop() }).await
    ///     }
    /// })?;
    /// Signal::HUP.raise()?;
    /// el.run_forever()?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Same as [`add_signal_handler`](LoopHandle::add_signal_handler).
    #[track_caller]
    pub fn on_reload_task<S, F, T>(
        &self,
        el: &LoopHandle<S>,
        signal: Signal,
        callback: F,
    ) -> Result<Handle>
    where
        S: 'static,
        F: FnMut(&LoopHandle<S>, &mut S) -> T + 'static,
        T: Future<Output: CallbackResult> + 'static,
    {
        let reloads = Rc::new(ReloadTasks {
            service: self.clone(),
            callback: RefCell::new(callback),
            location: Location::caller(),
            is_running: Cell::new(false),
            is_requested: Cell::new(false),
        });
        let handle = el.add_signal_handler(signal, move |el, state| reloads.request(el, state))?;
        el.set_background(handle);
        Ok(handle)
    }
}

/// Reloads that are tasks, one at a time.
struct ReloadTasks<F> {
    service: Service,
    callback: RefCell<F>,
    location: &'static Location<'static>,
    is_running: Cell<bool>,
    /// True if a signal arrived while a reload ran.
    is_requested: Cell<bool>,
}

impl<F> ReloadTasks<F> {
    fn request<S, T>(self: &Rc<Self>, el: &LoopHandle<S>, state: &mut S)
    where
        S: 'static,
        F: FnMut(&LoopHandle<S>, &mut S) -> T + 'static,
        T: Future<Output: CallbackResult> + 'static,
    {
        if self.is_running.replace(true) {
            return self.is_requested.set(true);
        }
        let running = Running { reloads: self.clone(), el: el.clone(), again: Self::request };
        let (reload, refused) = Reload::begin(&self.service, el);
        if let Some(error) = refused {
            report(el, state, error);
        }
        let future = (self.callback.borrow_mut())(el, state);
        let task = async move {
            let result = future.await.into_result();
            reload.end(result.as_ref().err());
            drop(running);
            result
        };
        el.spawn_from(task, self.location).detach();
    }
}

/// A reload that runs as a task. The drop starts the next one, if it was requested.
struct Running<S: 'static, F: 'static> {
    reloads: Rc<ReloadTasks<F>>,
    el: LoopHandle<S>,
    again: fn(&Rc<ReloadTasks<F>>, &LoopHandle<S>, &mut S),
}

impl<S, F> Drop for Running<S, F> {
    fn drop(&mut self) {
        self.reloads.is_running.set(false);
        if self.reloads.is_requested.replace(false) {
            let (reloads, again) = (self.reloads.clone(), self.again);
            self.el.call_soon(move |el, state| again(&reloads, el, state));
        }
    }
}

/// A reload that was announced to the manager. The drop announces its end.
struct Reload<S: 'static> {
    service: Service,
    el: LoopHandle<S>,
    /// True if the manager waits for the end.
    is_announced: bool,
}

impl<S> Reload<S> {
    /// Announces a reload. Also returns the error if that was refused; the reload runs anyway.
    fn begin(service: &Service, el: &LoopHandle<S>) -> (Reload<S>, Option<Error>) {
        let is_announced = service.state.phase.get() == Phase::Ready;
        let refused = if is_announced { service.reloading().err() } else { None };
        (Reload { service: service.clone(), el: el.clone(), is_announced }, refused)
    }

    fn end(mut self, failed: Option<&Error>) {
        self.announce_end(failed.map(Error::chain).as_deref());
    }

    fn announce_end(&mut self, failed: Option<&str>) {
        if !std::mem::take(&mut self.is_announced) {
            return;
        }
        let status = match failed {
            Some(reason) => format!("the reload failed: {reason}"),
            None => self.service.state.status.borrow().clone(),
        };
        let message = format!("READY=1\nSTATUS={status}");
        send_until_sent(&self.service, &self.el, message, FIRST_PAUSE);
    }
}

impl<S> Drop for Reload<S> {
    fn drop(&mut self) {
        self.announce_end(Some("it panicked or was cancelled"));
    }
}

/// Sends a message, and again after a pause if it was refused, by a full queue for example. Without
/// it the manager would wait for the end of the reload.
fn send_until_sent<S: 'static>(
    service: &Service,
    el: &LoopHandle<S>,
    message: String,
    pause: Duration,
) {
    let is_over = service.state.phase.get() != Phase::Ready || pause > LAST_PAUSE;
    if is_over || service.send(&message).is_ok() {
        return;
    }
    let service = service.clone();
    let next = move |el: &LoopHandle<S>, _: &mut S| {
        send_until_sent(&service, el, message, pause * 2);
    };
    // In the background: a manager that does not read must not keep the loop going.
    el.set_background(el.call_later(pause, next));
}

//! [`signal`](signal()): signals for tasks.
//!
//! # Invariant
//!
//! From its registration until its drop, a receiver holds every signal that was not received.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use mainspring_sys::Signal;
use mainspring_sys::signal::SignalInfo;

use super::{budget, current, foreign};
use crate::awaits::{located, pending};
use crate::error::{Error, Result};
use crate::signals::ReceiverState;

/// Receives `signal` in a task. `signal(Signal::TERM).await?` waits for one signal; a receiver that
/// is kept can be awaited repeatedly.
///
/// The signal is handled from this call on, so none is lost before the first await, or between two
/// awaits. The rules of [`add_signal_handler`](crate::LoopHandle::add_signal_handler) apply: each
/// receiver and each handler gets the signal, and after the last one has ended, the previous
/// disposition is restored.
///
/// Outside a running loop, the signal is handled from the first await on. Each await returns an
/// error of this call.
///
/// ```
/// use mainspring::{EventLoop, Signal, signal};
///
/// let mut el = EventLoop::new()?;
/// el.run_until_complete(async {
///     let mut reload = signal(Signal::HUP);
///     Signal::HUP.raise()?; // before the await
///     Signal::HUP.raise()?;
///     assert_eq!(reload.recv().await?.count(), 2);
///     Signal::HUP.raise()?;
///     assert_eq!((&mut reload).await?.signal(), Signal::HUP);
///     Ok::<_, mainspring::Error>(())
/// })??;
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn signal(signal: Signal) -> SignalReceiver {
    let mut receiver = SignalReceiver { signal, registered: None };
    if current::running().is_some() {
        let _ = receiver.register(); // Each await tries again, and returns the error.
    }
    receiver
}

/// The receiver of [`signal`](signal()). Each await completes with the signals that arrived since
/// the previous one.
///
/// # Cancel safety
///
/// Dropping a wait loses no signal: the next one gets it.
#[must_use = "futures do nothing unless awaited"]
pub struct SignalReceiver {
    signal: Signal,
    registered: Option<(u32, Rc<ReceiverState>)>,
}

impl SignalReceiver {
    /// Waits for the signal. Returns how often it arrived since the last wait, and its last sender.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`] for a signal that cannot be handled; [`Error::Create`] if no descriptor is
    /// left for the wakeup; [`Error::NoLoop`]; [`Error::Closed`].
    pub fn recv(&mut self) -> impl Future<Output = Result<SignalInfo>> {
        located(|| "recv", async move { poll_fn(|cx| self.poll_recv(cx)).await })
    }

    /// Returns the signals that arrived since the last wait, without waiting. Signals that arrive
    /// during a tick are returned from the next tick on.
    pub fn try_recv(&mut self) -> Option<SignalInfo> {
        self.registered.as_ref()?.1.pending.take()
    }

    /// Polls for the signal, like [`recv`](SignalReceiver::recv).
    ///
    /// # Errors
    ///
    /// Same as [`recv`](SignalReceiver::recv).
    #[track_caller]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<SignalInfo>> {
        let polled = budget::metered(cx, |cx| {
            let state = self.register()?;
            if let Some(info) = state.pending.take() {
                return Poll::Ready(Ok(info));
            }
            if state.is_closed.get() {
                return Poll::Ready(Err(Error::Closed));
            }
            foreign::store(&state.waker, cx.waker());
            Poll::Pending
        });
        pending(|| "signal", polled)
    }

    fn register(&mut self) -> Result<&ReceiverState> {
        if self.registered.is_none() {
            let tasks = current::running_for("mainspring::signal")?;
            let state = ReceiverState::new(self.signal);
            tasks.core.add_signal_receiver(state.clone())?;
            self.registered = Some((tasks.loop_id(), state));
        }
        let (_, state) = self.registered.as_ref().expect("it was just set");
        Ok(state)
    }
}

impl Future for SignalReceiver {
    type Output = Result<SignalInfo>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<SignalInfo>> {
        self.poll_recv(cx)
    }
}

impl Drop for SignalReceiver {
    fn drop(&mut self) {
        let Some((loop_id, state)) = self.registered.take() else { return };
        if let Some(tasks) = current::find(loop_id) {
            tasks.core.signals.borrow_mut().remove_receiver(&state);
        }
        foreign::discard(state.waker.take());
    }
}

impl fmt::Debug for SignalReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalReceiver({})", self.signal)
    }
}

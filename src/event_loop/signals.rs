//! Signal callbacks, and futures that receive signals.

use std::panic::Location;
use std::rc::Rc;
use std::task::Waker;

use mainspring_sys::Signal;
use mainspring_sys::signal::SignalInfo;

use super::LoopHandle;
use super::callback::{Callback, Plain};
use super::callback_result::CallbackResult;
use super::loop_core::{LoopCore, SIGNALS};
use super::report::{ReportKind, internal};
use super::source::Source;
use crate::error::Result;
use crate::handle::{Handle, Key};
use crate::signals::ReceiverState;

/// # Signals
impl<S> LoopHandle<S> {
    /// Calls `callback` when the process gets `signal`, as an ordinary callback. A signal may have
    /// several handlers, in several loops too.
    ///
    /// Signals of the same number that arrive before the callback runs may be merged into one call,
    /// as always in Unix; different signals are never merged. The loop changes no signal mask. A
    /// signal that all threads block, for example because the parent process did, is delivered when
    /// one of them unblocks it (pthread_sigmask(3)). When the last handler of a signal ends, in all
    /// loops, the previous disposition is restored.
    ///
    /// A handler that other code has installed with sigaction(2), for example through signal-hook,
    /// still runs: the loop's handler records the signal and then calls it. The default action and
    /// `SIG_IGN` do not apply while a loop handles the signal.
    ///
    /// A handler keeps [`run`](crate::EventLoop::run) going. Use
    /// [`set_background`](LoopHandle::set_background) if the run should end when its other work is
    /// done. A task waits for a signal with [`signal`](crate::signal()), and a handler begins a
    /// [`Shutdown`](crate::Shutdown), or [drains a
    /// server](crate::guide::a_daemon_from_zero_to_systemd#drain-on-sigterm).
    /// [`latest_signal`](LoopHandle::latest_signal) returns how often the signal arrived, and its
    /// sender.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`](crate::Error::Signal) for KILL and STOP, which cannot be caught, and for
    /// the faults (SEGV, BUS, FPE, ILL ..); [`Error::Create`](crate::Error::Create) if no
    /// descriptor is left for the wakeup; [`Error::Closed`](crate::Error::Closed).
    ///
    /// ```
    /// use mainspring::{EventLoop, Signal};
    ///
    /// let mut el = EventLoop::with_state(0)?;
    /// el.add_signal_handler(Signal::TERM, |el, signals| {
    ///     *signals += 1;
    ///     el.stop();
    /// })?;
    /// Signal::TERM.raise()?;
    /// el.run_forever()?;
    /// assert_eq!(*el.state(), 1);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn add_signal_handler<F, R>(&self, signal: Signal, callback: F) -> Result<Handle>
    where
        F: FnMut(&LoopHandle<S>, &mut S) -> R + 'static,
        R: CallbackResult,
    {
        self.core().check_open()?;
        let source = Source::Signal(signal);
        let callback = Callback::repeat(Plain(callback));
        let location = Location::caller();
        let key = self.shared.callbacks.borrow_mut().insert(
            source,
            location,
            self.core().tick(),
            Some(callback),
        );
        if let Err(error) = self.core().add_signal(signal, key) {
            let entry = self.shared.callbacks.borrow_mut().remove(key);
            drop(entry); // With nothing borrowed: its captures may call the loop.
            return Err(error);
        }
        Ok(self.handle(key))
    }

    /// Returns the last delivery of `signal` to this loop: how often it arrived, and its last
    /// sender. To be called in the handler. `None` if the loop has not received the signal.
    ///
    /// ```
    /// use mainspring::{EventLoop, Signal, SignalOrigin};
    ///
    /// let mut el = EventLoop::with_state(None)?;
    /// el.add_signal_handler(Signal::USR1, |el, info| {
    ///     *info = el.latest_signal(Signal::USR1);
    ///     el.stop();
    /// })?;
    /// Signal::USR1.raise()?;
    /// el.run_forever()?;
    /// let info = el.state().unwrap();
    /// assert_eq!(info.count(), 1);
    /// match info.origin() {
    ///     SignalOrigin::Process { pid, .. } => assert_eq!(pid, std::process::id()),
    ///     origin => assert_eq!(origin, SignalOrigin::Unknown), // the system does not report it
    /// }
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn latest_signal(&self, signal: Signal) -> Option<SignalInfo> {
        self.core().signals.borrow().latest(signal)
    }
}

impl LoopCore {
    /// Adds a handler of a signal. The first one opens the wakeup of signals, which is watched like
    /// any other fd.
    pub(crate) fn add_signal(&self, signal: Signal, key: Key) -> Result<()> {
        self.open_signals()?;
        self.signals.borrow_mut().add(signal, key)
    }

    /// Adds a future that receives a signal.
    pub(crate) fn add_signal_receiver(&self, receiver: Rc<ReceiverState>) -> Result<()> {
        self.check_open()?;
        self.open_signals()?;
        self.signals.borrow_mut().add_receiver(receiver)
    }

    fn open_signals(&self) -> Result<()> {
        let mut signals = self.signals.borrow_mut();
        let mut watchers = self.watchers.borrow_mut();
        if let Some((wakeup, mode)) = signals.open(&mut **watchers.selector(), SIGNALS)? {
            watchers.add_internal(wakeup, SIGNALS, mode);
        }
        Ok(())
    }

    pub(super) fn wake_receivers(&self, wakers: Vec<Waker>) {
        for waker in wakers {
            self.contain_later(|error| internal(ReportKind::Waker, error), || waker.wake());
        }
    }

    /// Stops watching the wakeup of signals, before [`close_signals`](LoopCore::close_signals)
    /// closes it.
    pub(crate) fn unwatch_signals(&self) {
        if let Some((wakeup, _)) = self.signals.borrow().wakeup() {
            self.watchers.borrow_mut().remove_internal(wakeup);
        }
    }

    pub(crate) fn close_signals(&self) {
        let wakers = self.signals.borrow_mut().close();
        self.wake_receivers(wakers);
    }
}

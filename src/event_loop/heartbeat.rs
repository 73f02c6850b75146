//! The heartbeat of a loop.

use std::panic::Location;

use super::LoopHandle;
use crate::tape::Recorder;
use crate::watchdog::Heartbeat;

/// Number of turns of a tape that is made for a heartbeat.
const TURNS: usize = 1024;

/// # Heartbeat
impl<S> LoopHandle<S> {
    /// Returns the heartbeat of the loop, from which any thread, such as a
    /// [`Watchdog`](crate::Watchdog), reads the running turn.
    ///
    /// It makes the loop record its turns, from the next tick on: on the tape of the
    /// [recorder](crate::EventLoopBuilder::record) if there is one, otherwise on a tape of 1024
    /// turns in memory, which [`tape`](LoopHandle::tape) then returns. [`Heartbeat`] has an
    /// example.
    #[track_caller]
    pub fn heartbeat(&self) -> Heartbeat {
        let core = self.core();
        if let Some(heartbeat) = &*core.heartbeat.borrow() {
            return heartbeat.clone();
        }
        if core.tape.get().is_none() {
            core.open_tape(&Recorder::ring(TURNS), Location::caller());
        }
        core.is_timed.set(true);
        core.is_instrumented.set(true);
        let tape = core.tape.get().and_then(|tape| tape.live());
        let (page, start) = (core.page.clone(), core.timeline.start());
        let heartbeat = Heartbeat::new(tape, page, start, core.process.get());
        if core.closed.get() {
            heartbeat.close();
        }
        core.heartbeat.replace(Some(heartbeat.clone()));
        heartbeat
    }
}

//! An event loop for Unix daemons.
#![forbid(unsafe_code)]

mod callbacks;
mod clock;
mod error;
mod event_loop;
mod handle;
mod inbox;
pub mod net;
mod ready;
mod signals;
mod sync;
pub mod testing;
mod timers;
mod watchers;

pub use clock::{Clock, MonotonicClock};
pub use error::{Error, Result};
pub use event_loop::{
    Builder, EventLoop, Kind, LoopHandle, Outcome, PanicPolicy, Remote, Report, SelectorChoice,
    Watched,
};
pub use handle::{Handle, TimerHandle, Watcher};
pub use mainspring_sys::{
    Event, Events, Interest, Mode, Readiness, Selector, SelectorKind, Signal, Token, WakeupKind,
};

//! Loops with simulated time, for each selector kind, and shared fixtures.

pub mod blocking_jobs;
pub mod bytes;
pub mod custom_stream;
pub mod descriptors;
pub mod loopback;
pub mod network;
pub mod process;
pub mod protocol;
pub mod registrations;
pub mod selector;
pub mod stopping;
pub mod task_log;
pub mod ticks;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Once;

use mainspring::selector::Token;
use mainspring::testing::SimClock;
use mainspring::{EventLoop, EventLoopBuilder, Interest, SelectorKind, TriggerMode};
use proptest::prelude::ProptestConfig;

use crate::support::descriptors::raise_limit;

/// Runs `check` on each available selector kind.
pub fn on_every_selector(mut check: impl FnMut(SelectorKind)) {
    static RAISED: Once = Once::new(); // Once only: a test of the limit may have lowered it since.
    RAISED.call_once(|| _ = raise_limit(2048));
    for kind in SelectorKind::available() {
        println!("on {kind}"); // Shown when the test fails.
        check(*kind);
    }
}

/// Returns a loop of this kind with simulated time.
pub fn simulated<S>(kind: SelectorKind, state: S) -> (EventLoop<S>, SimClock) {
    let (builder, clock) = simulated_builder(kind);
    (builder.build_with(state).expect("a loop"), clock)
}

/// Returns a builder of loops of this kind with simulated time, and their clock.
pub fn simulated_builder(kind: SelectorKind) -> (EventLoopBuilder, SimClock) {
    let clock = SimClock::new();
    (EventLoop::builder().selector(loopback::selector(kind)).clock(clock.clone()), clock)
}

/// Returns the number of cases of a random test, or of repetitions of a race: `usual`, or
/// `PROPTEST_CASES` if that is less, for slow machines.
pub fn cases(usual: u32) -> u32 {
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| ProptestConfig::default().cases);
    asked.map_or(usual, |asked| asked.clamp(1, usual))
}

/// Returns true if this selector reports priority data. Not every kqueue does.
pub fn has_priority(kind: SelectorKind) -> bool {
    let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
    let mut selector = kind.open().expect("a selector");
    let token = Token::new(0, 0);
    selector.register(ours.as_raw_fd(), token, Interest::PRIORITY, TriggerMode::Level).is_ok()
}

/// Stream that owns a clone of an `Rc`. The count of the `Rc` shows how many sources are alive.
#[derive(Debug)]
pub struct Source {
    stream: UnixStream,
    _alive: Rc<()>,
}

impl Source {
    /// Returns a source and its peer.
    pub fn pair(alive: &Rc<()>) -> (Source, UnixStream) {
        let (stream, peer) = UnixStream::pair().expect("a pair of sockets");
        (Source { stream, _alive: alive.clone() }, peer)
    }

    /// Returns the stream, for reading.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

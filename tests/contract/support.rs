//! Loops for the tests: one for each selector kind, with simulated time.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, SelectorKind};

/// Runs `check` on a loop of each kind that the system has.
pub fn on_every_selector(mut check: impl FnMut(SelectorKind)) {
    for kind in SelectorKind::available() {
        println!("on {kind}"); // Shown when the test fails.
        check(*kind);
    }
}

/// A loop of this kind whose time is simulated.
pub fn simulated<S>(kind: SelectorKind, state: S) -> (EventLoop<S>, SimClock) {
    let clock = SimClock::new();
    let builder = EventLoop::builder().selector(kind).clock(clock.clone());
    (builder.build_with(state).expect("a loop"), clock)
}

/// A source that keeps count of itself: the count of the `Rc` is what is alive.
#[derive(Debug)]
pub struct Source {
    stream: UnixStream,
    _alive: Rc<()>,
}

impl Source {
    /// A source and its peer.
    pub fn pair(alive: &Rc<()>) -> (Source, UnixStream) {
        let (stream, peer) = UnixStream::pair().expect("a pair of sockets");
        (Source { stream, _alive: alive.clone() }, peer)
    }

    /// The stream, to be read from.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

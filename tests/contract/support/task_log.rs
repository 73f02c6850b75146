//! A loop on simulated time with a log of events.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{CancelScope, EventLoop, SelectorKind, sleep, spawn};

use crate::support::simulated;

pub const SECOND: Duration = Duration::from_secs(1);

/// Events in order, each with the time in seconds.
#[derive(Clone)]
pub struct Log(pub Rc<RefCell<Vec<(u64, &'static str)>>>, pub SimClock);

impl Log {
    pub fn note(&self, what: &'static str) {
        self.0.borrow_mut().push((self.1.elapsed().as_secs(), what));
    }

    /// Returns a value that logs `what` when it is dropped.
    pub fn end(&self, what: &'static str) -> End {
        End(self.clone(), what)
    }

    #[track_caller]
    pub fn check(&self, wanted: &[(u64, &'static str)]) {
        assert_eq!(*self.0.borrow(), wanted);
    }
}

pub struct End(Log, &'static str);

impl Drop for End {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// Returns a loop, and the log of its events.
pub fn loop_with_log() -> (EventLoop<()>, Log) {
    let (el, clock) = simulated(SelectorKind::available()[0], ());
    (el, Log(Rc::default(), clock))
}

/// Cancels `scope` after `seconds`.
pub fn cancel_after(seconds: u32, scope: &CancelScope) {
    let scope = scope.clone();
    let cancelling = async move {
        sleep(seconds * SECOND).await;
        assert!(scope.cancel("asked to"));
        assert!(!scope.cancel("asked again"));
    };
    spawn(cancelling).detach();
}

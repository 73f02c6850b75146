//! Waits polled with the task's own waker and a foreign waker in turn, as combinators of other
//! crates do: only the latest waker is kept (docs/contract.md, F3 and Q8).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use mainspring::{Task, promise, sleep};

use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

#[derive(Default)]
struct Foreign(AtomicUsize);

impl Wake for Foreign {
    fn wake(self: Arc<Foreign>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls `future` with both wakers in turn. Returns the number of clones of the foreign waker that
/// are kept after each pair of polls.
fn alternate<F>(el: &mut mainspring::EventLoop<()>, mut future: F) -> Vec<usize>
where
    F: Future + Unpin,
{
    let foreign = Arc::new(Foreign::default());
    let waker = Waker::from(foreign.clone());
    let unused = Arc::strong_count(&foreign);
    let mut kept = Vec::new();
    let polls = poll_fn(|cx| {
        for _ in 0..100 {
            let mut foreign_cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut future).poll(&mut foreign_cx).is_pending());
            assert!(Pin::new(&mut future).poll(cx).is_pending());
            kept.push(Arc::strong_count(&foreign) - unused);
        }
        Poll::Ready(())
    });
    el.run_until_complete(polls).unwrap();
    tick(el);
    drop(future);
    assert_eq!(Arc::strong_count(&foreign), unused, "a clone of the waker outlives its wait");
    assert_eq!(foreign.0.load(Ordering::SeqCst), 0, "an old waker was woken");
    kept
}

#[test]
fn f8_a_promise_keeps_only_the_latest_waker() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (promise, promised) = promise::<u8>();
        assert_eq!(alternate(&mut el, promised), [0; 100]);
        drop(promise);
    });
}

#[test]
fn f8_a_sleep_and_a_join_keep_only_the_latest_waker() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let long = Box::pin(sleep(std::time::Duration::from_secs(3600)));
        assert_eq!(alternate(&mut el, long), [0; 100]);
        let task: Task<()> = el.spawn(std::future::pending());
        assert_eq!(alternate(&mut el, task), [0; 100]);
    });
}

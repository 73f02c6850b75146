//! Messages from other threads, measured without another thread: the cost of a closure in the
//! inbox, and of the wakeup. `tasks::cross_thread_wake` has a second thread.

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use mainspring::{EventLoop, WakeupKind};

use crate::FEW;

/// Number of messages that a tick takes from the inbox.
const BATCH: u64 = 1000;

/// The wakeups that work with the best selector.
fn kinds() -> Vec<WakeupKind> {
    let fits = |kind: &&WakeupKind| EventLoop::builder().wakeup(**kind).build().is_ok();
    WakeupKind::available().iter().filter(fits).copied().collect()
}

fn loop_with(kind: WakeupKind) -> EventLoop<u64> {
    EventLoop::builder().wakeup(kind).build_with(0).expect("the wakeup works, as it did before")
}

/// Sends a closure to an idle loop, which writes the wakeup, and runs it in the next tick.
#[divan::bench(args = kinds(), sample_size = FEW)]
fn ring_and_turn(bencher: Bencher<'_, '_>, kind: &WakeupKind) {
    let mut el = loop_with(*kind);
    let remote = el.remote();
    bencher.bench_local(|| {
        remote.call_soon(|_, ran| *ran += 1).expect("the loop is open");
        assert_eq!(el.tick(None).expect("the selector works"), 1);
    });
}

/// Sends a batch of closures. Only the first one writes the wakeup.
#[divan::bench(args = kinds())]
fn call_soon_batch_of_1000(bencher: Bencher<'_, '_>, kind: &WakeupKind) {
    let mut el = loop_with(*kind);
    let remote = el.remote();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH {
            remote.call_soon(|_, ran| *ran += 1).expect("the loop is open");
        }
        let ran = el.tick(Some(Duration::ZERO)).expect("the selector works");
        assert_eq!(ran as u64, BATCH);
    });
}

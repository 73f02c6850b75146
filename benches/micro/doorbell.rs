//! The way in from other threads, without another thread: what a closure costs on its way through
//! the inbox, and what the doorbell adds. With a second thread see `tasks::cross_thread_wake`.

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use mainspring::{EventLoop, WakeupKind};

use crate::FEW;

/// A tick takes as many from the inbox.
const BATCH: u64 = 1000;

/// The doorbells that go with the best selector.
fn kinds() -> Vec<WakeupKind> {
    let fits = |kind: &&WakeupKind| EventLoop::builder().wakeup(**kind).build().is_ok();
    WakeupKind::available().iter().filter(fits).copied().collect()
}

fn loop_with(kind: WakeupKind) -> EventLoop<u64> {
    EventLoop::builder().wakeup(kind).build_with(0).expect("it was tried")
}

/// A closure is sent to a loop that has nothing else to do, which rings; and the tick that the ring
/// has woken runs it.
#[divan::bench(args = kinds(), sample_size = FEW)]
fn ring_and_turn(bencher: Bencher<'_, '_>, kind: &WakeupKind) {
    let mut el = loop_with(*kind);
    let remote = el.remote();
    bencher.bench_local(|| {
        remote.call_soon(|_, ran| *ran += 1).expect("the loop is open");
        assert_eq!(el.tick(None).expect("the selector works"), 1);
    });
}

/// Only the first of them rings.
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

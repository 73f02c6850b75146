//! The ready deque: closures that are ready to run. Each iteration is a tick, which calls the
//! selector once.

use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use mainspring::{EventLoop, LoopHandle};

use crate::{FEW, SHORT};

const BATCHES: [u64; 3] = [1, 100, 1000];

/// Returns a loop with a counter as its state.
fn counting_loop() -> EventLoop<u64> {
    EventLoop::with_state(0).expect("the system has a selector")
}

fn tick(el: &mut EventLoop<u64>) {
    el.tick(Some(Duration::ZERO)).expect("the selector works");
}

/// A callback that queues its successor for the next tick.
#[divan::bench(sample_size = SHORT)]
fn chain(bencher: Bencher<'_, '_>) {
    fn link(el: &LoopHandle<u64>, ran: &mut u64) {
        *ran += 1;
        el.call_soon(link);
    }
    let mut el = counting_loop();
    el.call_soon(link);
    bencher.bench_local(|| tick(&mut el));
    assert!(*el.state() > 0);
}

/// Closures that need no allocation.
#[divan::bench(args = BATCHES, sample_size = FEW)]
fn batch_without_captures(bencher: Bencher<'_, '_>, batch: u64) {
    let mut el = counting_loop();
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        for _ in 0..batch {
            el.call_soon(|_, ran| *ran += 1);
        }
        tick(&mut el);
    });
    assert!(*el.state() >= batch);
}

#[divan::bench(args = BATCHES, sample_size = FEW)]
fn batch_with_captures(bencher: Bencher<'_, '_>, batch: u64) {
    let mut el = counting_loop();
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        for number in 0..batch {
            let number = black_box(number);
            el.call_soon(move |_, sum| *sum = sum.wrapping_add(number + 1));
        }
        tick(&mut el);
    });
    assert!(*el.state() > 0);
}

/// Closures that are cancelled before they run.
#[divan::bench(sample_size = SHORT)]
fn call_and_cancel(bencher: Bencher<'_, '_>) {
    let mut el = counting_loop();
    bencher.bench_local(|| {
        let handle = el.call_soon(|_, ran| *ran += 1);
        assert!(el.cancel(handle));
    });
    tick(&mut el);
    assert_eq!(*el.state(), 0);
}

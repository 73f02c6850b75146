//! Allocations of the loop: none after warm-up, and memory in proportion to what is alive
//! (docs/contract.md, Q10 and T6).
//!
//! A counting allocator wraps the system's. It counts for each thread, because tests run in
//! parallel.
// `Ok(*calls += 1)` keeps a callback that only counts on one line.
#![allow(clippy::unit_arg)]
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{EventLoop, SelectorKind, Signal, net};

/// The fixtures of the contract.
#[allow(dead_code, unused_imports)]
#[path = "contract/support/mod.rs"]
mod support;

mod allocations {
    mod datagrams;
    mod peak;
    mod tasks;
}

thread_local! {
    /// Number of allocations of this thread, and bytes in use.
    static COUNTS: Cell<(usize, isize)> = const { Cell::new((0, 0)) };
}

fn count(calls: usize, bytes: isize) {
    // Fails while the thread ends, because its counts are gone.
    let _ = COUNTS.try_with(|counts| {
        let (all, held) = counts.get();
        counts.set((all + calls, held + bytes));
    });
}

struct Counting;

// SAFETY: every call is passed to the system's allocator unchanged, and so is its result. Counting
// uses a constant-initialised thread-local without a destructor, so it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same for `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: the block was allocated by `System`, like all blocks here, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Option<Duration> = Some(Duration::ZERO);
const MILLI: Duration = Duration::from_millis(1);
const WARM_UP: usize = 2_000;
const MEASURED: usize = 10_000;

type Turn = Box<dyn FnMut(&mut EventLoop<usize>)>;

/// Runs `tick` often. Returns the number of allocations after the warm-up.
fn allocations(el: &mut EventLoop<usize>, mut turn: Turn) -> usize {
    (0..WARM_UP).for_each(|_| turn(el));
    let (before, _) = COUNTS.get();
    (0..MEASURED).for_each(|_| turn(el));
    COUNTS.get().0 - before
}

/// Sets up a loop on each selector kind. Asserts that a tick allocates nothing and runs `ran`
/// callbacks.
fn expect_none(what: &str, ran: usize, set_up: impl Fn(&EventLoop<usize>, SimClock) -> Turn) {
    for kind in SelectorKind::available() {
        let clock = SimClock::new();
        let builder = EventLoop::builder().await_lines(false).selector(*kind).clock(clock.clone());
        let mut el = builder.build_with(0).expect("a loop");
        let turn = set_up(&el, clock);
        let allocated = allocations(&mut el, turn);
        println!("{what}: {allocated} allocations in {MEASURED} ticks on {kind}");
        assert_eq!(allocated, 0, "{what} on {kind}");
        assert_eq!(*el.state(), ran * (WARM_UP + MEASURED), "{what} on {kind}");
    }
}

fn tick(el: &mut EventLoop<usize>) {
    el.tick(NOW).expect("a tick");
}

#[test]
fn q10_the_allocator_counts() {
    let (before, held) = COUNTS.get();
    let block = Box::new([0_u8; 4096]);
    assert_eq!(COUNTS.get(), (before + 1, held + 4096));
    drop(block);
    assert_eq!(COUNTS.get(), (before + 1, held));
}

#[test]
fn q10_an_empty_tick_allocates_nothing() {
    expect_none("an empty tick", 0, |_, _| Box::new(tick));
}

#[test]
fn q10_an_fd_event_allocates_nothing() {
    expect_none("an fd event", 1, |el, _| {
        let (stream, mut peer) = UnixStream::pair().expect("a pair of sockets");
        let reader = el.add_reader(stream, |_, ran, stream| {
            *ran += 1;
            while stream.read(&mut [0; 8])? > 0 {}
            Ok(())
        });
        reader.expect("a reader");
        Box::new(move |el| {
            peer.write_all(b"x").expect("room");
            tick(el);
        })
    });
}

#[test]
fn q10_pausing_and_resuming_a_watcher_allocates_nothing() {
    expect_none("a change of interest", 0, |el, _| {
        let (stream, peer) = UnixStream::pair().expect("a pair of sockets");
        let readable = mainspring::Interest::READABLE;
        let watcher = el.watch(stream, readable, |_, _, _| Ok(())).expect("a watcher");
        Box::new(move |el| {
            let _open = &peer;
            el.set_interest(watcher, mainspring::Interest::empty())
                .expect("an empty interest can be set");
            el.set_interest(watcher, readable).expect("the interest can be set again");
            tick(el);
        })
    });
}

#[test]
fn q10_re_arming_a_timer_allocates_nothing() {
    expect_none("a timer that is pushed back", 0, |el, clock| {
        let timer = el.add_timer(|_, ran| *ran += 1).expect("a timer");
        Box::new(move |el| {
            assert!(el.reset_after(timer, 50 * MILLI));
            clock.advance(MILLI);
            tick(el);
        })
    });
    expect_none("a timer that is set earlier and earlier", 0, |el, _| {
        let timer = el.add_timer(|_, ran| *ran += 1).expect("a timer");
        let mut delay = Duration::from_secs(1_000_000);
        Box::new(move |el| {
            delay -= MILLI;
            assert!(el.reset_after(timer, delay));
            tick(el);
        })
    });
    expect_none("a timer that is due each time", 1, |el, _| {
        let timer = el.add_timer(|_, ran| *ran += 1).expect("a timer");
        Box::new(move |el| {
            assert!(el.reset_after(timer, Duration::ZERO));
            tick(el);
        })
    });
}

#[test]
fn q10_an_interval_allocates_nothing() {
    expect_none("an interval", 1, |el, clock| {
        el.call_every(MILLI, |_, ran| *ran += 1).expect("an interval");
        Box::new(move |el| {
            clock.advance(MILLI);
            tick(el);
        })
    });
}

#[test]
fn q10_closures_without_captures_allocate_nothing() {
    expect_none("call_soon", 10, |_, _| {
        Box::new(|el| {
            for _ in 0..10 {
                el.call_soon(|_, ran| *ran += 1);
            }
            tick(el);
        })
    });
    expect_none("call_later", 1, |_, clock| {
        Box::new(move |el| {
            el.call_later(MILLI, |_, ran| *ran += 1);
            clock.advance(MILLI);
            tick(el);
        })
    });
    expect_none("call_soon of a remote", 1, |el, _| {
        let remote = el.remote();
        Box::new(move |el| {
            remote.call_soon(|_, ran| *ran += 1).expect("an open loop");
            tick(el);
        })
    });
}

#[test]
fn q10_a_signal_allocates_nothing() {
    expect_none("a signal", 1, |el, _| {
        el.add_signal_handler(Signal::WINCH, |_, ran| *ran += 1).expect("a handler");
        Box::new(|el| {
            Signal::WINCH.raise().expect("a signal");
            tick(el);
        })
    });
}

#[test]
fn q10_hooks_allocate_nothing() {
    expect_none("three hooks", 3, |el, _| {
        el.on_prepare(|_, ran| *ran += 1).expect("a hook");
        el.on_check(|_, ran| *ran += 1).expect("a hook");
        el.on_idle(|_, ran| *ran += 1).expect("a hook");
        Box::new(tick)
    });
}

/// Asserts that an echo allocates nothing, in which the task calls `serve` for each request.
fn expect_no_allocation_of_echo<F>(what: &str, serve: F)
where
    F: AsyncFn(&net::UnixStream) -> mainspring::Result<()> + Copy + 'static,
{
    expect_none(what, 1, |el, _| {
        let (stream, mut peer) = UnixStream::pair().expect("a pair of sockets");
        let stream = net::UnixStream::from_std(stream).expect("a socket");
        let handle = el.handle().clone();
        el.spawn(async move {
            loop {
                serve(&stream).await?;
                handle.call_soon(|_, ran| *ran += 1);
            }
            #[allow(unreachable_code)]
            Ok::<(), mainspring::Error>(())
        })
        .detach();
        Box::new(move |el| {
            peer.write_all(b"ping").expect("room");
            tick(el);
            peer.read_exact(&mut [0; 4]).expect("an answer");
            tick(el);
        })
    });
}

#[test]
fn q10_a_request_to_a_task_allocates_nothing() {
    expect_no_allocation_of_echo("an echo by a task", async |stream: &net::UnixStream| {
        let mut buffer = [0; 64];
        let count = stream.read(&mut buffer).await?;
        Ok(stream.write_all(&buffer[..count]).await?)
    });
}

#[test]
fn q10_a_chunk_allocates_nothing() {
    expect_no_allocation_of_echo("an echo of a chunk", async |stream: &net::UnixStream| {
        let chunk = stream.read_chunk().await?;
        Ok(stream.write_all(&chunk).await?)
    });
}

#[test]
fn t6_cancelled_timers_keep_no_memory() {
    let mut el = EventLoop::builder()
        .await_lines(false)
        .clock(SimClock::new())
        .build_with(0)
        .expect("a loop");
    let idle = el.add_timer(|_, _: &mut usize| {}).expect("a timer");
    let (_, before) = COUNTS.get();
    for i in 0..1_000_000_u64 {
        let timer = el.call_later(Duration::from_nanos(i * 7_919 % 1_000_000_007), |_, _| {});
        assert!(el.reset_after(idle, Duration::from_nanos(2_000_000_000 - i)) && el.cancel(timer));
        if i % 1000 == 0 {
            tick(&mut el);
        }
    }
    let held = COUNTS.get().1 - before;
    println!("{held} more bytes are in use after a million cancelled timers");
    assert!(held < 64 * 1024, "{held} bytes for one timer");
}

#[test]
fn q8_a_loop_frees_all_its_memory() {
    for kind in SelectorKind::available() {
        let mut first = COUNTS.get().1;
        for round in 0..4 {
            let mut el = EventLoop::builder()
                .await_lines(false)
                .selector(*kind)
                .build_with(0)
                .expect("a loop");
            for i in 0..1000 {
                el.call_later(MILLI * 1000, move |_, ran| *ran += i);
            }
            el.add_signal_handler(Signal::WINCH, |_, _| {}).expect("a handler");
            let remote = el.remote();
            remote.call_soon(move |_, ran| *ran += round).expect("an open loop");
            tick(&mut el);
            drop((el, remote));
            // The first loop also allocates what the process keeps for all loops.
            first = if round == 0 { COUNTS.get().1 } else { first };
        }
        assert_eq!(COUNTS.get().1, first, "on {kind}");
    }
}

#[test]
fn t6_a_named_timer_that_panics_keeps_no_name() {
    let mut el = EventLoop::builder().await_lines(false).clock(SimClock::new()).build().unwrap();
    let mut run = || {
        let timer = el.call_later(MILLI, |_, _| -> () { resume_unwind(Box::new(())) });
        assert!(el.set_name(timer, "a name that takes some memory"));
        assert!(catch_unwind(AssertUnwindSafe(|| el.run())).is_err());
    };
    (0..100).for_each(|_| run());
    let before = COUNTS.get().1;
    (0..100).for_each(|_| run());
    assert_eq!(COUNTS.get().1, before);
}

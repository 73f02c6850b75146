//! mainspring with callbacks.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mainspring::net::{Protocol, Transport};
use mainspring::{EventLoop, LoopHandle, Result, Signal, TimerHandle};

use super::peer::{Peer, Works};
use crate::work::children::{command, run_children};
use crate::work::echo::{PERIOD, TIMERS, listener, post_from_threads};
use crate::work::fetches::{Fetch, REQUEST, run_fetches, server};
use crate::work::pipes::{Chain, full_pipes, pipes};
use crate::work::post::{Traffic, round_trips, throughput};
use crate::work::{BATCH, HOUR, cpu, deadlines, near_deadlines, run_requests, since, since_for};

pub const PEER: Peer = Peer::rust("mainspring", WORKS);

const WORKS: Works = &[
    ("echo", |_| serve(|_| {})),
    ("echo_posts", |_| serve(post)),
    ("echo_signals", |_| serve(watch_signals)),
    ("echo_timers", |_| serve(tick)),
    ("timers", timers),
    ("timers_run", timers_run),
    ("rearm", rearm),
    ("chain", chain),
    ("batch", batch),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
    ("dispatch", dispatch),
    ("pipes", watch_pipes),
    ("fetches", fetches),
    ("children", children),
];

fn serve(flood: fn(&EventLoop)) {
    let mut el = EventLoop::new().expect("a loop");
    flood(&el);
    el.serve(listener(), |_el, (), connection, data| {
        connection.write(data);
        Ok(())
    })
    .expect("a listener can be served");
    el.run_forever().expect("the loop runs");
}

fn post(el: &EventLoop) {
    let remote = el.remote();
    post_from_threads(move |under_way| {
        let arrives = move |_: &LoopHandle<()>, (): &mut ()| {
            under_way.fetch_sub(1, Ordering::Relaxed);
        };
        remote.call_soon(arrives).expect("the loop is open");
    });
}

fn watch_signals(el: &EventLoop) {
    el.add_signal_handler(Signal::USR1, |_, ()| {}).expect("a handler");
}

fn tick(el: &EventLoop) {
    for _ in 0..TIMERS {
        el.call_every(PERIOD, |_, ()| {}).expect("a period");
    }
}

/// Returns a loop with timers. Its state counts those that have run.
fn timed(deadlines: &[Instant]) -> (EventLoop<u64>, Vec<TimerHandle>) {
    let el = EventLoop::with_state(0).expect("a loop");
    let mut timers = Vec::with_capacity(deadlines.len());
    timers.extend(deadlines.iter().map(|deadline| el.call_at(*deadline, |_, ran| *ran += 1)));
    (el, timers)
}

fn timers(_: &[usize]) {
    run_requests(|count| {
        let deadlines = deadlines(Instant::now() + HOUR, HOUR, count);
        let before = cpu();
        let (el, timers) = timed(&deadlines);
        let inserted = since(before);
        timers.into_iter().for_each(|timer| assert!(el.cancel(timer)));
        [inserted, since(before) - inserted]
    });
}

fn timers_run(_: &[usize]) {
    run_requests(|count| {
        let deadlines = near_deadlines(count);
        let before = cpu();
        let (mut el, _timers) = timed(&deadlines);
        el.run().expect("the loop runs");
        assert_eq!(*el.state(), count);
        [since(before)]
    });
}

fn rearm(sizes: &[usize]) {
    let base = Instant::now() + HOUR;
    let (mut el, timers) = timed(&vec![base; sizes[0]]);
    run_requests(|count| {
        let before = cpu();
        for step in 0..count {
            let deadline = base + Duration::from_micros(step);
            el.reset_at(timers[step as usize % sizes[0]], deadline);
        }
        el.tick(Some(Duration::ZERO)).expect("the loop runs");
        [since(before)]
    });
}

/// A child that ends starts the next one.
fn children(sizes: &[usize]) {
    fn start(el: &LoopHandle<usize>, left: &mut usize) -> Result<()> {
        if *left > 0 {
            *left -= 1;
            el.spawn_child(command(), |el, left, status| {
                assert!(status?.success());
                start(el, left)
            })?;
        }
        Ok(())
    }
    let mut el = EventLoop::with_state(0).expect("a loop");
    run_children(|count| {
        *el.state_mut() = count;
        (0..sizes[0]).for_each(|_| _ = el.call_soon(start));
        el.run().expect("the loop runs");
    });
}

fn chain(_: &[usize]) {
    fn link(el: &LoopHandle<u64>, left: &mut u64) {
        *left -= 1;
        if *left > 0 {
            el.call_soon(link);
        } else {
            el.stop();
        }
    }
    let mut el = EventLoop::with_state(0u64).expect("a loop");
    run_requests(|count| {
        let before = cpu();
        *el.state_mut() = count;
        el.call_soon(link);
        el.run_forever().expect("the loop runs");
        [since(before)]
    });
}

fn batch(_: &[usize]) {
    let mut el = EventLoop::with_state(0u64).expect("a loop");
    run_requests(|count| {
        let before = cpu();
        for _ in 0..count.div_ceil(BATCH) {
            for number in 0..BATCH {
                el.call_soon(move |_, sum| *sum = sum.wrapping_add(number));
            }
            el.tick(None).expect("the loop runs");
        }
        [since(before)]
    });
}

/// The run ends when the thread drops its remote: nothing else keeps the loop alive.
fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    let mut el = EventLoop::with_state(0u64).expect("a loop");
    let remote = el.remote();
    let thread = traffic.start(move |message| {
        remote.call_soon(move |_, sum| message.receive(sum)).expect("the loop is there");
    });
    el.run().expect("the loop runs");
    assert_eq!(*el.state(), traffic.count);
    thread
}

/// Number of callbacks that have run, and the number after which the loop stops.
struct Seen {
    now: u64,
    wanted: u64,
}

fn dispatch(sizes: &[usize]) {
    let (readers, _writers) = full_pipes(sizes[0]);
    let mut el = EventLoop::with_state(Seen { now: 0, wanted: 0 }).expect("a loop");
    for reader in readers {
        let count = |el: &LoopHandle<Seen>, seen: &mut Seen, _: &mut _| {
            seen.now += 1;
            if seen.now == seen.wanted {
                el.stop();
            }
            Ok(())
        };
        el.add_reader(reader, count).expect("a pipe can be watched");
    }
    run_requests(|count| {
        let before = cpu();
        *el.state_mut() = Seen { now: 0, wanted: count };
        el.run_forever().expect("the loop runs");
        [since_for(before, count, el.state().now)]
    });
}

fn watch_pipes(sizes: &[usize]) {
    let (readers, writers) = pipes(sizes[0]);
    let mut el = EventLoop::with_state(Chain::new(writers)).expect("a loop");
    for (index, reader) in readers.into_iter().enumerate() {
        el.add_reader(reader, move |el, chain, reader| {
            chain.pass_on(index, reader);
            if chain.is_at_end() {
                el.stop();
            }
            Ok(())
        })
        .expect("a pipe can be watched");
    }
    run_requests(|events| {
        let before = cpu();
        el.state().start(sizes[1], events);
        el.run_forever().expect("the loop runs");
        [since(before)]
    });
}

/// A protocol for each fetch. The state of the loop is the list of fetches that have ended.
fn fetches(sizes: &[usize]) {
    let server = server(sizes);
    let mut el = EventLoop::with_state(Vec::new()).expect("a loop");
    run_fetches(|count| {
        for _ in 0..count {
            let fetch = Fetch::start();
            el.connect(server, HOUR, move |el, _, stream| {
                el.attach_with(stream?, Fetching(fetch))?.write(REQUEST);
                Ok::<(), mainspring::Error>(())
            });
        }
        el.run().expect("the loop runs");
        std::mem::take(el.state_mut())
    });
}

struct Fetching(Fetch);

impl Protocol<Vec<Fetch>> for Fetching {
    fn data_received(
        &mut self,
        _: &LoopHandle<Vec<Fetch>>,
        _: &mut Vec<Fetch>,
        _: &Transport,
        data: &[u8],
    ) -> Result<()> {
        self.0.received(data.len());
        Ok(())
    }

    fn connection_lost(
        &mut self,
        _: &LoopHandle<Vec<Fetch>>,
        ended: &mut Vec<Fetch>,
        _: Option<&mainspring::Error>,
    ) -> Result<()> {
        self.0.received(0);
        ended.push(self.0);
        Ok(())
    }
}

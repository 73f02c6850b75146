//! Fairness: a callback, fd, timer or thread that never stops delays others by at most two ticks
//! (docs/contract.md, Q5).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainspring::{EventLoop, LoopHandle, Signal, TimerHandle, TriggerMode};

use crate::support::{loopback, on_every_selector, simulated};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Tick in which each callback was last served. The prepare hook counts the ticks.
#[derive(Debug, Default)]
struct Served {
    tick: u64,
    soon: u64,
    reader: u64,
    signal: u64,
    timer: u64,
}

impl Served {
    fn latest_of_the_first(&self) -> u64 {
        *[self.soon, self.reader, self.signal, self.timer]
            .iter()
            .min()
            .expect("the array has four elements")
    }
}

fn requeue(el: &LoopHandle<Served>, _: &mut Served) {
    el.call_soon(requeue);
}

/// Registers a callback, an fd and a timer that never stop.
fn flood(el: &EventLoop<Served>) -> UnixStream {
    el.call_soon(requeue);
    let (always_readable, peer) = UnixStream::pair().unwrap();
    (&peer).write_all(&[0; 64]).unwrap();
    el.add_reader(always_readable, |_, _, _| Ok(())).unwrap();
    let own = Rc::new(std::cell::Cell::new(None::<TimerHandle>));
    let timer = own.clone();
    let zero = el.add_timer(move |el, _: &mut Served| {
        assert!(el.reset_after(timer.get().unwrap(), Duration::ZERO));
    });
    own.set(Some(zero.unwrap()));
    assert!(el.reset_after(own.get().unwrap(), Duration::ZERO));
    peer
}

#[test]
fn q5_endless_callbacks_delay_others_by_at_most_two_ticks() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Served::default());
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let _greedy = flood(&el);
        el.on_prepare(|_, served| served.tick += 1).unwrap();
        el.add_signal_handler(Signal::USR1, |_, served| served.signal = served.tick).unwrap();
        el.add_reader(stream, |_, served, stream| {
            served.reader = served.tick;
            while stream.read(&mut [0; 8])? > 0 {}
            Ok(())
        })
        .unwrap();
        for _ in 0..100 {
            let begin = el.state().tick;
            peer.write_all(b"x").unwrap();
            Signal::USR1.raise().unwrap();
            el.call_soon(|_, served| served.soon = served.tick);
            el.call_later(Duration::from_secs(1), |_, served| served.timer = served.tick);
            clock.advance(Duration::from_secs(1));
            el.tick(NOW).unwrap();
            el.tick(NOW).unwrap();
            assert!(el.state().latest_of_the_first() > begin, "{:?}", el.state());
        }
    });
}

#[test]
fn q5_two_threads_that_flood_the_inbox_delay_no_callback() {
    on_every_selector(|kind| {
        let clock = mainspring::testing::SimClock::new();
        let builder = EventLoop::builder()
            .selector(loopback::selector(kind))
            .clock(clock.clone())
            .inbox_batch(16);
        let mut el = builder.build_with(Served::default()).unwrap();
        el.on_prepare(|_, served| served.tick += 1).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let remote = el.remote();
        // The first batch is full even if the threads start late.
        (0..1000).for_each(|_| remote.call_soon(|_, _| {}).unwrap());
        let flooders: Vec<_> = (0..2).map(|_| flooder(&el, over.clone())).collect();
        for _ in 0..100 {
            let begin = el.state().tick;
            el.call_soon(|_, served| served.soon = served.tick);
            el.call_later(Duration::from_secs(1), |_, served| served.timer = served.tick);
            clock.advance(Duration::from_secs(1));
            // At most 16 messages from the inbox, and these two callbacks.
            assert!(el.tick(NOW).unwrap() <= 16 + 2);
            assert!(el.state().soon.min(el.state().timer) == begin + 1, "{:?}", el.state());
        }
        over.store(true, Ordering::SeqCst);
        flooders.into_iter().for_each(|flooder| flooder.join().unwrap());
    });
}

fn flooder(el: &EventLoop<Served>, over: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let remote = el.remote();
    std::thread::spawn(move || {
        for _ in 0..100_000 {
            if over.load(Ordering::SeqCst) {
                return;
            }
            remote.call_soon(|_, _| {}).unwrap();
        }
    })
}

#[test]
fn q5_always_ready_fds_are_served_equally() {
    on_every_selector(|kind| {
        let clock = mainspring::testing::SimClock::new();
        let builder =
            EventLoop::builder().selector(loopback::selector(kind)).clock(clock).event_capacity(1);
        let mut el = builder.build_with([0_u32; 3]).unwrap();
        let peers: Vec<UnixStream> = (0..3)
            .map(|i| {
                let (stream, peer) = UnixStream::pair().unwrap();
                (&peer).write_all(b"x").unwrap();
                el.add_reader(stream, move |_, served, _| Ok(served[i] += 1)).unwrap();
                peer
            })
            .collect();
        (0..1500).for_each(|_| assert_eq!(el.tick(NOW).unwrap(), 1));
        let served = *el.state();
        assert_eq!(served.iter().sum::<u32>(), 1500);
        assert!(served.iter().all(|count| (400..=600).contains(count)), "{served:?}");
        drop(peers);
    });
}

#[test]
fn q5_an_idle_hook_runs_only_when_nothing_else_is_ready() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        let hook = el.on_idle(|_, idle| *idle += 1).unwrap();
        el.call_soon(|el, idle| {
            assert_eq!(*idle, 0);
            el.call_soon(|_, _| {});
        });
        for expected in [0, 0, 1, 2] {
            el.tick(None).unwrap();
            assert_eq!(*el.state(), expected);
        }
        assert!(el.cancel(hook));
    });
}

/// An edge that is already in the batch when its callback is replaced belongs to the replacement:
/// the kernel does not report it again.
#[test]
fn q5_a_replacement_gets_an_edge_that_was_already_queued() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let readable = mainspring::Interest::READABLE;
        let watcher =
            el.watch_with_mode(stream, readable, TriggerMode::Edge, |_, _, _| Ok(())).unwrap();
        peer.write_all(b"x").unwrap();
        el.call_soon(move |el, _| {
            let new = el.replace(watcher, |_, seen: &mut Vec<_>, stream| {
                seen.push("new");
                while stream.read(&mut [0; 8])? > 0 {}
                Ok(())
            });
            new.map(drop)
        });
        for _ in 0..3 {
            el.tick(NOW).unwrap();
        }
        assert_eq!(*el.state(), ["new"]);
    });
}

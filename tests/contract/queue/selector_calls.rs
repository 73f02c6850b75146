//! Number of system calls that the loop makes through its selector (docs/contract.md, Q10).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{EventLoop, Interest, SelectorKind};

use crate::support::on_every_selector;
use crate::support::selector::{Calls, counted};

const NOW: Option<Duration> = Some(Duration::ZERO);
const SECOND: Duration = Duration::from_secs(1);

fn simulated(kind: SelectorKind) -> (EventLoop<usize>, Rc<Calls>, SimClock) {
    let (selector, calls) = counted(kind);
    let clock = SimClock::new();
    let builder = EventLoop::builder().selector(selector).clock(clock.clone());
    let el = builder.build_with(0).expect("a loop");
    calls.take();
    (el, calls, clock)
}

#[test]
fn q10_an_idle_loop_waits_once_per_deadline() {
    on_every_selector(|kind| {
        let (mut el, calls, clock) = simulated(kind);
        let (stream, _peer) = UnixStream::pair().unwrap();
        let watcher = el.add_reader(stream, |_, _, _| Ok(())).unwrap();
        el.set_background(watcher);
        calls.take();
        el.call_later(1000 * SECOND, |_, ran| *ran += 1);
        el.run().unwrap();
        assert_eq!((clock.elapsed(), *el.state()), (1000 * SECOND, 1));
        assert_eq!(calls.take(), (1, 0));
        el.call_every(SECOND, |el, ran| {
            *ran += 1;
            if *ran > 100 {
                el.stop();
            }
        })
        .unwrap();
        el.run().unwrap();
        assert_eq!(calls.take(), (100, 0));
    });
}

#[test]
fn q10_a_real_timer_takes_at_most_two_waits() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = EventLoop::builder().selector(selector).build_with(0).unwrap();
        let timers = 300;
        calls.take();
        let delay = Duration::from_micros(900);
        for _ in 0..timers {
            let due = Instant::now() + delay;
            el.call_later(delay, move |_, ran| {
                assert!(Instant::now() >= due);
                *ran += 1;
            });
            el.run().unwrap();
        }
        let (selects, changes) = calls.take();
        assert_eq!((*el.state(), changes), (timers, 0));
        assert!(selects <= 2 * timers, "{selects} calls for {timers} timers");
        println!("{selects} calls for {timers} timers");
    });
}

#[test]
fn q10_arming_and_cancelling_timers_makes_no_call() {
    on_every_selector(|kind| {
        let (mut el, calls, _) = simulated(kind);
        let idle = el.add_timer(|_, _| {}).unwrap();
        for i in 0..1000 {
            let timer = el.call_later(SECOND * i, |_, _| {});
            assert!(el.reset_after(idle, SECOND * (1000 - i)) && el.reset_after(timer, SECOND));
            assert!(el.cancel(timer));
        }
        assert!(el.disarm(idle));
        let soon = el.call_soon(|_, _| {});
        assert!(el.cancel(soon));
        assert_eq!(calls.take(), (0, 0));
        el.tick(NOW).unwrap();
        assert_eq!(calls.take(), (1, 0));
    });
}

#[test]
fn q10_a_steady_connection_changes_no_registration() {
    on_every_selector(|kind| {
        let (mut el, calls, _) = simulated(kind);
        let (stream, mut peer) = UnixStream::pair().unwrap();
        el.add_reader(stream, |_, ran, stream| {
            *ran += 1;
            while stream.read(&mut [0; 8])? > 0 {}
            Ok(())
        })
        .unwrap();
        assert_eq!(calls.take(), (0, 1));
        for _ in 0..100 {
            peer.write_all(b"x").unwrap();
            el.tick(NOW).unwrap();
        }
        assert_eq!((*el.state(), calls.take()), (100, (100, 0)));
    });
}

#[test]
fn q10_a_change_of_interest_is_at_most_one_call() {
    on_every_selector(|kind| {
        let (el, calls, _) = simulated(kind);
        let (stream, _peer) = UnixStream::pair().unwrap();
        let stream = Rc::new(stream);
        let reader = el.add_reader(stream.clone(), |_, _, _| Ok(())).unwrap();
        assert_eq!(calls.take(), (0, 1));
        let writer = el.add_writer(stream, |_, _, _| Ok(())).unwrap();
        assert_eq!(calls.take(), (0, 1));
        el.set_interest(writer, Interest::WRITABLE).unwrap();
        assert_eq!(calls.take(), (0, 0));
        el.set_interest(writer, Interest::empty()).unwrap();
        assert_eq!(calls.take(), (0, 1));
        let replacement = el.replace(reader, |_, _, _| Ok(())).unwrap();
        assert_eq!(calls.take(), (0, 0));
        assert!(el.cancel(writer));
        assert_eq!(calls.take(), (0, 0));
        assert!(el.cancel(replacement));
        assert_eq!(calls.take(), (0, 1));
    });
}

#[test]
fn q10_a_batch_of_any_length_takes_one_wait() {
    on_every_selector(|kind| {
        let (mut el, calls, _) = simulated(kind);
        for _ in 0..1000 {
            el.call_soon(|_, ran| *ran += 1);
        }
        el.run().unwrap();
        assert_eq!((*el.state(), calls.take()), (1000, (1, 0)));
    });
}

//! The limits of the flags, from both sides (docs/contract.md, E7, E8, E9).

use std::future::pending;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{
    EventLoop, FlagKind, Interest, LoopHandle, Recorder, Remote, SelectorKind, yield_now,
};
use rustix::event::PollFlags;

use super::{kinds, ticks};
use crate::support::descriptors::{pair, wait_for};
use crate::support::network::{client, listener};
use crate::support::{on_every_selector, simulated, simulated_builder};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);
const NS: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// Runs callbacks of one place with these durations, while timers of another place are due. Returns
/// the flags.
fn flags(kind: SelectorKind, long: &[Duration], others: usize, usual: Duration) -> Vec<FlagKind> {
    let (builder, clock) = simulated_builder(kind);
    let mut el = builder.record(Recorder::ring(2000)).build().unwrap();
    for _ in 0..others {
        let clock = clock.clone();
        el.call_later(MS, move |_, ()| clock.advance(usual));
    }
    for time in long {
        let (clock, time) = (clock.clone(), *time);
        el.call_soon(move |_, ()| clock.advance(time));
    }
    el.run().unwrap();
    kinds(&el.diagnose())
}

#[test]
fn e7_a_callback_is_long_at_a_limit_and_not_below() {
    on_every_selector(|kind| {
        let long: &[FlagKind] = &[FlagKind::LongCallback];
        // With fewer than 20 others, 100 ms are long, else a comparison decides.
        assert_eq!(flags(kind, &[2 * MS; 3], 19, 20 * US), []);
        assert_eq!(flags(kind, &[2 * MS; 3], 20, 20 * US), long);
        assert_eq!(flags(kind, &[99 * MS], 5, 20 * US), []);
        assert_eq!(flags(kind, &[100 * MS], 5, 20 * US), long);
        // A hundred times as long, once.
        assert_eq!(flags(kind, &[199 * MS], 300, 2 * MS), []);
        assert_eq!(flags(kind, &[200 * MS], 300, 2 * MS), long);
        // Ten times as long, and a millisecond at least.
        assert_eq!(flags(kind, &[1990 * US; 4], 300, 200 * US), []);
        assert_eq!(flags(kind, &[2000 * US; 4], 300, 200 * US), long);
        assert_eq!(flags(kind, &[999 * US; 5], 300, 20 * US), []);
        assert_eq!(flags(kind, &[1000 * US; 5], 300, 20 * US), long);
        assert_eq!(flags(kind, &[2 * MS, 2 * MS, 900 * US, 900 * US], 300, 20 * US), []);
    });
}

#[test]
fn e7_the_longest_callback_is_the_first_flag() {
    on_every_selector(|kind| {
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(100)).build().unwrap();
        for (name, time) in [("b", 150 * MS), ("c", 300 * MS), ("a", 200 * MS)] {
            let clock = clock.clone();
            let callback = el.call_soon(move |_, ()| clock.advance(time));
            el.set_name(callback, name);
        }
        el.run().unwrap();
        let diagnosis = el.diagnose();
        let places = diagnosis.flags().iter().map(|flag| flag.place().unwrap());
        let names: Vec<&str> = places.map(|place| &place["callback ".len()..][..1]).collect();
        assert_eq!(names, ["c", "a", "b"]);
    });
}

/// Queues four callbacks of 2 ms, and 300 timers that are due at this time.
fn queue_four(el: &LoopHandle, clock: &SimClock, due: Duration) {
    for _ in 0..300 {
        el.call_later(due, |_, ()| {});
    }
    let clock = clock.clone();
    el.call_soon(move |el, ()| {
        for _ in 0..4 {
            let clock = clock.clone();
            el.call_soon(move |_, ()| clock.advance(2 * MS));
        }
    });
}

/// A place that waits for itself only is not flagged; it does not hide that another one waits.
#[test]
fn e7_another_place_must_wait() {
    on_every_selector(|kind| {
        for (due, expected) in [(100 * MS, vec![]), (MS, vec![FlagKind::LongCallback])] {
            let (builder, clock) = simulated_builder(kind);
            let mut el = builder.record(Recorder::ring(1000)).build().unwrap();
            queue_four(&el, &clock, due);
            el.run().unwrap();
            assert_eq!(kinds(&el.diagnose()), expected, "{due:?}");
        }
    });
}

#[test]
fn e7_measured_times_are_compared_with_each_other() {
    on_every_selector(|kind| {
        // With at most a hundred calls, the longest one would be compared with itself.
        for (others, expected) in [(300, vec![]), (100, vec![]), (99, vec![FlagKind::LongCallback])]
        {
            let (builder, clock) = simulated_builder(kind);
            let mut el = builder.measure(true).build().unwrap();
            for time in [150].iter().chain(&vec![20; others]) {
                let (clock, time) = (clock.clone(), *time * MS);
                el.call_soon(move |_, ()| clock.advance(time));
            }
            el.run().unwrap();
            assert_eq!(kinds(&el.diagnose()), expected, "{others} others");
        }
    });
}

#[test]
fn e8_a_task_that_finally_waits_is_not_busy() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        assert!(el.diagnose().is_healthy());
        el.spawn(async {
            for _ in 0..1500 {
                yield_now().await;
            }
            pending::<()>().await;
        })
        .detach();
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

/// Sends itself to the loop again, from the loop's own thread.
fn send_again(remote: Remote) {
    let next = remote.clone();
    remote.call_soon(move |_, ()| send_again(next)).unwrap();
}

#[test]
fn e8_what_runs_next_to_messages_is_not_flagged() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        assert!(el.diagnose().is_healthy());
        el.spawn(async {
            loop {
                yield_now().await;
            }
        })
        .detach();
        el.call_every(NS, |_, ()| {}).unwrap();
        send_again(el.remote());
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

/// A loop of one timer, which is armed again by each run after `delay`, with work of `work`.
fn timer_loop(kind: SelectorKind, delay: Duration, work: Duration) -> Vec<FlagKind> {
    fn arm(el: &LoopHandle, clock: SimClock, delay: Duration, work: Duration) {
        el.call_later(delay, move |el, ()| {
            clock.advance(work);
            arm(el, clock, delay, work);
        });
    }
    let (mut el, clock) = simulated(kind, ());
    assert!(el.diagnose().is_healthy());
    arm(&el, clock, delay, work);
    for _ in 0..2000 {
        el.tick(None).unwrap();
    }
    kinds(&el.diagnose())
}

#[test]
fn e8_a_timer_is_busy_at_its_limits_and_not_beyond() {
    on_every_selector(|kind| {
        assert_eq!(timer_loop(kind, Duration::ZERO, 49 * US), [FlagKind::BusyLoop]);
        assert_eq!(timer_loop(kind, Duration::ZERO, 51 * US), [], "it works");
        assert_eq!(timer_loop(kind, MS, Duration::ZERO), [], "it waits");
    });
}

/// A timer that is due in most ticks, but not in all.
#[test]
fn e8_a_timer_that_is_not_due_in_each_tick_is_not_flagged() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        assert!(el.diagnose().is_healthy());
        for tick in 0..2000 {
            if (tick + 10) % 640 > 20 {
                el.call_later(Duration::ZERO, |_, ()| {});
            }
            ticks(&mut el, 1);
        }
        assert_eq!(kinds(&el.diagnose()), []);
    });
}

/// A reader is active in some ticks only: in every second one, or in all but those of the samples.
#[test]
fn e8_a_reader_that_is_paused_in_between_is_not_flagged() {
    on_every_selector(|kind| {
        for is_active in [|tick: u32| tick.is_multiple_of(2), |tick: u32| tick % 64 > 2] {
            let (mut el, _clock) = simulated(kind, ());
            let (ours, mut theirs) = pair();
            let reader = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
            theirs.write_all(b"unread").unwrap();
            ticks(&mut el, 2048); // Calls before the first diagnosis do not count.
            assert!(el.diagnose().is_healthy());
            for tick in 1..2000 {
                let interest = if is_active(tick) { Interest::READABLE } else { Interest::empty() };
                el.set_interest(reader, interest).unwrap();
                ticks(&mut el, 1);
            }
            assert_eq!(kinds(&el.diagnose()), []);
        }
    });
}

#[test]
fn e8_the_busiest_descriptors_are_sampled() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let mut peers = Vec::new();
        for _ in 0..20 {
            let (ours, theirs) = pair();
            el.add_reader(ours, |_, (), _| Ok(())).unwrap();
            peers.push(theirs);
        }
        peers[10].write_all(b"unread").unwrap();
        ticks(&mut el, 10);
        assert!(el.diagnose().is_healthy());
        ticks(&mut el, 2000);
        assert_eq!(kinds(&el.diagnose()), [FlagKind::UndrainedDescriptor]);
    });
}

/// Returns the flags of two calls with a minute between them.
fn twice<S>(el: &EventLoop<S>, clock: &SimClock) -> Vec<FlagKind> {
    let first = kinds(&el.diagnose());
    clock.advance(60 * SECOND);
    [first, kinds(&el.diagnose())].concat()
}

#[test]
fn e9_readers_that_are_not_paused_with_input_are_not_flagged() {
    on_every_selector(|kind| {
        // It has never run.
        let (el, clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        el.watch(ours, Interest::empty(), |_, (), _| Ok(())).unwrap();
        assert_eq!(twice(&el, &clock), []);
        // It is active, but the loop does not run; then it is paused, but no input waits.
        let (mut el, clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let reader = el.add_reader(ours, |_, (), ours| {
            let _ = ours.read(&mut [0; 8])?;
            Ok(())
        });
        let reader = reader.unwrap();
        theirs.write_all(b"x").unwrap();
        ticks(&mut el, 1);
        theirs.write_all(b"x").unwrap();
        assert_eq!(twice(&el, &clock), []);
        ticks(&mut el, 1);
        el.set_interest(reader, Interest::empty()).unwrap();
        assert_eq!(twice(&el, &clock), []);
    });
}

/// A watcher of both directions is a reader.
#[test]
fn e9_a_watcher_that_is_paused_is_found() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let watcher = el.watch(ours, Interest::WRITABLE, |_, (), _| Ok(())).unwrap();
        ticks(&mut el, 1);
        el.set_interest(watcher, Interest::empty()).unwrap();
        theirs.write_all(b"waits").unwrap();
        assert_eq!(twice(&el, &clock), [FlagKind::PausedReader]);
    });
}

#[test]
fn e9_a_connection_that_is_paused_is_found() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (listener, address) = listener();
        let server = el.serve(listener, |_, (), conn, _| Ok(conn.pause_reading())).unwrap();
        let mut client = client(address);
        client.write_all(b"x").unwrap();
        while server.connections() == 0 {
            ticks(&mut el, 1);
        }
        ticks(&mut el, 5);
        client.write_all(b"waits").unwrap();
        assert_eq!(twice(&el, &clock), [FlagKind::PausedReader]);
        drop((server, client));
    });
}

/// Nothing was received before the pause.
#[test]
fn e9_an_endpoint_that_was_paused_at_once_is_found() {
    on_every_selector(|kind| {
        let (el, clock) = simulated(kind, ());
        let (ours, mut theirs) = pair();
        let conn = el.attach(ours, |_, (), _, _| Ok(())).unwrap();
        conn.pause_reading();
        theirs.write_all(b"waits").unwrap();
        assert_eq!(twice(&el, &clock), [FlagKind::PausedReader]);
        conn.resume_reading();

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, same) = (socket.local_addr().unwrap(), socket.try_clone().unwrap());
        let udp = el.attach_datagram(socket, |_, (), _, _| Ok(())).unwrap();
        udp.pause_reading();
        assert_eq!(twice(&el, &clock), [], "no input waits");
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"waits", address).unwrap();
        wait_for(&same, PollFlags::IN);
        assert_eq!(twice(&el, &clock), [FlagKind::PausedReader]);
    });
}

#[test]
fn e9_a_timer_is_a_hint_by_its_longest_delay_and_after_a_second() {
    on_every_selector(|kind| {
        let (el, clock) = simulated(kind, ());
        let flush = el.add_timer(|_, ()| {}).unwrap();
        el.reset_after(flush, MS);
        assert_eq!(kinds(&el.diagnose()), []);
        clock.advance(999 * MS);
        el.reset_after(flush, MS);
        assert_eq!(kinds(&el.diagnose()), [], "not for a second");
        clock.advance(MS);
        el.reset_after(flush, MS);
        assert_eq!(kinds(&el.diagnose()), [FlagKind::UnreachedTimer]);
        let (el, clock) = simulated(kind, ());
        let flush = el.add_timer(|_, ()| {}).unwrap();
        el.reset_after(flush, SECOND);
        assert_eq!(kinds(&el.diagnose()), []);
        clock.advance(99 * SECOND);
        el.reset_after(flush, MS);
        assert_eq!(kinds(&el.diagnose()), [], "not for a hundred times its longest delay");
    });
}

#[test]
fn e9_a_place_grows_by_a_hundred() {
    on_every_selector(|kind| {
        for (last, expected) in [(24, vec![]), (25, vec![FlagKind::GrowingPlace])] {
            let (el, _clock) = simulated(kind, ());
            for count in [50, 25, 25, 25, last] {
                for _ in 0..count {
                    el.call_later(SECOND, |_, ()| {});
                }
                if count != last || el.count_by_place()[0].count() < 149 {
                    assert_eq!(kinds(&el.diagnose()), []);
                }
            }
            assert_eq!(kinds(&el.diagnose()), expected);
        }
    });
}

//! Turns by kind (docs/contract.md, N5).

use std::collections::HashMap;
use std::io::Write;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use mainspring::{EventLoop, LoopHandle, Metrics, Recorder, Signal, TurnKind, sleep, yield_now};

use crate::support::descriptors::{pair, readable};
use crate::support::{on_every_selector, simulated, simulated_builder};

const MS: Duration = Duration::from_millis(1);

const KINDS: [TurnKind; 8] = [
    TurnKind::Soon,
    TurnKind::Timer,
    TurnKind::Watcher,
    TurnKind::Stream,
    TurnKind::Signal,
    TurnKind::Child,
    TurnKind::Hook,
    TurnKind::Task,
];

/// Number of calls by kind, as the callbacks have counted them.
type Counts = HashMap<TurnKind, u64>;

fn ran(counts: &mut Counts, kind: TurnKind) {
    *counts.entry(kind).or_default() += 1;
}

fn counted(metrics: &Metrics) -> Counts {
    let all = KINDS.map(|kind| (kind, metrics.turns(kind)));
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn add_closures(el: &LoopHandle<Counts>) {
    el.call_soon(|el, counts| {
        ran(counts, TurnKind::Soon);
        el.call_soon(|_, counts| ran(counts, TurnKind::Soon));
    });
    let cancelled = el.call_soon(|_, counts| ran(counts, TurnKind::Soon));
    el.cancel(cancelled);
    el.remote().call_soon(|_, counts| ran(counts, TurnKind::Soon)).unwrap();
}

fn add_timers(el: &LoopHandle<Counts>) {
    let timer = |_: &LoopHandle<Counts>, counts: &mut Counts| ran(counts, TurnKind::Timer);
    el.call_later(MS, timer);
    el.call_later_in_boot_time(2 * MS, timer).unwrap();
    el.call_at_wall_time(el.wall_time() + MS, timer).unwrap();
    let next = |now: SystemTime| Some(now + MS);
    el.call_on_wall_schedule(next, |el, counts| {
        ran(counts, TurnKind::Timer);
        el.cancel(el.current().unwrap());
    })
    .unwrap();
    el.call_every(MS, |el, counts| {
        ran(counts, TurnKind::Timer);
        if counts[&TurnKind::Timer] >= 6 {
            el.cancel(el.current().unwrap());
        }
    })
    .unwrap();
    let cancelled = el.call_later(MS, timer);
    el.cancel(cancelled);
}

fn add_events(el: &LoopHandle<Counts>) {
    let (ours, theirs) = readable();
    el.add_reader(ours, move |el, counts, _| {
        let _open = &theirs;
        ran(counts, TurnKind::Watcher);
        el.cancel(el.current().unwrap());
        Ok(())
    })
    .unwrap();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    el.attach(ours, move |_, counts, conn, _| {
        let _open = &theirs;
        ran(counts, TurnKind::Stream);
        conn.pause_reading();
        Ok(())
    })
    .unwrap();
    let handler =
        el.add_signal_handler(Signal::USR2, |_, counts| ran(counts, TurnKind::Signal)).unwrap();
    el.set_background(handler);
    Signal::USR2.raise().unwrap();
    el.on_check(|_, counts| ran(counts, TurnKind::Hook)).unwrap();
    el.on_prepare(|_, counts| ran(counts, TurnKind::Hook)).unwrap();
}

/// Runs a loop with turns of each kind. Returns what the callbacks have counted, and what `metrics`
/// has.
fn run(el: &mut EventLoop<Counts>) -> (Counts, Metrics) {
    add_closures(el);
    add_timers(el);
    add_events(el);
    el.spawn(async {
        yield_now().await;
        sleep(5 * MS).await;
    })
    .detach();
    el.run().unwrap();
    let mut expected = el.state().clone();
    expected.insert(TurnKind::Task, 3);
    ran(&mut expected, TurnKind::Timer); // The schedule is read once before it is due.
    (expected, el.metrics())
}

#[test]
fn n5_each_turn_is_counted_by_its_kind() {
    on_every_selector(|kind| {
        let mut el = simulated_builder(kind).0.build_with(Counts::new()).unwrap();
        let (expected, metrics) = run(&mut el);
        assert_eq!(counted(&metrics), expected);
        assert_eq!(metrics.calls(), expected.values().sum::<u64>());
        assert_eq!(expected.len(), 7, "all kinds but children: {expected:?}");
        assert_eq!((metrics.turns(TurnKind::Loop), metrics.turns(TurnKind::Sleep)), (0, 0));
    });
}

#[test]
fn n5_a_tape_has_the_same_turns() {
    on_every_selector(|kind| {
        let recorder = Recorder::ring(256);
        let mut el = simulated_builder(kind).0.record(recorder).build_with(Counts::new()).unwrap();
        let (expected, metrics) = run(&mut el);
        let mut on_tape = Counts::new();
        let tape = el.tape().unwrap();
        let turns = tape.turns().iter().filter(|turn| turn.kind.is_callback());
        turns.for_each(|turn| ran(&mut on_tape, turn.kind));
        assert_eq!(on_tape, expected);
        assert_eq!(counted(&metrics), expected);
    });
}

#[test]
fn n5_the_callback_of_a_child_is_counted() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        el.spawn_child(&mut Command::new("true"), |_, (), status| status.map(drop)).unwrap();
        el.run().unwrap();
        assert_eq!(el.metrics().turns(TurnKind::Child), 1);
    });
}

#[test]
fn n5_polls_of_the_main_future_are_turns_of_a_task() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        el.run_until_complete(async {
            yield_now().await;
            sleep(MS).await;
        })
        .unwrap();
        assert_eq!((el.metrics().turns(TurnKind::Task), el.metrics().calls()), (3, 3));
    });
}

#[test]
fn n5_a_turn_is_counted_before_it_ends() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let metrics = el.metrics();
        let (ask, asked) = mpsc::channel();
        let (reply, answer) = mpsc::channel();
        let reader = thread::spawn(move || {
            asked.recv().unwrap();
            reply.send((metrics.turns(TurnKind::Timer), metrics.turns(TurnKind::Soon))).unwrap();
        });
        el.call_soon(|_, ()| {});
        // The callback returns only after the other thread has read.
        el.call_later(MS, move |_, ()| {
            ask.send(()).unwrap();
            assert_eq!(answer.recv().unwrap(), (1, 1));
        });
        el.run().unwrap();
        reader.join().unwrap();
    });
}

/// A panic ends the tick, and the rest of its batch runs in the next one.
#[test]
fn n5_turns_are_counted_once_after_a_panic() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        el.call_soon(|_, ()| {});
        el.call_soon(|_, ()| panic!("planted"));
        el.call_soon(|_, ()| {});
        let tick = std::panic::AssertUnwindSafe(|| el.tick(Some(Duration::ZERO)));
        assert!(std::panic::catch_unwind(tick).is_err());
        assert_eq!(el.metrics().turns(TurnKind::Soon), 2);
        el.run().unwrap();
        assert_eq!((el.metrics().turns(TurnKind::Soon), el.metrics().ready_peak()), (3, 3));
    });
}

#[test]
fn n8_the_peak_is_that_of_the_deque() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let handles: Vec<_> = (0..7).map(|_| el.call_soon(|_, ()| {})).collect();
        el.cancel(handles[3]);
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!((el.metrics().ready_peak(), el.metrics().calls()), (7, 6));
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        assert_eq!((el.metrics().ready_peak(), el.metrics().calls()), (7, 7));
    });
}

/// A task that is dropped instead of a poll has a turn too.
#[test]
fn n5_the_end_of_a_cancelled_task_is_a_turn() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let waiting = el.spawn(sleep(MS));
        let unpolled = el.spawn(sleep(MS));
        unpolled.cancel("unused");
        let ran = |el: &mut EventLoop| el.tick(Some(Duration::ZERO)).unwrap() as u64;
        let mut all = ran(&mut el);
        assert_eq!((all, el.metrics().turns(TurnKind::Task)), (2, 2));
        waiting.cancel("late");
        all += ran(&mut el);
        assert_eq!((all, el.metrics().turns(TurnKind::Task)), (3, 3));
        drop((waiting, unpolled));
    });
}

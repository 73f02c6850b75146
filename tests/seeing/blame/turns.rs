//! Due times, and what ran before a late turn (docs/contract.md, E1, E2, E3).

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{
    Blame, EventLoop, Interest, Recorder, SelectorKind, Tape, TurnKind, sleep, yield_now,
};

use crate::support::descriptors::pair;
use crate::support::{on_every_selector, simulated_builder};

pub const MS: Duration = Duration::from_millis(1);

/// Returns a loop with simulated time that records 1000 turns, and its clock.
pub fn recorded<S>(kind: SelectorKind, state: S) -> (EventLoop<S>, SimClock) {
    let (builder, clock) = simulated_builder(kind);
    (builder.record(Recorder::ring(1000)).build_with(state).unwrap(), clock)
}

/// Returns a closure that takes this long.
pub fn takes<L, S>(clock: &SimClock, time: Duration) -> impl FnOnce(&L, &mut S) + 'static {
    let clock = clock.clone();
    move |_, _| clock.advance(time)
}

/// Returns true if `time` is `expected`, to the precision of a record.
fn is_about(time: Duration, expected: Duration) -> bool {
    time <= expected && expected - time <= expected / 250_000
}

/// Returns the parts as kind, line and time.
pub fn parts(blame: &Blame) -> Vec<(TurnKind, u32, Duration)> {
    let line = |place: &str| place.rsplit_once(':').map_or(0, |(_, line)| line.parse().unwrap());
    blame.parts().iter().map(|part| (part.kind, line(&part.place), part.time)).collect()
}

#[test]
fn e1_a_timer_is_due_at_its_deadline() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let late = el.call_later(10 * MS, |_, ()| {});
        let on_time = el.call_later(60 * MS, |_, ()| {});
        el.call_later(9 * MS, takes(&clock, 20 * MS));
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let blame = tape.blame(late).unwrap();
        assert_eq!((blame.turn().due, blame.lateness()), (Some(10 * MS), 19 * MS));
        let blame = tape.blame(on_time).unwrap();
        assert_eq!((blame.lateness(), blame.parts().len()), (Duration::ZERO, 0));
    });
}

#[test]
fn e1_a_task_that_sleeps_is_due_at_the_end_of_its_sleep() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        el.spawn(async { sleep(5 * MS).await }).detach();
        el.call_later(MS, takes(&clock, 10 * MS));
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let task = tape.turns().iter().rfind(|turn| turn.kind == TurnKind::Task).unwrap();
        assert_eq!((task.due, task.lateness()), (Some(5 * MS), Some(6 * MS)));
    });
}

/// A deadline belongs to its own task, not to those that other sources have woken before it in the
/// batch.
#[test]
fn e1_deadlines_stay_with_their_turns() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let (ours, mut theirs) = pair();
        el.watch(ours, Interest::READABLE, |el, (), _| {
            el.current().map(|this| el.cancel(this));
            Ok(())
        })
        .unwrap();
        let cancelled = el.call_later(2 * MS, |_, ()| {});
        for time in [3, 4, 5] {
            el.call_later(time * MS, |_, ()| {});
        }
        el.call_soon(move |el, ()| {
            clock.advance(10 * MS);
            theirs.write_all(b"x").unwrap();
            el.call_soon(move |el, ()| _ = el.cancel(cancelled));
        });
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let of = |kind| tape.turns().iter().filter(move |turn| turn.kind == kind);
        let due: Vec<_> = of(TurnKind::Timer).map(|turn| turn.due.unwrap()).collect();
        assert_eq!(due, [3 * MS, 4 * MS, 5 * MS]);
        // The selector returned at once: the event may have come since it was called before.
        assert_eq!(of(TurnKind::Watcher).next().unwrap().due, Some(Duration::ZERO));
    });
}

#[test]
fn e1_a_queued_callback_is_due_at_the_end_of_the_turn_that_queued_it() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, None);
        let slow = takes(&clock, 7 * MS);
        el.call_soon(move |el, state| {
            clock.advance(3 * MS); // Before it is due: not late because of this.
            el.call_soon(slow);
            *state = Some(el.call_soon(|_, _| {}));
        });
        el.run().unwrap();
        let blame = el.tape().unwrap().blame(el.state().unwrap()).unwrap();
        assert_eq!((blame.turn().due, blame.lateness()), (Some(3 * MS), 7 * MS));
    });
}

#[test]
fn e2_parts_are_by_place_longest_first_and_add_up() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let timer = el.call_later(2 * MS, |_, ()| {});
        el.set_name(timer, "beat");
        // The first two milliseconds of this turn are before the deadline.
        el.call_soon(takes(&clock, 5 * MS));
        let (first, line) = (line!() - 1, line!() + 2);
        for _ in 0..2 {
            el.call_soon(takes(&clock, 4 * MS));
        }
        let task = clock.clone();
        el.spawn(async move {
            task.advance(MS);
            yield_now().await;
        })
        .detach();
        el.run().unwrap();
        let blame = el.tape().unwrap().blame(timer).unwrap();
        let (soon, late) = (TurnKind::Soon, 12 * MS);
        let expected =
            [(soon, line, 8 * MS), (soon, first, 3 * MS), (TurnKind::Task, line + 3, MS)];
        assert_eq!((blame.lateness(), parts(&blame)), (late, expected.to_vec()));
        assert_eq!(blame.parts().iter().map(|part| part.time).sum::<Duration>(), late);
        assert_eq!((blame.culprit().unwrap().turns, blame.unexplained()), (2, Duration::ZERO));
        let file = file!();
        let text = format!(
            "timer beat ({file}:{}) ran 12.0ms late: 8.0ms of it callback {file}:{line} (2 turns), \
             3.0ms callback {file}:{first}, 1.0ms task {file}:{}",
            first - 3,
            line + 3
        );
        assert_eq!(blame.to_string(), text);
    });
}

#[test]
fn e2_a_tape_that_begins_too_late_leaves_a_rest() {
    on_every_selector(|kind| {
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(16)).build().unwrap();
        let timer = el.call_later(MS, |_, ()| {});
        for _ in 0..30 {
            el.call_soon(takes(&clock, 10 * MS));
        }
        el.run().unwrap();
        let blame = el.tape().unwrap().blame(timer).unwrap();
        assert!(is_about(blame.lateness(), 299 * MS), "{blame}");
        assert!(blame.unexplained() > 150 * MS, "{blame}");
        assert!(blame.to_string().ends_with("ms before the tape begins"), "{blame}");
    });
}

#[test]
fn e3_a_handle_finds_its_own_turns_although_its_slot_was_used_again() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let mut timers = Vec::new();
        let rounds = || (1..=40).chain((1..=40).rev());
        for round in rounds() {
            timers.push(el.call_later(MS, |_, ()| {}));
            el.call_soon(takes(&clock, MS + round * MS));
            el.run().unwrap();
        }
        let tape = el.tape().unwrap();
        for (round, timer) in rounds().zip(timers) {
            assert!(is_about(tape.blame(timer).unwrap().lateness(), round * MS));
        }
        let other = el.call_later(MS, |_, ()| {});
        assert!(tape.blame(other).is_none(), "it has not run");
        assert!(tape.blame_turn(1_000_000).is_none());
    });
}

#[test]
fn e3_the_latest_of_many_turns_is_blamed() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, 0);
        let interval = el
            .call_every(10 * MS, |el, ticks| {
                *ticks += 1;
                if *ticks == 9 {
                    el.stop();
                }
            })
            .unwrap();
        for (after, time) in [(15, 12), (35, 28), (75, 11)] {
            el.call_later(after * MS, takes(&clock, time * MS));
        }
        el.run().unwrap();
        let tape = el.tape().unwrap();
        assert_eq!(tape.blame(interval).unwrap().lateness(), 23 * MS);
        let late = tape.last(40 * MS).blame(interval).unwrap();
        assert_eq!(late.lateness(), 6 * MS);
    });
}

#[test]
fn e3_a_tape_of_a_file_blames_by_number() {
    on_every_selector(|kind| {
        let path = std::env::temp_dir().join(format!("mainspring-blame-{}", std::process::id()));
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::black_box(&path).turns(64)).build().unwrap();
        let timer = el.call_later(MS, |_, ()| {});
        el.call_soon(takes(&clock, 4 * MS));
        el.run().unwrap();
        let expected = el.tape().unwrap().blame(timer).unwrap();
        drop(el);
        let tape = Tape::open(&path).unwrap();
        let latest = tape.turns().iter().max_by_key(|turn| turn.lateness()).unwrap();
        assert_eq!(tape.blame_turn(latest.number).unwrap(), expected);
        assert_eq!(expected.lateness(), 3 * MS);
        for path in [path.clone(), PathBuf::from(format!("{}.old", path.display()))] {
            drop(fs::remove_file(path));
        }
    });
}

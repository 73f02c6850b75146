//! Parts and handles that are easily confused (docs/contract.md, E2, E3).

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{Cause, Clock, EventLoop, Interest, Recorder, TurnKind, sleep};

use super::turns::{MS, parts, recorded, takes};
use crate::support::descriptors::pair;
use crate::support::{loopback, on_every_selector, simulated_builder};

/// A clock that takes a millisecond for each reading, so the loop's own work takes time, too.
#[derive(Debug)]
struct Ticking(SimClock);

impl Clock for Ticking {
    fn now(&self) -> Instant {
        self.0.advance(MS);
        self.0.now()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        self.0.max_wait(wanted)
    }

    fn on_timeout(&self, wanted: Option<Duration>) {
        self.0.on_timeout(wanted);
    }
}

#[test]
fn e2_a_culprit_is_code_of_the_program() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(loopback::selector(kind));
        let builder = builder.clock(Ticking(SimClock::new())).record(Recorder::ring(64));
        let mut el = builder.build().unwrap();
        let timer = el.call_later(MS, |_, ()| {});
        let soon = el.call_soon(|_, ()| {});
        el.set_name(soon, "short");
        el.run().unwrap();
        let blame = el.tape().unwrap().blame(timer).unwrap();
        assert!(!blame.parts()[0].kind.is_callback(), "{blame}");
        assert!(blame.culprit().unwrap().place.starts_with("short ("), "{blame}");
    });
}

#[test]
fn e2_a_late_turn_is_not_part_of_its_own_lateness() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let timer = el.call_later(MS, takes(&clock, 5 * MS));
        el.call_soon(takes(&clock, 4 * MS));
        el.run().unwrap();
        let blame = el.tape().unwrap().blame(timer).unwrap();
        assert_eq!((blame.lateness(), blame.parts().len()), (3 * MS, 1));
        assert_eq!((blame.parts()[0].kind, blame.parts()[0].time), (TurnKind::Soon, 3 * MS));
    });
}

#[test]
fn e2_a_displayed_blame_names_five_parts_in_the_order_of_places() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let timer = el.call_later(Duration::ZERO, |_, ()| {});
        let first = line!() + 1;
        el.call_soon(takes(&clock, MS));
        el.call_soon(takes(&clock, MS));
        el.call_soon(takes(&clock, MS));
        el.call_soon(takes(&clock, MS));
        el.call_soon(takes(&clock, MS));
        el.call_soon(takes(&clock, MS));
        el.call_soon(takes(&clock, MS));
        el.tick(Some(Duration::ZERO)).unwrap();
        let blame = el.tape().unwrap().blame(timer).unwrap();
        let expected: Vec<_> = (first..first + 7).map(|line| (TurnKind::Soon, line, MS)).collect();
        assert_eq!(parts(&blame), expected);
        let text = blame.to_string();
        assert!(text.ends_with(&format!(":{}, and 2 more", first + 4)), "{text}");
    });
}

#[test]
fn e2_a_blame_of_five_parts_has_no_more() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let timer = el.call_later(Duration::ZERO, |_, ()| {});
        for name in ["a", "b", "c", "d", "e"] {
            let part = el.call_soon(takes(&clock, MS));
            el.set_name(part, name);
        }
        el.tick(Some(Duration::ZERO)).unwrap();
        let blame = el.tape().unwrap().blame(timer).unwrap();
        assert_eq!(blame.parts().len(), 5);
        let text = blame.to_string();
        assert!(text.contains(", 1.0ms callback e (") && text.ends_with(')'), "{text}");
    });
}

#[test]
fn e2_the_lateness_behind_a_turn_is_exact() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        el.call_soon(move |el, ()| {
            el.call_soon(takes(&clock, 4 * MS));
            let late = el.call_soon(|_, ()| {});
            el.set_name(late, "late");
        });
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let late = tape.turns().iter().find(|turn| turn.place.starts_with("late (")).unwrap();
        let text = tape.blame_turn(late.number).unwrap().to_string();
        assert!(text.contains(" ran 4.0ms late: 4.0ms of it callback "), "{text}");
    });
}

/// The timer was due before the 15 turns that the tape has.
#[test]
fn e2_time_before_the_tape_is_the_last_part() {
    on_every_selector(|kind| {
        let (builder, clock) = simulated_builder(kind);
        let mut el = builder.record(Recorder::ring(16)).build().unwrap();
        let timer = el.call_later(MS, |_, ()| {});
        for _ in 0..20 {
            el.call_soon(takes(&clock, MS));
        }
        el.tick(Some(Duration::ZERO)).unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        let text = el.tape().unwrap().blame(timer).unwrap().to_string();
        let before = text.strip_suffix(" before the tape begins").expect(&text);
        let (others, time) = before.rsplit_once(", ").expect(before);
        assert!(others.contains(": ") && time.ends_with("ms"), "{text}");
    });
}

#[test]
fn e2_kinds_of_one_line_are_different_parts() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let (soon, timer) = (takes(&clock, 3 * MS), takes(&clock, 2 * MS));
        _ = (el.call_later(Duration::ZERO, timer), el.call_soon(soon));
        let late = el.call_later(Duration::ZERO, |_, ()| {});
        el.run().unwrap();
        let blame = el.tape().unwrap().blame(late).unwrap();
        let line = line!() - 4;
        assert_eq!(
            parts(&blame),
            [(TurnKind::Soon, line, 3 * MS), (TurnKind::Timer, line, 2 * MS)]
        );
    });
}

/// The selector has returned at once, so the event may be younger.
#[test]
fn e2_the_lateness_of_an_event_is_a_limit() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let (ours, mut theirs) = pair();
        let watcher = el.watch(ours, Interest::READABLE, |el, (), _| {
            el.current().map(|this| el.cancel(this));
            Ok(())
        });
        el.call_soon(move |_, ()| {
            clock.advance(10 * MS);
            theirs.write_all(b"x").unwrap();
        });
        el.run().unwrap();
        let text = el.tape().unwrap().blame(watcher.unwrap()).unwrap().to_string();
        assert!(text.contains(" ran at most 10.0ms late: 10.0ms of it callback "), "{text}");
    });
}

#[test]
fn e3_a_task_and_a_timer_of_one_slot_are_told_apart() {
    on_every_selector(|kind| {
        for (of_tasks, of_timers) in [(1, 2), (2, 1)] {
            let (mut el, clock) = recorded(kind, ());
            let timers: Vec<_> =
                (0..4).map(|_| el.call_later(of_timers * MS, |_, ()| {})).collect();
            let tasks: Vec<_> = (0..4).map(|_| el.spawn(sleep(of_tasks * MS))).collect();
            el.call_soon(takes(&clock, 10 * MS));
            el.run().unwrap();
            let tape = el.tape().unwrap();
            for timer in timers {
                assert_eq!(tape.blame(timer).unwrap().turn().kind, TurnKind::Timer);
            }
            for task in tasks {
                assert_eq!(tape.blame(task.handle()).unwrap().turn().kind, TurnKind::Task);
            }
        }
    });
}

#[test]
fn e3_a_message_is_not_taken_for_the_first_closure() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let remote = el.remote();
        let closure = el.call_soon(move |_, ()| {
            thread::spawn(move || remote.call_soon(|_, ()| {}).unwrap()).join().unwrap();
            clock.advance(10 * MS);
        });
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let message = tape.turns().iter().find(|turn| turn.cause == Cause::Thread).unwrap();
        assert_eq!(message.lateness(), Some(10 * MS));
        // The closure was queued before the run, and so its due time is not on the tape.
        assert!(tape.blame(closure).is_none());
    });
}

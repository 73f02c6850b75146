//! The life of a callback: of `call_soon`, and of timers (docs/contract.md, G6).

use mainspring::testing::SimClock;
use mainspring::{EventLoop, Handle, LoopHandle, SelectorKind, TimerHandle};

use super::figure::Anchor::{End, Middle, Start};
use super::states::{Drawing, EACH, Edge, GONE, START, Seen, state_of};
use super::{files, ms, recorded};
use crate::support::on_every_selector;

const DRAWING: Drawing = Drawing {
    title: "The life of a callback",
    states: &[
        ("waiting", (154.0, 92.0)),
        ("paused", (294.0, 92.0)),
        ("pending", (154.0, 176.0)),
        ("running", (154.0, 260.0)),
        (GONE, (154.0, 344.0)),
    ],
    edges: &[
        Edge {
            change: (START, "call_later, call_every", "waiting"),
            points: &[(154.0, 30.0), (154.0, 77.0)],
            label: ((154.0, 24.0), Middle),
        },
        Edge {
            change: (START, "add_timer", "paused"),
            points: &[(294.0, 30.0), (294.0, 77.0)],
            label: ((294.0, 24.0), Middle),
        },
        Edge {
            change: (START, "call_soon", "pending"),
            points: &[(230.0, 176.0), (196.0, 176.0)],
            label: ((234.0, 180.0), Start),
        },
        Edge {
            change: ("waiting", "disarm", "paused"),
            points: &[(196.0, 84.0), (252.0, 84.0)],
            label: ((224.0, 79.0), Middle),
        },
        Edge {
            change: ("paused", "reset_after", "waiting"),
            points: &[(252.0, 100.0), (196.0, 100.0)],
            label: ((226.0, 119.0), Middle),
        },
        Edge {
            change: ("waiting", "deadline", "pending"),
            points: &[(154.0, 107.0), (154.0, 161.0)],
            label: ((162.0, 138.0), Start),
        },
        Edge {
            change: ("pending", "its turn", "running"),
            points: &[(154.0, 191.0), (154.0, 245.0)],
            label: ((162.0, 222.0), Start),
        },
        Edge {
            change: ("running", "call_every returns", "waiting"),
            points: &[(112.0, 260.0), (24.0, 260.0), (24.0, 92.0), (112.0, 92.0)],
            label: ((29.0, 222.0), Start),
        },
        Edge {
            change: ("running", "add_timer returns", "paused"),
            points: &[(196.0, 260.0), (316.0, 260.0), (316.0, 107.0)],
            label: ((255.0, 254.0), Middle),
        },
        Edge {
            change: ("running", "returns, runs once", GONE),
            points: &[(154.0, 275.0), (154.0, 329.0)],
            label: ((162.0, 312.0), Start),
        },
        Edge {
            change: (EACH, "cancel", GONE),
            points: &[(290.0, 286.0), (290.0, 344.0), (196.0, 344.0)],
            label: ((284.0, 339.0), End),
        },
    ],
    frame: (56.0, 286.0),
    height: 376.0,
};

type State = Vec<Handle>;

#[test]
fn g6_a_callback_has_the_life_of_its_picture() {
    on_every_selector(|kind| {
        let seen = Seen::default();
        once(kind, &seen);
        later(kind, &seen);
        every(kind, &seen);
        armed(kind, &seen);
        let cancelled = DRAWING.edges.iter().map(|edge| edge.change);
        let drawn = cancelled.flat_map(|change| match change {
            (EACH, event, after) => {
                ["waiting", "paused", "pending", "running"].map(|it| (it, event, after)).to_vec()
            }
            change => vec![change],
        });
        seen.assert_drawn(drawn);
        files::compare("life_of_a_callback", &DRAWING.svg());
    });
}

fn tick(el: &mut EventLoop<State>) {
    el.tick(Some(ms(0))).unwrap();
}

/// Adds the turn of the callback that calls this: it runs, and was pending before.
fn its_turn(el: &LoopHandle<State>, seen: &Seen) {
    let this = el.current().expect("a callback runs");
    seen.add("pending", "its turn", state_of(el, this));
}

fn once(kind: SelectorKind, seen: &Seen) {
    let (mut el, _clock) = recorded(kind, State::new());
    let sees = seen.clone();
    let closure = el.call_soon(move |el, _| its_turn(el, &sees));
    seen.add(START, "call_soon", state_of(&el, closure));
    tick(&mut el);
    seen.add("running", "returns, runs once", state_of(&el, closure));
    let closure = el.call_soon(|_, _| {});
    seen.during(&el, closure, "cancel", || assert!(el.cancel(closure)));
}

/// Two timers with one deadline: the first one looks at the second one, which is due.
fn later(kind: SelectorKind, seen: &Seen) {
    let (mut el, clock) = recorded(kind, State::new());
    let sees = seen.clone();
    el.call_later(ms(5), move |el, timers: &mut State| {
        sees.add("waiting", "deadline", state_of(el, timers[0]));
        let cancelled = timers[1];
        sees.during(el, cancelled, "cancel", || assert!(el.cancel(cancelled)));
    });
    let sees = seen.clone();
    let timer = el.call_later(ms(5), move |el, _| its_turn(el, &sees));
    let cancelled = el.call_later(ms(5), |_, _| panic!("it is cancelled"));
    el.state_mut().extend([Handle::from(timer), cancelled.into()]);
    seen.add(START, "call_later, call_every", state_of(&el, timer.into()));
    clock.advance(ms(5));
    tick(&mut el);
    seen.add("running", "returns, runs once", state_of(&el, timer.into()));
}

fn every(kind: SelectorKind, seen: &Seen) {
    let (mut el, clock) = recorded(kind, State::new());
    let sees = seen.clone();
    let interval = el.call_every(ms(5), move |el, _| its_turn(el, &sees)).unwrap();
    seen.add(START, "call_later, call_every", state_of(&el, interval.into()));
    clock.advance(ms(5));
    tick(&mut el);
    seen.add("running", "call_every returns", state_of(&el, interval.into()));
    seen.during(&el, interval, "cancel", || assert!(el.cancel(interval)));
    let sees = seen.clone();
    let cancels_itself = el.call_every(ms(5), move |el, _| {
        let this = el.current().unwrap();
        assert_eq!(state_of(el, this), "running");
        el.cancel(this);
    });
    clock.advance(ms(5));
    tick(&mut el);
    sees.add("running", "cancel", state_of(&el, cancels_itself.unwrap().into()));
}

fn armed(kind: SelectorKind, seen: &Seen) {
    let (mut el, clock) = recorded(kind, State::new());
    let sees = seen.clone();
    let timer = el.add_timer(move |el, _| its_turn(el, &sees)).unwrap();
    seen.add(START, "add_timer", state_of(&el, timer.into()));
    arm(&el, timer, seen);
    seen.during(&el, timer, "disarm", || assert!(el.disarm(timer)));
    arm(&el, timer, seen);
    run_at(&mut el, &clock);
    seen.add("running", "add_timer returns", state_of(&el, timer.into()));
    seen.during(&el, timer, "cancel", || assert!(el.cancel(timer)));
}

fn arm(el: &LoopHandle<State>, timer: TimerHandle, seen: &Seen) {
    seen.during(el, timer, "reset_after", || assert!(el.reset_after(timer, ms(5))));
}

fn run_at(el: &mut EventLoop<State>, clock: &SimClock) {
    clock.advance(ms(5));
    tick(el);
}

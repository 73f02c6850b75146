//! The life of a watcher (docs/contract.md, G6).

use std::io::Write;
use std::os::unix::net::UnixStream;

use mainspring::{Error, EventLoop, Interest, Result, SelectorKind, Watched, Watcher};

use super::figure::Anchor::{End, Middle, Start};
use super::states::{Drawing, EACH, Edge, GONE, START, Seen, state_of};
use super::{files, ms, recorded};
use crate::support::descriptors::pair;
use crate::support::on_every_selector;

const DRAWING: Drawing = Drawing {
    title: "The life of a watcher",
    states: &[
        ("waiting", (130.0, 92.0)),
        ("paused", (290.0, 92.0)),
        ("pending", (130.0, 176.0)),
        ("running", (130.0, 260.0)),
        (GONE, (130.0, 344.0)),
    ],
    edges: &[
        Edge {
            change: (START, "add_reader, watch", "waiting"),
            points: &[(130.0, 30.0), (130.0, 77.0)],
            label: ((130.0, 24.0), Middle),
        },
        Edge {
            change: (START, "watch, no interest", "paused"),
            points: &[(290.0, 30.0), (290.0, 77.0)],
            label: ((290.0, 24.0), Middle),
        },
        Edge {
            change: ("waiting", "pause", "paused"),
            points: &[(172.0, 84.0), (248.0, 84.0)],
            label: ((208.0, 79.0), Middle),
        },
        Edge {
            change: ("paused", "resume", "waiting"),
            points: &[(248.0, 100.0), (172.0, 100.0)],
            label: ((210.0, 113.0), Middle),
        },
        Edge {
            change: ("waiting", "readable", "pending"),
            points: &[(130.0, 107.0), (130.0, 161.0)],
            label: ((138.0, 138.0), Start),
        },
        Edge {
            change: ("pending", "pause", "paused"),
            points: &[(172.0, 176.0), (276.0, 176.0), (276.0, 107.0)],
            label: ((222.0, 170.0), Middle),
        },
        Edge {
            change: ("pending", "its turn", "running"),
            points: &[(130.0, 191.0), (130.0, 245.0)],
            label: ((138.0, 222.0), Start),
        },
        Edge {
            change: ("running", "returns Ok", "waiting"),
            points: &[(88.0, 260.0), (30.0, 260.0), (30.0, 92.0), (88.0, 92.0)],
            label: ((14.0, 277.0), Start),
        },
        Edge {
            change: ("running", "pause, returns Ok", "paused"),
            points: &[(172.0, 260.0), (316.0, 260.0), (316.0, 107.0)],
            label: ((244.0, 254.0), Middle),
        },
        Edge {
            change: ("running", "returns an error", GONE),
            points: &[(130.0, 275.0), (130.0, 329.0)],
            label: ((138.0, 312.0), Start),
        },
        Edge {
            change: (EACH, "cancel", GONE),
            points: &[(290.0, 286.0), (290.0, 344.0), (172.0, 344.0)],
            label: ((284.0, 339.0), End),
        },
    ],
    frame: (56.0, 286.0),
    height: 376.0,
};

/// An action of the callback in its turn.
#[derive(Debug, Clone, Copy)]
enum Act {
    Return,
    Pause,
    Fail,
    Cancel,
}

struct Run {
    el: EventLoop<Vec<Act>>,
    watcher: Watcher<UnixStream>,
    _peer: UnixStream,
}

/// Makes a watcher of a socket that has input.
fn watch(kind: SelectorKind, seen: &Seen, interest: Interest) -> Run {
    let (el, _clock) = recorded(kind, Vec::new());
    el.set_exception_handler(|_, _, _| {});
    let (ours, mut peer) = pair();
    peer.write_all(b"x").unwrap();
    let sees = seen.clone();
    let watcher = el.watch(ours, interest, move |el, acts: &mut Vec<Act>, socket| {
        sees.add("pending", "its turn", state_of(el, el.current().unwrap()));
        act(acts.pop().expect("an act for each turn"), socket)
    });
    Run { el, watcher: watcher.unwrap(), _peer: peer }
}

fn act(act: Act, socket: &mut Watched<UnixStream>) -> Result<()> {
    match act {
        Act::Return => Ok(()),
        Act::Pause => socket.set_interest(Interest::empty()),
        Act::Fail => Err(Error::other("no input is expected")),
        Act::Cancel => Ok(socket.cancel()),
    }
}

impl Run {
    fn state(&self) -> &'static str {
        state_of(&self.el, self.watcher.into())
    }

    /// Runs a tick in which the callback does `act`.
    fn tick(&mut self, act: Act) {
        self.el.state_mut().push(act);
        self.el.tick(Some(ms(0))).unwrap();
    }
}

#[test]
fn g6_a_watcher_has_the_life_of_its_picture() {
    on_every_selector(|kind| {
        let seen = Seen::default();
        turns(kind, &seen);
        pauses(kind, &seen);
        paused_before_its_turn(kind, &seen);
        cancelled(kind, &seen);
        let drawn = DRAWING.edges.iter().flat_map(|edge| match edge.change {
            (EACH, event, after) => {
                ["waiting", "paused", "pending", "running"].map(|it| (it, event, after)).to_vec()
            }
            change => vec![change],
        });
        seen.assert_drawn(drawn);
        files::compare("life_of_a_watcher", &DRAWING.svg());
    });
}

fn turns(kind: SelectorKind, seen: &Seen) {
    let mut run = watch(kind, seen, Interest::READABLE);
    seen.add(START, "add_reader, watch", run.state());
    // The check hooks run after the descriptors are fed, and before the batch.
    let (sees, watcher) = (seen.clone(), run.watcher);
    run.el
        .on_check(move |el, _| sees.add("waiting", "readable", state_of(el, watcher.into())))
        .unwrap();
    run.tick(Act::Return);
    seen.add("running", "returns Ok", run.state());
    run.tick(Act::Fail);
    seen.add("running", "returns an error", run.state());
}

fn pauses(kind: SelectorKind, seen: &Seen) {
    let mut run = watch(kind, seen, Interest::empty());
    seen.add(START, "watch, no interest", run.state());
    let watcher = run.watcher;
    let set = |el: &EventLoop<_>, event, interest| {
        seen.during(el, watcher, event, || el.set_interest(watcher, interest).unwrap());
    };
    set(&run.el, "resume", Interest::READABLE);
    set(&run.el, "pause", Interest::empty());
    set(&run.el, "resume", Interest::READABLE);
    run.tick(Act::Pause);
    seen.add("running", "pause, returns Ok", run.state());
    seen.during(&run.el, watcher, "cancel", || assert!(run.el.cancel(watcher)));
}

/// Another callback pauses it after its event was fed: it does not run.
fn paused_before_its_turn(kind: SelectorKind, seen: &Seen) {
    let run = watch(kind, seen, Interest::READABLE);
    let (mut el, watcher) = (run.el, run.watcher);
    let sees = seen.clone();
    el.on_check(move |el, _| sees.add("waiting", "readable", state_of(el, watcher.into())))
        .unwrap();
    let sees = seen.clone();
    el.call_soon(move |el, _| {
        el.set_interest(watcher, Interest::empty()).unwrap();
        sees.add("pending", "pause", state_of(el, watcher.into()));
    });
    el.tick(Some(ms(0))).unwrap(); // Without an act: a turn would panic.
}

fn cancelled(kind: SelectorKind, seen: &Seen) {
    let run = watch(kind, seen, Interest::READABLE);
    let (el, watcher) = (run.el, run.watcher);
    seen.during(&el, watcher, "cancel", || assert!(el.cancel(watcher)));
    let run = watch(kind, seen, Interest::READABLE);
    let (mut el, watcher, sees) = (run.el, run.watcher, seen.clone());
    el.on_check(move |el, _| sees.during(el, watcher, "cancel", || assert!(el.cancel(watcher))))
        .unwrap();
    el.tick(Some(ms(0))).unwrap();
    let mut run = watch(kind, seen, Interest::READABLE);
    run.tick(Act::Cancel);
    seen.add("running", "cancel", run.state());
}

//! The task state machine (docs/contract.md, G6).

use std::future::pending;

use mainspring::{
    EventLoop, JoinError, LoopHandle, SelectorKind, Task, TaskState, promise, yield_now,
};

use super::figure::Anchor::{End, Middle, Start};
use super::states::{Drawing, EACH, Edge, START, Seen, state_of};
use super::{files, ms, recorded};
use crate::support::on_every_selector;

const DRAWING: Drawing = Drawing {
    title: "The life of a task",
    states: &[
        ("pending", (106.0, 92.0)),
        ("running", (106.0, 190.0)),
        ("waiting", (286.0, 190.0)),
        ("finished", (66.0, 296.0)),
        ("panicked", (176.0, 296.0)),
        ("cancelled", (286.0, 296.0)),
    ],
    edges: &[
        Edge {
            change: (START, "spawn", "pending"),
            points: &[(106.0, 30.0), (106.0, 77.0)],
            label: ((106.0, 24.0), Middle),
        },
        Edge {
            change: ("pending", "its turn", "running"),
            points: &[(92.0, 107.0), (92.0, 175.0)],
            label: ((86.0, 144.0), End),
        },
        Edge {
            change: ("running", "yield_now", "pending"),
            points: &[(120.0, 175.0), (120.0, 107.0)],
            label: ((126.0, 144.0), Start),
        },
        Edge {
            change: ("running", ".await waits", "waiting"),
            points: &[(148.0, 190.0), (244.0, 190.0)],
            label: ((193.0, 185.0), Middle),
        },
        Edge {
            change: ("waiting", "event", "pending"),
            points: &[(286.0, 175.0), (286.0, 92.0), (148.0, 92.0)],
            label: ((217.0, 87.0), Middle),
        },
        Edge {
            change: ("running", "returns", "finished"),
            points: &[(76.0, 205.0), (76.0, 281.0)],
            label: ((70.0, 256.0), End),
        },
        Edge {
            change: ("running", "panics", "panicked"),
            points: &[(136.0, 205.0), (136.0, 262.0), (176.0, 262.0), (176.0, 281.0)],
            label: ((142.0, 256.0), Start),
        },
        Edge {
            change: (EACH, "cancel", "cancelled"),
            points: &[(286.0, 226.0), (286.0, 281.0)],
            label: ((280.0, 256.0), End),
        },
    ],
    frame: (56.0, 226.0),
    height: 328.0,
};

#[test]
fn g6_a_task_has_the_states_of_the_guide() {
    on_every_selector(|kind| {
        let seen = Seen::default();
        waits(kind, &seen);
        yields_and_panics(kind, &seen);
        cancelled(kind, &seen);
        let drawn = DRAWING.edges.iter().flat_map(|edge| match edge.change {
            (EACH, event, after) => {
                ["pending", "running", "waiting"].map(|it| (it, event, after)).to_vec()
            }
            change => vec![change],
        });
        seen.assert_drawn(drawn);
        files::compare("life_of_a_task", &DRAWING.svg());
    });
}

fn tick(el: &mut EventLoop<()>) {
    el.tick(Some(ms(0))).unwrap();
}

/// Returns the state by a snapshot. A task that is done also has an ending.
fn state<T: 'static>(el: &LoopHandle<()>, task: &Task<T>) -> &'static str {
    match (state_of(el, task.handle()), task.state()) {
        ("done", TaskState::Done(ending)) => ["finished", "panicked", "cancelled"]
            .into_iter()
            .find(|name| *name == ending.to_string())
            .expect("an ending of the picture"),
        (state, _) => state,
    }
}

/// Adds the turn of the task that calls this.
fn its_turn(el: &LoopHandle<()>, seen: &Seen) {
    seen.add("pending", "its turn", state_of(el, el.current().expect("a task runs")));
}

/// Done with a result, and with an error, which is a result as well.
fn waits(kind: SelectorKind, seen: &Seen) {
    for ending in [Ok(42), Err("an error")] {
        let (mut el, _clock) = recorded(kind, ());
        let (promise, promised) = promise::<()>();
        let (handle, sees) = (el.handle().clone(), seen.clone());
        let task = el.spawn(async move {
            its_turn(&handle, &sees);
            promised.await.unwrap();
            its_turn(&handle, &sees);
            ending
        });
        seen.add(START, "spawn", state(&el, &task));
        tick(&mut el);
        seen.add("running", ".await waits", state(&el, &task));
        seen.during(&el, task.handle(), "event", || promise.set_result(()));
        tick(&mut el);
        seen.add("running", "returns", state(&el, &task));
        assert_eq!(el.run_until_complete(task).unwrap().unwrap(), ending);
    }
}

fn yields_and_panics(kind: SelectorKind, seen: &Seen) {
    let (mut el, _clock) = recorded(kind, ());
    let task: Task<()> = el.spawn(async {
        yield_now().await;
        panic!("the task panics");
    });
    tick(&mut el);
    seen.add("running", "yield_now", state(&el, &task));
    tick(&mut el);
    seen.add("running", "panics", state(&el, &task));
    assert!(matches!(el.run_until_complete(task).unwrap(), Err(JoinError::Panicked(_))));
}

/// The future is dropped in the next turn: at its await, or before it ran at all.
fn cancelled(kind: SelectorKind, seen: &Seen) {
    let (mut el, _clock) = recorded(kind, ());
    let waits = el.spawn(pending::<()>());
    tick(&mut el);
    let new = el.spawn(async { panic!("it is cancelled before it runs") });
    assert_eq!((state(&el, &waits), state(&el, &new)), ("waiting", "pending"));
    assert!(waits.cancel("enough") && new.cancel("enough"));
    tick(&mut el);
    seen.add("waiting", "cancel", state(&el, &waits));
    seen.add("pending", "cancel", state(&el, &new));
    let handle = el.handle().clone();
    let itself = el.spawn(async move {
        let this = handle.current().unwrap();
        assert_eq!(state_of(&handle, this), "running");
        assert!(handle.cancel(this));
        pending::<()>().await;
    });
    tick(&mut el);
    tick(&mut el);
    seen.add("running", "cancel", state(&el, &itself));
    for task in [waits, itself] {
        assert!(matches!(el.run_until_complete(task).unwrap(), Err(JoinError::Cancelled(_))));
    }
}

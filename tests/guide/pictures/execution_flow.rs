//! The execution flow, steps 1 to 7 (docs/contract.md, G1).

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use mainspring::snapshot::{EntryKind, EntryState, Snapshot, Wait};
use mainspring::{Interest, Io, SelectorKind, promise};

use super::rows::Row;
use super::{Step, files, ms, recorded, rows, steps};
use crate::support::descriptors::pair;
use crate::support::on_every_selector;

/// Runs task A, which waits for a descriptor, and task B, which waits for a result of A. Returns
/// the steps, the snapshot that B takes in its first turn, and the one at the end.
fn run(kind: SelectorKind) -> (Vec<Step>, Snapshot, Snapshot) {
    let (mut el, clock) = recorded(kind, ());
    let (ours, mut theirs) = pair();
    let (promise, promised) = promise();
    let time = clock.clone();
    let a = el.spawn(async move {
        let io = Io::new(ours).unwrap();
        time.advance(ms(2));
        io.readable().await.unwrap();
        time.advance(ms(1));
        promise.set_result(42);
    });
    a.named("task A").detach();
    let (time, handle) = (clock.clone(), el.handle().clone());
    let seen = Rc::new(RefCell::new(None));
    let sees = seen.clone();
    let b = el.spawn(async move {
        time.advance(ms(3));
        *sees.borrow_mut() = Some(handle.snapshot());
        assert!(promised.await.is_ok_and(|answer| answer == 42));
        time.advance(ms(2));
    });
    b.named("task B").detach();
    let time = clock.clone();
    let timer = el.call_later(ms(10), move |_, ()| {
        time.advance(ms(1));
        theirs.write_all(b"x").unwrap();
    });
    el.set_name(timer, "timer");
    el.run().unwrap();
    let during = seen.take().expect("B ran");
    (steps(&el.tape().unwrap(), clock.elapsed()), during, el.snapshot())
}

fn step(name: &str, at: u64, lasted: u64, cause: &str) -> Step {
    let (name, cause) = (name.to_owned(), cause.to_owned());
    Step { name, at: ms(at), lasted: ms(lasted), cause }
}

#[test]
fn g1_the_execution_flow_has_the_steps_of_the_guide() {
    on_every_selector(|kind| {
        let (steps, during, after) = run(kind);
        let expected = [
            // 1: both tasks are ready, so the selector does not sleep: no record of a sleep
            step("task A", 0, 2, "loop"), // 2: it runs until it awaits
            step("task B", 2, 3, "loop"), // 4: the next ready task, without a call of the selector
            step("sleep", 5, 5, "loop"),  // 5: nothing is ready
            step("timer", 10, 1, "timer"),
            step("sleep", 11, 0, "loop"), // 5: the descriptor is ready
            step("task A", 11, 1, "descriptor"),
            step("task B", 12, 2, "task A"), // 6: the result of A wakes B
        ];
        assert_eq!(steps, expected);
        // 3: while B runs, A waits, and its descriptor is registered.
        let named = |name| during.entries().iter().find(move |it| it.name() == Some(name)).unwrap();
        let (a, b) = (named("task A"), named("task B"));
        assert_eq!((a.state(), b.state()), (EntryState::Waiting, EntryState::Running));
        let [Wait::Descriptor { fd, interest: Interest::READABLE }] = a.waits() else {
            panic!("{during}");
        };
        let is_registered = |it: &&mainspring::snapshot::Entry| it.kind() == EntryKind::Descriptor;
        let descriptor = during.entries().iter().find(is_registered).unwrap();
        assert_eq!((descriptor.fd(), descriptor.interest()), (Some(*fd), Some(Interest::READABLE)));
        // 7: no task is left, so `run` has returned.
        assert!(after.entries().is_empty(), "{after}");
        files::compare("execution_flow", &draw(&steps));
    });
}

fn draw(steps: &[Step]) -> String {
    let notes = [
        ("2", "until its first .await"),
        ("4", "at once, without a system call"),
        ("5", "until the next deadline"),
        ("", "writes to the socket of A"),
        ("5", "the socket of A is readable"),
        ("", "cause: the descriptor"),
        ("6", "cause: the result of task A"),
    ];
    assert_eq!(steps.len(), notes.len());
    let mut drawn: Vec<Row> = steps
        .iter()
        .zip(notes)
        .map(|(step, (number, note))| Row::of_step(number, step, note))
        .collect();
    let at =
        |name: &str| steps.iter().find(|step| step.name == name).map_or(Duration::ZERO, Step::end);
    let waits = "the selector watches its socket";
    drawn.insert(0, Row::untaped("1", ms(0), "select", "A and B are ready: no sleep"));
    drawn.insert(2, Row::untaped("3", at("task A"), "task A waits", waits));
    let end = steps.last().map_or(Duration::ZERO, Step::end);
    drawn.push(Row::untaped("7", end, "run returns", "no task is left"));
    rows::draw("Execution flow: two tasks and a timer", &["task A", "task B", "timer"], &drawn)
}

//! The architecture: all sources feed one deque (docs/contract.md, G2).
//!
//! A signal belongs to the process, so the test runs in its own.

use std::io::Write;
use std::thread;

use mainspring::{EventLoop, SelectorKind, Signal};

use super::figure::{Anchor, Figure, MARGIN, WIDTH};
use super::{Step, files, ms, recorded, steps};
use crate::support::descriptors::pair;
use crate::support::on_every_selector;
use crate::support::process::alone;

/// Everything that is due in the tick, in the order of turns: name of the turn, and its source.
const DUE: [(&str, &str); 6] = [
    ("closure", "call_soon"),
    ("task", "spawn, wake"),
    ("reader", "watchers"),
    ("signal handler", "signals"),
    ("message", "inbox"),
    ("timer", "timers"),
];

/// Makes everything due, in another order than that of the turns.
fn make_due(el: &EventLoop<()>) {
    let timer = el.call_later(ms(0), |_, ()| {});
    el.set_name(timer, "timer");
    let remote = el.remote();
    thread::spawn(move || remote.call_soon(|_, ()| {}).unwrap()).join().unwrap();
    let handler = el.add_signal_handler(Signal::USR2, |_, ()| {}).unwrap();
    el.set_name(handler, "signal handler");
    Signal::USR2.raise().unwrap();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let reader = el.add_reader(ours, |_, (), socket| Ok(socket.cancel())).unwrap();
    el.set_name(reader, "reader");
    let closure = el.call_soon(|_, ()| {});
    el.set_name(closure, "closure");
    el.spawn(async {}).named("task").detach();
}

/// Returns the turns of one tick. A message of another thread has no name, so its cause is it.
fn one_tick(kind: SelectorKind) -> Vec<Step> {
    let (mut el, clock) = recorded(kind, ());
    make_due(&el);
    assert_eq!(el.tick(Some(ms(0))).unwrap(), DUE.len());
    let mut steps = steps(&el.tape().unwrap(), clock.elapsed());
    for step in steps.iter_mut().filter(|step| step.cause == "thread") {
        step.name = "message".to_owned();
    }
    steps
}

#[test]
fn g2_every_source_feeds_one_deque() {
    alone("pictures::architecture::g2_every_source_feeds_one_deque", || {
        on_every_selector(|kind| {
            let steps = one_tick(kind);
            let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            assert_eq!(names, DUE.map(|(name, _)| name));
            files::compare("the_loop", &draw(&names));
        });
    });
}

const ROW: f64 = 36.0;
const TOP: f64 = 98.0;
const BOX: f64 = 28.0;

/// Returns true if the selector reports what this source has.
fn is_of_selector(source: &str) -> bool {
    matches!(source, "watchers" | "signals" | "inbox")
}

/// Draws the loop, with the deque as it was in the tick.
fn draw(deque: &[&str]) -> String {
    let mut figure = Figure::new("The loop: the selector, its sources, the ready deque, the batch");
    figure.describe("1 select: the selector finds ready descriptors, and sleeps only there.");
    figure.describe("2 feed: the sources put what is due into the ready deque, in this order.");
    let (left, right) = (MARGIN + 24.0, WIDTH - MARGIN - 20.0);
    let (source, cell) = (104.0, 136.0);
    let inside = WIDTH - 2.0 * MARGIN;
    let middle = |row: usize| TOP + ROW * row as f64 + BOX / 2.0;
    figure.rect("box", (MARGIN, MARGIN), (inside, 40.0), 4.0);
    figure.text((MARGIN + 10.0, 29.0), Anchor::Start, "", "selector");
    figure.note((MARGIN + 10.0, 43.0), Anchor::Start, "epoll, kqueue, poll or select");
    figure.text((WIDTH - MARGIN - 10.0, 29.0), Anchor::End, "", "1 select");
    figure.note((WIDTH - MARGIN - 10.0, 43.0), Anchor::End, "sleeps only here");
    figure.text((left, TOP - 16.0), Anchor::Start, "", "sources");
    figure.text((right, TOP - 16.0), Anchor::End, "", "ready deque");
    figure.text((left + source + 28.0, TOP - 16.0), Anchor::Middle, "", "2 feed");
    for (row, name) in deque.iter().enumerate() {
        let (y, from) = (TOP + ROW * row as f64, DUE.iter().find(|(due, _)| due == name));
        let from = from.map_or("", |(_, source)| source);
        let by = if is_of_selector(from) { ", reported by the selector" } else { "" };
        figure.describe(&format!("{}: {name}, from {from}{by}.", row + 1));
        figure.rect("box", (left, y), (source, BOX), 4.0);
        figure.text((left + 10.0, y + 18.0), Anchor::Start, "", from);
        figure.arrow(&[(left + source, middle(row)), (right - cell, middle(row))]);
        figure.rect("box", (right - cell, y), (cell, BOX), 0.0);
        figure.note((right - cell + 10.0, y + 18.0), Anchor::Start, &(row + 1).to_string());
        figure.text((right - cell + 26.0, y + 18.0), Anchor::Start, "", name);
        if is_of_selector(from) {
            let x = MARGIN + 8.0;
            figure.arrow(&[(x, MARGIN + 40.0), (x, middle(row)), (left, middle(row))]);
        }
    }
    figure.describe("3 run_batch: callbacks and tasks run. What they queue runs in a later tick.");
    let (end, last) = (TOP + ROW * deque.len() as f64 + 22.0, deque.len() - 1);
    figure.arrow(&[(right - cell / 2.0, middle(last) + BOX / 2.0), (right - cell / 2.0, end)]);
    figure.rect("box", (MARGIN, end), (inside, 40.0), 4.0);
    figure.text((MARGIN + 10.0, end + 17.0), Anchor::Start, "", "callbacks and tasks");
    figure.note((MARGIN + 10.0, end + 31.0), Anchor::Start, "what they queue runs in a later tick");
    figure.text((WIDTH - MARGIN - 26.0, end + 17.0), Anchor::End, "", "3 run_batch");
    let back = WIDTH - MARGIN - 8.0;
    figure.arrow(&[(back, end), (back, middle(0)), (right, middle(0))]);
    figure.svg(end + 40.0 + MARGIN)
}

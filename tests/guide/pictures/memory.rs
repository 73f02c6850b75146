//! Memory: one stack for what runs, and tables for what waits (docs/contract.md, G8).

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::UnixStream;
use mainspring::snapshot::EntryKind;
use mainspring::{EventLoop, LoopHandle, SelectorKind, sleep};

use super::figure::{Anchor, Figure, MARGIN, WIDTH};
use super::files::{self, ROOT};
use super::{ms, recorded};
use crate::support::descriptors::pair;
use crate::support::on_every_selector;

const PAGE: &str = "src/guide/where_memory_lies/bytes.md";
const HOUR: Duration = Duration::from_secs(3600);

/// The tables of a loop: name, what an entry is, and the row of the page with its bytes.
const TABLES: [(&str, &str, &str); 5] = [
    ("ready deque", "keys of what is due", ""),
    ("callbacks", "closures", "a callback of `call_soon`"),
    ("timers", "deadlines", "a timer of `call_later`"),
    ("watchers", "descriptors", "a reader of `add_reader`"),
    ("tasks", "futures", "a task of 8 bytes that waits"),
];

/// Addresses of a variable on the stack, one for each turn of a callback or of a task.
type Addresses = Rc<RefCell<Vec<usize>>>;

/// Adds the address of a variable of this call.
fn note_stack(addresses: &Addresses) {
    let variable = 0_u8;
    addresses.borrow_mut().push(&raw const variable as usize);
}

/// Returns the addresses in a callback and in a task, before and after a thousand tasks and a
/// reader wait, and the kinds of entries in the snapshot.
fn run(kind: SelectorKind) -> ([Vec<usize>; 2], Vec<EntryKind>) {
    let (mut el, _clock) = recorded(kind, ());
    let addresses = [Addresses::default(), Addresses::default()];
    let [of_callback, of_task] = addresses.clone();
    el.call_every(ms(1), move |_, ()| note_stack(&of_callback)).unwrap();
    el.call_later(ms(3), |el, ()| fill(el));
    el.call_later(ms(6), |el, ()| el.stop());
    let task = async move {
        loop {
            sleep(ms(1)).await;
            note_stack(&of_task);
        }
    };
    el.spawn(task).detach();
    el.run_forever().unwrap();
    el.call_soon(|_, ()| {});
    let kinds = el.snapshot().entries().iter().map(|entry| entry.kind()).collect();
    drop(el);
    (addresses.map(|it| Rc::into_inner(it).expect("the loop is dropped").into_inner()), kinds)
}

/// Adds tasks that wait, and a reader.
fn fill(el: &LoopHandle<()>) {
    for _ in 0..1000 {
        el.spawn(sleep(HOUR)).detach();
    }
    let (ours, theirs) = pair();
    el.add_reader(ours, move |_, (), _| {
        let _ = &theirs;
        Ok(())
    })
    .unwrap();
}

#[test]
fn g8_one_stack_serves_all_that_waits() {
    on_every_selector(|kind| {
        let (addresses, kinds) = run(kind);
        for addresses in &addresses {
            assert!(addresses.len() >= 5, "{addresses:?}");
            assert!(addresses.windows(2).all(|two| two[0] == two[1]), "{addresses:?}");
        }
        // The frames of a poll or a call are a few kilobytes. Another stack would be farther away.
        let [of_callback, of_task] = addresses.map(|addresses| addresses[0]);
        assert!(of_callback.abs_diff(of_task) < 16_000, "{of_callback:x}, {of_task:x}");
        for kind in [EntryKind::Closure, EntryKind::Timer, EntryKind::Watcher, EntryKind::Task] {
            assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
        }
    });
    files::compare("memory", &draw());
}

/// All connections read into the same buffer, which is the loop's.
#[test]
fn g8_connections_share_one_read_buffer() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        let addresses = el.run_until_complete(async move {
            let mut addresses = Vec::new();
            for (ours, theirs) in &pairs {
                theirs.write_all(b"hello").await.unwrap();
                let chunk = ours.read_chunk().await.unwrap();
                addresses.push(chunk.as_ptr() as usize);
            }
            addresses
        });
        let addresses = addresses.unwrap();
        assert!(addresses.windows(2).all(|two| two[0] == two[1]), "{addresses:?}");
    });
}

/// Returns the bytes in a row of the page. Another test compares the row with a measurement.
fn bytes(row: &str) -> String {
    let page = fs::read_to_string(Path::new(ROOT).join(PAGE)).unwrap();
    let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {row} | ")));
    row.and_then(|row| row.split(' ').next()).expect("a row of the page").to_owned()
}

const ROW: f64 = 22.0;

fn draw() -> String {
    let mut figure = Figure::new("Where memory lies: a process, its threads, and a loop");
    let (thread, inner) = (MARGIN + 8.0, MARGIN + 16.0);
    let (right, names, end) = (WIDTH - inner, inner + 10.0, WIDTH - inner - 10.0);
    let rows = TABLES.len() as f64 + 3.0;
    let (stack, tables) = (MARGIN + 56.0, MARGIN + 120.0);
    let bottom = tables + 27.0 + ROW * rows;
    let height = bottom + 92.0;
    let width = |left: f64| WIDTH - 2.0 * left;
    figure.rect("rule", (MARGIN, MARGIN), (width(MARGIN), height - 2.0 * MARGIN), 6.0);
    figure.text((thread, MARGIN + 18.0), Anchor::Start, "strong", "process");
    figure.rect("rule", (thread, MARGIN + 28.0), (width(thread), bottom - MARGIN - 20.0), 6.0);
    figure.text((inner, MARGIN + 46.0), Anchor::Start, "strong", "thread");
    figure.rect("box", (inner, stack), (width(inner), 54.0), 4.0);
    figure.text((names, stack + 17.0), Anchor::Start, "", "one stack");
    figure.note((names, stack + 32.0), Anchor::Start, "run, tick, and the callback or the poll");
    figure.note((names, stack + 46.0), Anchor::Start, "that runs now");
    figure.describe("The thread has one stack: run, tick, and the callback or poll that runs now.");
    figure.rect("box", (inner, tables), (width(inner), bottom - tables), 4.0);
    figure.text((names, tables + 17.0), Anchor::Start, "", "EventLoop<S>");
    figure.note((end, tables + 17.0), Anchor::End, "bytes of each");
    let whole = [("state: S", "your data", ""), ("read buffer", "one for all, 64 KiB", "")];
    let events = [("event buffer", "one for all", "")];
    let rows = whole[..1].iter().chain(&TABLES).chain(&whole[1..]).chain(&events);
    for (number, (name, contents, row)) in rows.enumerate() {
        let y = tables + 17.0 + ROW * (number as f64 + 1.0);
        figure.line("rule", &[(names, y - 15.0), (right - 10.0, y - 15.0)]);
        figure.text((names, y), Anchor::Start, "", name);
        figure.note((names + 104.0, y), Anchor::Start, contents);
        let bytes = if row.is_empty() { String::new() } else { bytes(row) };
        if !bytes.is_empty() {
            figure.text((end, y), Anchor::End, "", &bytes);
        }
        let each = if bytes.is_empty() { String::new() } else { format!(", {bytes} bytes each") };
        figure.describe(&format!("EventLoop<S> has {name}: {contents}{each}."));
    }
    draw_threads(&mut figure, bottom, width(inner));
    figure.svg(height)
}

/// Draws the other threads of the process, and the way from them to the loop.
fn draw_threads(figure: &mut Figure, bottom: f64, width: f64) {
    let (left, top) = (MARGIN + 16.0, bottom + 34.0);
    let x = left + 40.0;
    figure.arrow(&[(x, top), (x, bottom)]);
    figure.note((x + 12.0, top - 8.0), Anchor::Start, "Remote: an inbox, the only lock");
    figure.rect("box", (left, top), (width, 32.0), 4.0);
    figure.text((left + 10.0, top + 20.0), Anchor::Start, "", "other threads");
    figure.note((WIDTH - left - 10.0, top + 20.0), Anchor::End, "a stack each");
    figure.describe("Other threads have a stack each. They reach the loop by a Remote.");
    figure.describe("Its inbox is the only part of the loop with a lock.");
}

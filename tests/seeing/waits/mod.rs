//! Lines where tasks wait, and loops that nothing can wake (docs/contract.md, O9 to O14).

mod combined;
mod io_lines;
mod lines;
mod sleeping;
mod stalls;

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use mainspring::snapshot::{Entry, EntryKind, Snapshot};
use mainspring::testing::SimClock;
use mainspring::{BlockingPool, EventLoop, SelectorKind};

use crate::support::simulated_builder;

thread_local! {
    /// The line where the task of the test waits.
    static LINE: Cell<u32> = const { Cell::new(0) };
}

/// Notes that the task waits in the line after this call.
#[track_caller]
fn next_line() {
    LINE.set(Location::caller().line() + 1);
}

/// Checks that a task with this body waits for `call`, in the noted line of the file of the caller.
#[track_caller]
fn check(kind: SelectorKind, call: &str, body: impl Future<Output = ()> + 'static) {
    let file = Location::caller().file();
    let (mut el, _clock) = recording(kind);
    let blocked = block(&mut el);
    el.spawn(body).named("it").detach();
    settle(&mut el);
    let snapshot = el.snapshot();
    let it = named(&snapshot, "it");
    assert_eq!(waits(it), [(call, file, LINE.get())], "{snapshot}");
    assert!(it.waiting_since().is_some_and(|tick| tick <= el.snapshot().tick()), "{snapshot}");
    drop(blocked);
}

/// Returns a loop with simulated time that keeps the lines where tasks wait.
fn recording(kind: SelectorKind) -> (EventLoop, SimClock) {
    let (builder, clock) = simulated_builder(kind);
    let pool = BlockingPool::builder().max_threads(1).build().unwrap();
    (builder.blocking_pool(pool).await_lines(true).build().unwrap(), clock)
}

/// Keeps the only thread of the pool busy until the sender is dropped.
fn block(el: &mut EventLoop) -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let job = el.blocking_pool().submit(move || receiver.recv()).unwrap();
    std::mem::forget(job); // Dropping it would take the job out of the queue.
    sender
}

/// Runs ticks until nothing is due.
fn settle(el: &mut EventLoop) {
    for _ in 0..8 {
        el.tick(Some(Duration::ZERO)).unwrap();
    }
}

/// Returns the task with this name.
#[track_caller]
fn named<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Entry {
    let is_it = |entry: &&Entry| entry.kind() == EntryKind::Task && entry.name() == Some(name);
    snapshot.entries().iter().find(is_it).unwrap_or_else(|| panic!("no task {name} in {snapshot}"))
}

/// Returns the calls for which the task waits, with file and line.
fn waits(entry: &Entry) -> Vec<(&'static str, &'static str, u32)> {
    let found = entry.awaits().iter();
    found.map(|it| (it.call(), it.location().file(), it.location().line())).collect()
}

//! Many short children, while other code waits for its own (docs/contract.md, C1, C2 and X5).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use mainspring::process::Child;
use mainspring::{LoopHandle, spawn};

use crate::children::support::{event_loop, is_reaped, on_every_watch};
use crate::support::process::alone;

/// Children at once.
const AT_ONCE: usize = 200;

/// Returns the number of children: `MAINSPRING_CHILDREN_COUNT`, or a thousand for each watch.
fn count() -> usize {
    let asked = env::var("MAINSPRING_CHILDREN_COUNT").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(300)
}

/// Programs that exit with a code, without a shell: `true` and `false` are the fastest.
fn program(number: usize) -> (Command, i32) {
    match number % 2 {
        0 => (Command::new("/bin/true"), 0),
        _ => (Command::new("/bin/false"), 1),
    }
}

/// Other code of the process that starts children and waits for them, until it is dropped.
struct OtherCode {
    stop: Arc<AtomicBool>,
    waited: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl OtherCode {
    fn start() -> OtherCode {
        let (stop, waited) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stops, counts) = (stop.clone(), waited.clone());
        let thread = thread::spawn(move || {
            while !stops.load(SeqCst) {
                let status = Command::new("/bin/true").status().expect("its own child");
                assert!(status.success());
                counts.fetch_add(1, SeqCst);
            }
        });
        OtherCode { stop, waited, thread: Some(thread) }
    }

    /// Ends it, and returns the number of children that it has waited for.
    fn end(mut self) -> usize {
        self.stop.store(true, SeqCst);
        self.thread.take().unwrap().join().expect("its children had their statuses");
        self.waited.load(SeqCst)
    }
}

struct Storm {
    started: usize,
    total: usize,
    pids: Vec<u32>,
    /// Calls and statuses, by number of the child.
    seen: BTreeMap<usize, Vec<Option<i32>>>,
}

fn start_next(el: &LoopHandle<Storm>, storm: &mut Storm) {
    if storm.started == storm.total {
        return;
    }
    let number = storm.started;
    storm.started += 1;
    let child = el.spawn_child(program(number).0, move |el, storm, status| {
        storm.seen.entry(number).or_default().push(status?.code());
        start_next(el, storm);
        Ok(())
    });
    storm.pids.push(child.expect("a child").id());
}

#[test]
fn c1_c2_x5_a_storm_of_children_delivers_each_status_once() {
    let name = "children::storm::c1_c2_x5_a_storm_of_children_delivers_each_status_once";
    alone(name, || {
        on_every_watch(|selector, kind| {
            let other = OtherCode::start();
            let (pids, seen) = (Vec::new(), BTreeMap::new());
            let storm = Storm { started: 0, total: count(), pids, seen };
            let mut el = event_loop(selector, kind, storm);
            el.call_soon(|el, storm| (0..AT_ONCE).for_each(|_| start_next(el, storm)));
            el.run().unwrap();
            let waited = other.end();
            let storm = el.state();
            assert_eq!(storm.seen.len(), count());
            for (number, codes) in &storm.seen {
                assert_eq!(*codes, [Some(program(*number).1)], "child {number}");
            }
            assert!(storm.pids.iter().all(|pid| is_reaped(*pid)), "a zombie");
            println!("{} children, {AT_ONCE} at once; other code waited for {waited}", count());
        });
    });
}

#[test]
fn c1_c2_x5_a_storm_of_tasks_gets_each_status_once() {
    let name = "children::storm::c1_c2_x5_a_storm_of_tasks_gets_each_status_once";
    alone(name, || {
        on_every_watch(|selector, kind| {
            let other = OtherCode::start();
            let mut el = event_loop(selector, kind, ());
            let ends = Rc::new(Cell::new(0));
            for worker in 0..AT_ONCE {
                let ends = ends.clone();
                let work = async move {
                    for number in (worker..count()).step_by(AT_ONCE) {
                        let (command, code) = program(number);
                        let child = Child::spawn(command).unwrap();
                        assert_eq!(child.wait().await.unwrap().code(), Some(code));
                        assert!(is_reaped(child.id()));
                        ends.set(ends.get() + 1);
                    }
                };
                el.call_soon(move |_, ()| spawn(work).detach());
            }
            el.run().unwrap();
            other.end();
            assert_eq!(ends.get(), count());
        });
    });
}

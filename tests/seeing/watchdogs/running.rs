//! The turn that runs, read by another thread (docs/contract.md, E4).

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{
    EventLoop, Heartbeat, Interest, Recorder, RunningTurn, SelectorKind, TurnKind, sleep,
};

use crate::support::descriptors::pair;
use crate::support::{loopback, on_every_selector, simulated};

const MS: Duration = Duration::from_millis(1);

/// A thread that reads a heartbeat on request.
struct Reader {
    request: Sender<()>,
    answer: Receiver<Option<RunningTurn>>,
    thread: JoinHandle<()>,
}

impl Reader {
    fn new(heartbeat: Heartbeat) -> Reader {
        let (request, requests) = mpsc::channel();
        let (reply, answer) = mpsc::channel();
        let read = move || requests.iter().for_each(|()| reply.send(heartbeat.running()).unwrap());
        Reader { request, answer, thread: thread::spawn(read) }
    }

    /// Returns what the other thread reads now, while the caller waits.
    fn read(&self) -> Option<RunningTurn> {
        self.request.send(()).unwrap();
        self.answer.recv().unwrap()
    }

    fn end(self) {
        drop(self.request);
        self.thread.join().unwrap();
    }
}

/// Returns kind and line, and checks the file.
fn kind_and_line(running: Option<RunningTurn>) -> (TurnKind, u32) {
    let turn = running.expect("a turn runs").turn;
    let (file, line) = turn.place.rsplit_once(':').unwrap();
    assert_eq!(file, file!());
    (turn.kind, line.parse().unwrap())
}

#[test]
fn e4_callbacks_timers_watchers_and_tasks_are_named_exactly() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (reader, all) = (Reader::new(el.heartbeat()), RefCell::new(Vec::new()));
        let seen = Rc::new((reader, all));
        let (of_timer, of_watcher, of_task) = (seen.clone(), seen.clone(), seen.clone());
        let see = |seen: &(Reader, RefCell<Vec<_>>)| {
            seen.1.borrow_mut().push(kind_and_line(seen.0.read()));
        };
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        let of_closure = seen.clone();
        let first = line!() + 1;
        el.call_soon(move |_, ()| see(&of_closure));
        el.call_later(MS, move |_, ()| see(&of_timer));
        let watcher = el.watch(ours, Interest::READABLE, move |_, (), _| Ok(see(&of_watcher)));
        let task = async move {
            sleep(2 * MS).await;
            see(&of_task);
        };
        el.spawn(task).detach();
        el.tick(Some(Duration::ZERO)).unwrap();
        el.cancel(watcher.unwrap());
        el.run().unwrap();
        let expected = [
            (TurnKind::Soon, first),
            (TurnKind::Watcher, first + 2),
            (TurnKind::Timer, first + 1),
            (TurnKind::Task, first + 7),
        ];
        assert_eq!(*seen.1.borrow(), expected);
    });
}

#[test]
fn e4_the_main_future_and_its_tick_are_named() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let heartbeat = el.heartbeat();
        let reader = Reader::new(heartbeat);
        el.tick(Some(Duration::ZERO)).unwrap();
        let line = line!() + 1;
        let running = el.run_until_complete(async { reader.read() }).unwrap();
        assert_eq!(running.as_ref().unwrap().tick, 1);
        assert_eq!(kind_and_line(running), (TurnKind::Task, line));
        reader.end();
    });
}

#[test]
fn e4_a_name_is_in_front_of_the_place() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, None);
        let reader = Reader::new(el.heartbeat());
        let timer = el.call_later(MS, move |_, seen| *seen = reader.read());
        el.set_name(timer, "flush");
        el.run().unwrap();
        let running = el.state().as_ref().unwrap();
        assert!(running.turn.place.starts_with("flush (tests/"), "{running:?}");
    });
}

#[test]
fn e4_between_runs_and_after_the_end_no_turn_runs() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let heartbeat = el.heartbeat();
        assert_eq!(heartbeat.running(), None);
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        assert_eq!((heartbeat.running(), heartbeat.ticks()), (None, 1));
        assert!(!heartbeat.is_closed());
        drop(el);
        assert!(heartbeat.is_closed() && heartbeat.running().is_none());
    });
}

#[test]
fn e4_a_loop_that_sleeps_runs_no_turn() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let (heartbeat, remote) = (el.heartbeat(), el.remote());
        el.call_soon(|_, ()| {});
        let reader = thread::spawn(move || {
            // The callback of the first tick may run until the loop sleeps in the second one.
            while heartbeat.ticks() < 2 || heartbeat.running().is_some() {
                thread::yield_now();
            }
            remote.call_soon(|el, ()| el.stop()).unwrap();
        });
        el.run_forever().unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn e4_a_panic_that_unwinds_out_of_a_run_ends_the_turn() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let heartbeat = el.heartbeat();
        el.call_soon(|_, ()| std::panic::resume_unwind(Box::new(())));
        let run = std::panic::AssertUnwindSafe(|| el.run());
        assert!(std::panic::catch_unwind(run).is_err());
        assert_eq!(heartbeat.running(), None);
    });
}

#[test]
fn e4_a_heartbeat_reads_the_tape_of_the_recorder() {
    on_every_selector(|kind: SelectorKind| {
        let builder = EventLoop::builder().selector(loopback::selector(kind));
        let builder = builder.clock(SimClock::new()).record(Recorder::ring(64));
        let mut el = builder.build_with(None).unwrap();
        let reader = Reader::new(el.heartbeat());
        el.call_soon(move |_, seen| *seen = reader.read());
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let running = el.state().as_ref().unwrap();
        let recorded = tape.turns().iter().find(|turn| turn.number == running.turn.number);
        assert_eq!(recorded.unwrap().place, running.turn.place);
        assert!(tape.turns().len() < 64);
    });
}

/// Without a heartbeat a loop records nothing; with one it keeps its last turns.
#[test]
fn e4_a_loop_records_from_the_first_heartbeat_on() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        assert!(el.tape().is_none());
        let _heartbeat = el.heartbeat();
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        let tape = el.tape().unwrap();
        assert_eq!(tape.turns().iter().filter(|turn| turn.kind.is_callback()).count(), 1);
    });
}

/// The turn begins when its timer is due, or later.
#[test]
fn e4_the_time_of_a_turn_counts_from_its_beginning() {
    let created = Instant::now();
    let mut el = EventLoop::builder().build_with(None).unwrap();
    let (reader, delay) = (Reader::new(el.heartbeat()), 30 * MS);
    el.call_later(delay, move |_, seen| *seen = Some((reader.read(), created.elapsed())));
    el.run().unwrap();
    let (running, elapsed) = el.state().as_ref().unwrap();
    let lasted = running.as_ref().unwrap().lasted;
    assert!(lasted + delay <= *elapsed + MS, "{lasted:?} of {elapsed:?}");
}

#[test]
fn e4_each_heartbeat_is_closed_with_its_loop() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let (first, second, handle) = (el.heartbeat(), el.heartbeat(), el.handle().clone());
        assert!(!first.is_closed() && !second.is_closed());
        drop(el);
        assert!(first.is_closed() && second.is_closed());
        assert!(handle.heartbeat().is_closed());
    });
}

/// The first heartbeat instruments the turns of a loop that is not instrumented otherwise.
#[test]
fn e4_a_loop_without_await_lines_records_as_well() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(loopback::selector(kind)).await_lines(false);
        let mut el = builder.build_with(None).unwrap();
        let reader = Reader::new(el.heartbeat());
        let line = line!() + 1;
        el.call_soon(move |_, seen| *seen = reader.read());
        el.run().unwrap();
        assert_eq!(kind_and_line(el.state().clone()), (TurnKind::Soon, line));
    });
}

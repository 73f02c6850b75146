//! Reports of callbacks that do not return (docs/contract.md, E5, E6).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mainspring::{
    Error, Heartbeat, Signal, Stall, Tape, TurnKind, Watchdog, WatchdogGuard, yield_now,
};

use crate::support::process::alone_as;
use crate::support::{on_every_selector, simulated};

/// Short, because each test waits for it.
const LIMIT: Duration = Duration::from_millis(4);

/// The facts of a report.
#[derive(Debug)]
struct Seen {
    kind: TurnKind,
    place: String,
    tick: u64,
    lasted: Duration,
    text: String,
}

/// Starts a watchdog, and returns its reports.
fn watch(heartbeat: Heartbeat) -> (WatchdogGuard, Receiver<Seen>) {
    let (report, reports) = mpsc::channel();
    let on_stall = move |stall: &Stall| {
        let Stall { turn, tick, lasted, .. } = stall;
        let (kind, place, text) = (turn.kind, turn.place.to_string(), stall.to_string());
        let _ = report.send(Seen { kind, place, tick: *tick, lasted: *lasted, text });
    };
    (Watchdog::new(heartbeat).limit(LIMIT).on_stall(on_stall).spawn().unwrap(), reports)
}

#[test]
fn e5_a_callback_is_reported_while_it_does_not_return() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, None);
        let (guard, reports) = watch(el.heartbeat());
        el.tick(Some(Duration::ZERO)).unwrap();
        let line = line!() + 1;
        let stuck = el.call_soon(move |_, seen| *seen = Some((reports.recv().unwrap(), reports)));
        el.set_name(stuck, "compress");
        el.tick(Some(Duration::ZERO)).unwrap();
        let (seen, reports) = el.state_mut().take().unwrap();
        let place = format!("compress ({}:{line})", file!());
        assert_eq!((seen.kind, seen.tick, &seen.place), (TurnKind::Soon, 2, &place));
        assert!(seen.lasted >= LIMIT);
        let text = format!("callback {place} has been running for ");
        assert!(seen.text.starts_with(&text) && seen.text.ends_with(", in tick 2"), "{seen:?}");
        drop(guard); // Ends the thread, and drops its closure.
        assert_eq!(reports.try_recv().unwrap_err(), TryRecvError::Disconnected);
    });
}

#[test]
fn e5_tasks_and_timers_are_reported_at_their_lines() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (_guard, reports) = watch(el.heartbeat());
        let reports = Arc::new(Mutex::new(reports));
        let (of_task, of_timer) = (reports.clone(), reports);
        let check = |seen: Seen, kind, line| {
            assert_eq!((seen.kind, seen.place), (kind, format!("{}:{line}", file!())));
        };
        let line = line!() + 1;
        el.spawn(async move {
            yield_now().await;
            let seen = of_task.lock().unwrap().recv().unwrap();
            check(seen, TurnKind::Task, line);
        })
        .detach();
        let line = line!() + 1;
        el.call_later(Duration::from_secs(1), move |_, ()| {
            check(of_timer.lock().unwrap().recv().unwrap(), TurnKind::Timer, line);
        });
        el.run().unwrap();
    });
}

#[test]
fn e5_a_panic_in_a_report_does_not_end_the_watchdog() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (report, reports) = mpsc::channel();
        let mut first = true;
        let on_stall = move |_: &Stall| {
            report.send(()).unwrap();
            if std::mem::take(&mut first) {
                std::panic::resume_unwind(Box::new("the first report"));
            }
        };
        let watchdog = Watchdog::new(el.heartbeat()).limit(LIMIT).on_stall(on_stall);
        let _guard = watchdog.spawn().unwrap();
        let reports = Arc::new(Mutex::new(reports));
        for _ in 0..2 {
            let reports = reports.clone();
            el.call_soon(move |_, ()| reports.lock().unwrap().recv().unwrap());
        }
        el.run().unwrap();
    });
}

#[test]
fn e5_a_watchdog_ends_with_its_loop() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let (_guard, reports) = watch(el.heartbeat());
        drop(el);
        assert!(reports.recv().is_err(), "the closure was dropped, and nothing was reported");
    });
}

#[test]
fn e5_a_report_may_drop_the_guard() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let slot: Arc<Mutex<Option<WatchdogGuard>>> = Arc::default();
        let (report, reports) = mpsc::channel();
        let own = slot.clone();
        let on_stall = move |_: &Stall| {
            drop(own.lock().unwrap().take());
            report.send(()).unwrap();
        };
        let watchdog = Watchdog::new(el.heartbeat()).limit(LIMIT).on_stall(on_stall);
        *slot.lock().unwrap() = Some(watchdog.spawn().unwrap());
        el.call_soon(move |_, ()| {
            reports.recv().unwrap();
            assert!(reports.recv().is_err(), "the thread has ended");
        });
        el.run().unwrap();
    });
}

/// The guard does not wait for the next sample.
#[test]
fn e5_a_watchdog_with_a_long_limit_ends_at_once() {
    let (el, _clock) = simulated(mainspring::SelectorKind::available()[0], ());
    let watchdog = Watchdog::new(el.heartbeat());
    assert!(format!("{watchdog:?}").contains("limit: 1s"), "{watchdog:?}");
    let heartbeat = el.heartbeat();
    let (dropped, is_dropped) = mpsc::channel();
    thread::spawn(move || {
        // Several, because a thread that has just started may not wait yet.
        for _ in 0..50 {
            let watchdog = Watchdog::new(heartbeat.clone()).limit(Duration::from_secs(1_000_000));
            let guard = watchdog.spawn().unwrap();
            (0..20).for_each(|_| thread::yield_now());
            drop(guard);
        }
        dropped.send(()).unwrap();
    });
    is_dropped.recv_timeout(Duration::from_secs(60)).expect("each guard is dropped");
}

/// Linux shows the mask of each thread.
#[test]
fn e5_the_thread_takes_no_signals() {
    let (el, _clock) = simulated(mainspring::SelectorKind::available()[0], ());
    let _guard = Watchdog::new(el.heartbeat()).spawn().unwrap();
    if !Path::new("/proc/self/task").exists() {
        return println!("skipped: no list of threads");
    }
    let mut masks = Vec::new();
    // A new thread has the name of its parent until it runs.
    while masks.is_empty() {
        thread::yield_now();
        masks = masks_of_watchdogs();
    }
    let signals = [Signal::INT, Signal::TERM, Signal::USR1, Signal::CHLD];
    for mask in masks {
        assert!(signals.iter().all(|signal| mask >> (signal.raw() - 1) & 1 == 1), "{mask:x}");
    }
}

/// Returns the blocked signals of each watchdog of this process, as bits.
fn masks_of_watchdogs() -> Vec<u64> {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let mask = |thread: PathBuf| {
        fs::read_to_string(thread.join("comm")).ok().filter(|name| name == "watchdog\n")?;
        let status = fs::read_to_string(thread.join("status")).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
        Some(u64::from_str_radix(mask.trim(), 16).unwrap())
    };
    threads.filter_map(mask).collect()
}

#[test]
fn e5_a_limit_below_a_millisecond_is_refused() {
    let (el, _clock) = simulated(mainspring::SelectorKind::available()[0], ());
    let spawn = |limit| Watchdog::new(el.heartbeat()).limit(limit).spawn();
    let shortest = Duration::from_millis(1);
    for limit in [Duration::ZERO, shortest - Duration::from_nanos(1)] {
        let refused = spawn(limit).unwrap_err();
        assert!(matches!(refused, Error::Setting(_)), "{refused}");
    }
    drop(spawn(shortest).unwrap());
}

#[test]
fn e6_the_tape_is_written_before_the_report() {
    on_every_selector(|kind| {
        let path = std::env::temp_dir().join(format!("mainspring-stall-{}", std::process::id()));
        let (mut el, _clock) = simulated(kind, ());
        let (report, reports) = mpsc::channel();
        let on_stall = move |stall: &Stall| {
            assert!(stall.tape_error.is_none(), "{stall}");
            report.send(stall.turn.number).unwrap();
        };
        let watchdog = Watchdog::new(el.heartbeat()).limit(LIMIT).on_stall(on_stall);
        let _guard = watchdog.write_tape(&path).spawn().unwrap();
        for _ in 0..2 {
            let path = path.clone();
            el.call_soon(|_, ()| {});
            let reports = &reports;
            let seen = el.run_until_complete(async move {
                let number = reports.recv().unwrap();
                (number, Tape::open(&path).unwrap())
            });
            let (number, tape) = seen.unwrap();
            let last = tape.turns().last().unwrap();
            assert_eq!((last.number, last.lasted), (number, None));
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
    });
}

/// The unfinished file of an earlier attempt is replaced, and none is left after an error.
#[test]
fn e6_an_unfinished_tape_is_not_in_the_way() {
    on_every_selector(|kind| {
        let name = format!("mainspring-stall-unfinished-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let unfinished = path.with_extension("new");
        let stall = |path: &Path| {
            let (mut el, _clock) = simulated(kind, ());
            let (report, reports) = mpsc::channel();
            let on_stall = move |stall: &Stall| report.send(stall.tape_error.is_none()).unwrap();
            let watchdog = Watchdog::new(el.heartbeat()).limit(LIMIT).on_stall(on_stall);
            let _guard = watchdog.write_tape(path).spawn().unwrap();
            let reports = &reports;
            el.run_until_complete(async move { reports.recv().unwrap() }).unwrap()
        };
        fs::write(&unfinished, "an earlier attempt").unwrap();
        assert!(stall(&path) && !unfinished.exists());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap(); // A file cannot replace a folder.
        assert!(!stall(&path) && !unfinished.exists());
        fs::remove_dir(&path).unwrap();
    });
}

#[test]
fn e6_a_tape_that_cannot_be_written_is_in_the_report() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (report, reports) = mpsc::channel();
        let on_stall = move |stall: &Stall| report.send(stall.to_string()).unwrap();
        let watchdog = Watchdog::new(el.heartbeat()).limit(LIMIT).on_stall(on_stall);
        let _guard = watchdog.write_tape("/no/such/folder/tape").spawn().unwrap();
        el.call_soon(move |_, ()| {
            let text = reports.recv().unwrap();
            assert!(text.contains("; its tape cannot be written: No such file"), "{text}");
        });
        el.run().unwrap();
    });
}

#[test]
fn e6_abort_ends_the_process_after_a_line_on_standard_error() {
    let name = "watchdogs::stalls::e6_abort_ends_the_process_after_a_line_on_standard_error";
    let stuck = || {
        let (mut el, _clock) = simulated(mainspring::SelectorKind::available()[0], ());
        let watchdog = Watchdog::new(el.heartbeat()).limit(LIMIT).abort().spawn().unwrap();
        el.call_soon(|_, ()| {
            loop {
                thread::park();
            }
        });
        el.run().unwrap();
        drop(watchdog);
    };
    let Some(output) = alone_as(name, stuck, |child| child) else { return };
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "SIGABRT");
    let start = format!("mainspring: callback {}:", file!());
    assert!(text.lines().any(|line| line.starts_with(&start)), "{text}");
}

//! X3 and X4: signals as ordinary callbacks, and what the process does before and after.
//!
//! Signals belong to the process, so each test has one of its own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::mpsc;
use std::{env, thread};

use mainspring::{Error, EventLoop, Handle, Remote, ReportKind, SelectorKind, Signal};
use rustix::process::{getpid, kill_process};

use crate::support::files::{alone, alone_as, readable, tick};
use crate::support::{on_every_selector, simulated};

/// Runs the body of a test on every selector, where no other test's signals come.
fn on_each(name: &str, check: impl FnMut(SelectorKind)) {
    alone(name, || on_every_selector(check));
}

type Names = Vec<&'static str>;

fn add(el: &mainspring::LoopHandle<Names>, signal: Signal, name: &'static str) -> Handle {
    el.add_signal_handler(signal, move |_, names: &mut Names| names.push(name)).unwrap()
}

/// After the fds and before the timers; by number and then by age; each once, however often it
/// came.
#[test]
fn x3_handlers_run_in_their_place_in_the_tick() {
    on_each("signals::handlers::x3_handlers_run_in_their_place_in_the_tick", |kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        add(&el, Signal::USR2, "usr2");
        add(&el, Signal::USR1, "usr1, first");
        add(&el, Signal::USR1, "usr1, second");
        let (ours, _theirs) = readable();
        el.call_later(std::time::Duration::ZERO, |_, names: &mut Names| names.push("timer"));
        el.add_reader(ours, |_, names: &mut Names, socket| {
            names.push("reader");
            Ok(socket.cancel())
        })
        .unwrap();
        el.call_soon(|_, names| names.push("soon"));
        for signal in [Signal::USR2, Signal::USR1, Signal::USR2, Signal::USR1] {
            signal.raise().unwrap();
        }
        tick(&mut el);
        let order = ["soon", "reader", "usr1, first", "usr1, second", "usr2", "timer"];
        assert_eq!(el.state_mut().split_off(0), order);
        assert_eq!(tick(&mut el), 0);
        Signal::USR2.raise().unwrap();
        tick(&mut el);
        assert_eq!(el.state()[..], ["usr2"]);
    });
}

/// All that may be caught and that the test harness itself does not need.
#[test]
fn x3_different_signals_never_swallow_each_other() {
    on_each("signals::handlers::x3_different_signals_never_swallow_each_other", |kind| {
        let signals: Vec<_> = (1..=64).filter_map(Signal::from_raw).collect();
        let (mut el, _clock) = simulated(kind, Vec::new());
        let mut watched = Vec::new();
        for signal in signals {
            let added =
                el.add_signal_handler(signal, move |_, seen: &mut Vec<_>| seen.push(signal));
            if added.is_ok() {
                watched.push(signal);
            }
        }
        assert!(watched.len() > 20);
        for _ in 0..3 {
            watched.iter().rev().for_each(|signal| signal.raise().unwrap());
            tick(&mut el);
            assert_eq!(el.state_mut().split_off(0), watched);
        }
    });
}

/// From another process's point of view, and from another thread's (P65): the loop wakes up.
#[test]
fn x3_a_signal_ends_the_sleep_of_the_loop() {
    on_each("signals::handlers::x3_a_signal_ends_the_sleep_of_the_loop", |kind| {
        let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
        el.add_signal_handler(Signal::USR1, |el, calls: &mut u32| {
            *calls += 1;
            el.stop();
        })
        .unwrap();
        for calls in 1..=20 {
            let sender = thread::spawn(move || match calls % 2 {
                0 => kill_process(getpid(), rustix::process::Signal::USR1).unwrap(),
                _ => Signal::USR1.raise().unwrap(),
            });
            el.run_forever().unwrap();
            sender.join().unwrap();
            assert_eq!(*el.state(), calls);
        }
    });
}

/// P63, and within a batch: one handler removes the next.
#[test]
fn x3_a_handler_removed_before_its_turn_does_not_run() {
    on_each("signals::handlers::x3_a_handler_removed_before_its_turn_does_not_run", |kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let handler = add(&el, Signal::USR1, "wrong");
        Signal::USR1.raise().unwrap();
        assert!(el.cancel(handler));
        assert!(!el.cancel(handler));
        el.run().unwrap();
        assert_eq!(tick(&mut el), 0);

        let victim = Rc::new(std::cell::Cell::new(None));
        let known = victim.clone();
        el.add_signal_handler(Signal::USR1, move |el, names: &mut Names| {
            names.push("first");
            assert!(el.cancel(known.get().unwrap()));
        })
        .unwrap();
        victim.set(Some(add(&el, Signal::USR1, "wrong")));
        Signal::USR1.raise().unwrap();
        tick(&mut el);
        assert_eq!(el.state()[..], ["first"]);
    });
}

/// A handler that fails goes, with a report; the others of the signal stay.
#[test]
fn x3_a_failing_handler_is_removed_and_reported() {
    on_each("signals::handlers::x3_a_failing_handler_is_removed_and_reported", |kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        el.set_exception_handler(|_, names, report| {
            assert_eq!((report.kind, report.location.file()), (ReportKind::Signal, file!()));
            names.push("report");
        });
        el.add_signal_handler(Signal::USR1, |_, _| Err(Error::other("enough"))).unwrap();
        add(&el, Signal::USR1, "other");
        for _ in 0..2 {
            Signal::USR1.raise().unwrap();
            tick(&mut el);
        }
        assert_eq!(el.state()[..], ["report", "other", "other"]);
    });
}

/// A handler keeps `run` going, unless it is a background affair; then it is called all the same.
#[test]
fn x3_a_handler_keeps_the_loop_running_unless_unreffed() {
    on_each("signals::handlers::x3_a_handler_keeps_the_loop_running_unless_unreffed", |kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let handler = add(&el, Signal::USR1, "usr1");
        assert!(el.is_alive());
        assert!(el.set_background(handler));
        el.run().unwrap();
        el.call_soon(|_, _| Signal::USR1.raise().map_err(Error::from));
        el.call_later(std::time::Duration::from_secs(1), |_, names: &mut Names| {
            names.push("timer")
        });
        el.run().unwrap();
        assert_eq!(el.state()[..], ["usr1", "timer"]);
        assert!(el.set_foreground(handler) && el.is_alive());
    });
}

/// P62: both get it, and when one is gone the other still does.
#[test]
fn x3_two_loops_in_two_threads_watch_one_signal() {
    on_each("signals::handlers::x3_two_loops_in_two_threads_watch_one_signal", |kind| {
        let (sender, calls) = mpsc::channel();
        let spawn = |name: &'static str| {
            let (sender, (ready, remote)) = (sender.clone(), mpsc::channel());
            let thread = thread::spawn(move || {
                let mut el = EventLoop::builder().selector(kind).build().unwrap();
                el.add_signal_handler(Signal::USR1, move |_, ()| sender.send(name).unwrap())
                    .unwrap();
                ready.send(el.remote()).unwrap();
                el.run_forever().unwrap();
            });
            (thread, remote.recv().unwrap())
        };
        let end = |(thread, remote): (thread::JoinHandle<()>, Remote)| {
            remote.stop().unwrap();
            thread.join().unwrap();
        };
        let (first, second) = (spawn("first"), spawn("second"));
        Signal::USR1.raise().unwrap();
        let mut both = [calls.recv().unwrap(), calls.recv().unwrap()];
        both.sort_unstable();
        assert_eq!(both, ["first", "second"]);
        end(first);
        Signal::USR1.raise().unwrap();
        assert_eq!(calls.recv().unwrap(), "second");
        end(second);
        assert!(calls.try_recv().is_err());
    });
}

/// P61: what cannot be caught, and faults, which would be repeated for ever. No number that is no
/// signal becomes one.
#[test]
fn x4_what_cannot_be_handled_is_refused() {
    on_each("signals::handlers::x4_what_cannot_be_handled_is_refused", |kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let faults = [Signal::SEGV, Signal::BUS, Signal::FPE, Signal::ILL];
        for refused in [Signal::KILL, Signal::STOP].into_iter().chain(faults) {
            let error = el.add_signal_handler(refused, |_, _| {}).unwrap_err();
            assert!(
                matches!(error, Error::Signal { signal, .. } if signal == refused),
                "{error:?}"
            );
            assert_eq!(error.to_string(), format!("cannot handle {refused}"));
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
        el.run().unwrap(); // Nothing was kept.
        assert_eq!([0, 129, -1].map(Signal::from_raw), [None; 3]); // 65 is a signal of FreeBSD.
    });
}

/// How a loop gives a signal back.
#[derive(Clone, Copy, PartialEq)]
enum GivesBack {
    ByRemoval,
    ByDrop,
}

/// Watches USR1 with two loops of each kind, as `prepare` has left the process, sees it, gives it
/// back, and raises it again.
fn watch_and_raise(
    name: &str,
    way: GivesBack,
    prepare: impl FnOnce(Command) -> Command,
) -> Option<Output> {
    let check = || {
        let mut loops = Vec::new();
        on_every_selector(|kind| {
            let (mut el, _clock) = simulated(kind, Names::new());
            let (mut other, _clock) = simulated(kind, Names::new());
            let handlers = [add(&el, Signal::USR1, "a"), add(&el, Signal::USR1, "b")];
            let last = add(&other, Signal::USR1, "c");
            Signal::USR1.raise().unwrap();
            assert_eq!((tick(&mut el), tick(&mut other)), (2, 1));
            assert!(handlers.iter().all(|handler| el.cancel(*handler)));
            Signal::USR1.raise().unwrap(); // The other loop still watches.
            assert_eq!((tick(&mut el), tick(&mut other)), (0, 1));
            assert!(way == GivesBack::ByDrop || other.cancel(last));
            loops.extend([el, other]);
        });
        loops.truncate(if way == GivesBack::ByDrop { 0 } else { loops.len() });
        println!("given back");
        Signal::USR1.raise().unwrap();
        println!("survived");
    };
    alone_as(name, check, prepare)
}

/// The default disposition of USR1 is death.
fn assert_died(output: &Output) {
    assert_eq!(output.status.signal(), Some(Signal::USR1.raw()), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("given back"), "{output:?}");
}

#[test]
fn x4_the_default_disposition_is_back_after_the_last_handler() {
    let name = "signals::handlers::x4_the_default_disposition_is_back_after_the_last_handler";
    let output = watch_and_raise(name, GivesBack::ByRemoval, |child| child);
    output.iter().for_each(assert_died);
}

#[test]
fn x4_the_default_disposition_is_back_after_the_last_loop() {
    let name = "signals::handlers::x4_the_default_disposition_is_back_after_the_last_loop";
    let output = watch_and_raise(name, GivesBack::ByDrop, |child| child);
    output.iter().for_each(assert_died);
}

/// A signal that whoever started the process has it ignore is ignored again.
#[test]
fn x4_an_ignored_signal_is_ignored_again() {
    let name = "signals::handlers::x4_an_ignored_signal_is_ignored_again";
    let ignoring = |child: Command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' USR1; exec \"$@\"", "sh"]).arg(child.get_program());
        shell.args(child.get_args()).envs(env::vars_os());
        shell.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    };
    let Some(output) = watch_and_raise(name, GivesBack::ByRemoval, ignoring) else { return };
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("survived"), "{output:?}");
}

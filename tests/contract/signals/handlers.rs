//! Signal handlers as ordinary callbacks, and the restored dispositions (docs/contract.md, X3 and
//! X4).
//!
//! Signals belong to the process, so each test runs in its own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::mpsc;
use std::{env, thread};

use mainspring::{Error, EventLoop, Handle, Remote, ReportKind, SelectorKind, Signal};
use rustix::process::{getpid, kill_process};

use crate::support::descriptors::readable;
use crate::support::process::{alone, alone_as, alone_with_fault};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

/// Runs the body of a test on every selector, in its own process.
fn on_each(name: &str, check: impl FnMut(SelectorKind)) {
    alone(name, || on_every_selector(check));
}

type Names = Vec<&'static str>;

fn add(el: &mainspring::LoopHandle<Names>, signal: Signal, name: &'static str) -> Handle {
    el.add_signal_handler(signal, move |_, names: &mut Names| names.push(name)).unwrap()
}

const INTERRUPTED: &str = "signals::handlers::x3_an_interrupted_wakeup_is_repeated";

/// Every second write is interrupted, and so is the wakeup that the installed handler writes.
#[test]
fn x3_an_interrupted_wakeup_is_repeated() {
    alone_with_fault(INTERRUPTED, "write:error=EINTR:when=1+2", || {
        on_every_selector(|kind| {
            let (mut el, _clock) = simulated(kind, Names::new());
            add(&el, Signal::USR1, "usr1");
            for delivered in 1..5 {
                Signal::USR1.raise().unwrap();
                tick(&mut el);
                assert_eq!(el.state().len(), delivered);
            }
        });
    });
}

/// Signal handlers run after fds and before timers, by signal number and then by age, and once
/// however often the signal came.
#[test]
fn x3_handlers_run_after_fds_and_before_timers() {
    on_each("signals::handlers::x3_handlers_run_after_fds_and_before_timers", |kind| {
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

/// All signals that can be handled and that the test harness does not use.
#[test]
fn x3_different_signals_are_all_delivered() {
    on_each("signals::handlers::x3_different_signals_are_all_delivered", |kind| {
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

/// A signal from another thread, or from outside the process, wakes the loop (P65).
#[test]
fn x3_a_signal_wakes_the_loop() {
    on_each("signals::handlers::x3_a_signal_wakes_the_loop", |kind| {
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

/// A handler that was removed does not run for a signal raised before (P63), nor when another
/// handler of the same batch removes it.
#[test]
fn x3_a_removed_handler_does_not_run() {
    on_each("signals::handlers::x3_a_removed_handler_does_not_run", |kind| {
        let (mut el, _clock) = simulated(kind, Names::new());
        let handler = add(&el, Signal::USR1, "wrong");
        Signal::USR1.raise().unwrap();
        assert!(el.cancel(handler));
        assert!(!el.cancel(handler));
        el.run().unwrap();
        assert_eq!(tick(&mut el), 0);

        let cancelled = Rc::new(std::cell::Cell::new(None));
        let known = cancelled.clone();
        el.add_signal_handler(Signal::USR1, move |el, names: &mut Names| {
            names.push("first");
            assert!(el.cancel(known.get().unwrap()));
        })
        .unwrap();
        cancelled.set(Some(add(&el, Signal::USR1, "wrong")));
        Signal::USR1.raise().unwrap();
        tick(&mut el);
        assert_eq!(el.state()[..], ["first"]);
    });
}

/// A handler that fails is removed and reported; other handlers of the signal stay.
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

/// A handler keeps `run` alive unless it is in the background. It is called either way.
#[test]
fn x3_a_handler_keeps_run_alive_unless_in_the_background() {
    on_each("signals::handlers::x3_a_handler_keeps_run_alive_unless_in_the_background", |kind| {
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

/// Both loops get the signal. When one ends, the other still gets it (P62).
#[test]
fn x3_two_loops_handle_one_signal() {
    on_each("signals::handlers::x3_two_loops_handle_one_signal", |kind| {
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

/// Signals that cannot be handled, and faults, which would repeat forever (P61). An invalid number
/// is no signal.
#[test]
fn x4_signals_that_cannot_be_handled_are_refused() {
    on_each("signals::handlers::x4_signals_that_cannot_be_handled_are_refused", |kind| {
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
        el.run().unwrap(); // Nothing was registered.
        // 65 is a valid signal on FreeBSD.
        assert_eq!([0, 129, -1].map(Signal::from_raw), [None; 3]);
    });
}

/// Way in which a loop restores a signal's disposition.
#[derive(Clone, Copy, PartialEq)]
enum GivesBack {
    ByRemoval,
    ByDrop,
}

/// Handles USR1 in two loops of each kind, in a process that `prepare` has set up. Then restores
/// the disposition and raises the signal again.
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
            Signal::USR1.raise().unwrap(); // The other loop still handles it.
            assert_eq!((tick(&mut el), tick(&mut other)), (0, 1));
            assert!(way == GivesBack::ByDrop || other.cancel(last));
            loops.extend([el, other]);
        });
        loops.truncate(if way == GivesBack::ByDrop { 0 } else { loops.len() });
        println!("disposition restored");
        Signal::USR1.raise().unwrap();
        println!("survived");
    };
    alone_as(name, check, prepare)
}

/// By default USR1 terminates the process.
fn assert_died(output: &Output) {
    assert_eq!(output.status.signal(), Some(Signal::USR1.raw()), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("disposition restored"), "{output:?}");
}

#[test]
fn x4_the_last_handler_restores_the_default_disposition() {
    let name = "signals::handlers::x4_the_last_handler_restores_the_default_disposition";
    let output = watch_and_raise(name, GivesBack::ByRemoval, |child| child);
    output.iter().for_each(assert_died);
}

#[test]
fn x4_the_last_loop_restores_the_default_disposition() {
    let name = "signals::handlers::x4_the_last_loop_restores_the_default_disposition";
    let output = watch_and_raise(name, GivesBack::ByDrop, |child| child);
    output.iter().for_each(assert_died);
}

/// A signal that the parent process had ignored is ignored again.
#[test]
fn x4_an_ignored_signal_is_ignored_again() {
    let name = "signals::handlers::x4_an_ignored_signal_is_ignored_again";
    let ignoring = |child: Command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' USR1; exec \"$@\"", "sh"]).arg(env::current_exe().unwrap());
        // The arguments of env(1), which may be the program, come before these.
        shell.args(child.get_args().skip_while(|argument| *argument != "--exact"));
        shell.envs(env::vars_os());
        shell.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    };
    let Some(output) = watch_and_raise(name, GivesBack::ByRemoval, ignoring) else { return };
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("survived"), "{output:?}");
}

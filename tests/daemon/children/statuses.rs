//! Exit statuses (docs/contract.md, C1 to C4 and X5).

use std::cell::RefCell;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::rc::Rc;

use mainspring::process::Child;
use mainspring::{Error, Signal, spawn};

use crate::children::support::{
    event_loop, is_reaped, on_every_watch, run_programs, shell, sleeper, steal_status,
};
use crate::support::process::{alone_as, has_strace, under_strace, with_default_signals};

#[test]
fn c1_x5_each_callback_gets_its_status_once_and_no_zombie_is_left() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Vec::new());
        let pids: Vec<u32> = (0..20)
            .map(|code| {
                let command = shell(&format!("exit {code}"));
                let child = el.spawn_child(command, move |_, seen: &mut Vec<_>, status| {
                    seen.push((code, status?.code()));
                    Ok(())
                });
                child.unwrap().id()
            })
            .collect();
        el.run().unwrap();
        el.state_mut().sort_unstable();
        let expected: Vec<_> = (0..20).map(|code| (code, Some(code))).collect();
        assert_eq!(*el.state(), expected);
        assert!(pids.into_iter().all(is_reaped));
    });
}

#[test]
fn c1_x5_several_waiters_get_the_same_status() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let codes = el.run_until_complete(async {
            let child = Child::spawn(shell("exit 9"))?;
            let waits: Vec<_> = (0..3).map(|_| spawn(child.wait())).collect();
            let mut codes = vec![child.wait().await?.code()];
            for wait in waits {
                codes.push(wait.await??.code());
            }
            codes.push(child.wait().await?.code()); // after the end
            codes.push(child.status()?.unwrap().code());
            Ok::<_, mainspring::Error>(codes)
        });
        assert_eq!(codes.unwrap().unwrap(), [Some(9); 6]);
    });
}

#[test]
fn c1_a_callback_and_futures_of_one_child_get_the_same_status() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Vec::new());
        let child = el.spawn_child(shell("exit 3"), |_, seen: &mut Vec<_>, status| {
            seen.push(status?.code());
            Ok(())
        });
        let child = child.unwrap();
        let awaited = el.run_until_complete(child.wait()).unwrap().unwrap();
        el.run().unwrap();
        assert_eq!((el.state().as_slice(), awaited.code()), (&[Some(3)][..], Some(3)));
    });
}

#[test]
fn c2_children_of_other_code_are_left_to_it() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, 0);
        let mut other = Command::new("true").spawn().unwrap();
        run_programs(&mut el, 3);
        assert!(other.wait().unwrap().success(), "its status is still there");
    });
}

#[test]
fn c3_x5_a_status_that_other_code_took_is_an_error_and_no_hang() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, None);
        let child = el.spawn_child(Command::new("true"), |_, error, status| {
            *error = status.err();
        });
        let pid = child.unwrap().id();
        steal_status(pid);
        el.run().unwrap();
        let error = el.state().as_ref().unwrap();
        assert!(matches!(error, Error::StatusUnavailable { pid: lost } if *lost == pid), "{error}");
    });
}

#[test]
fn c4_x5_a_signal_after_the_end_is_an_error() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let child = el.run_until_complete(async {
            let child = Child::spawn(Command::new("true"))?;
            child.wait().await?;
            Ok::<_, mainspring::Error>(child)
        });
        let child = child.unwrap().unwrap();
        let error = child.signal(Signal::TERM).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        let expected = format!("cannot send SIGTERM to process {}: it has ended", child.id());
        assert_eq!(error.chain(), expected);
    });
}

#[test]
fn c4_a_signal_to_a_child_that_other_code_reaped_is_an_error() {
    on_every_watch(|selector, kind| {
        let el = event_loop(selector, kind, ());
        let child = el.spawn_child(Command::new("true"), |_, (), _| {}).unwrap();
        steal_status(child.id());
        assert_eq!(child.kill().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn c4_signals_arrive() {
    with_default_signals("children::statuses::c4_signals_arrive", || {
        on_every_watch(|selector, kind| {
            let mut el = event_loop(selector, kind, Vec::new());
            for signal in [Signal::TERM, Signal::KILL, Signal::USR1] {
                let child = el.spawn_child(sleeper(), |_, seen: &mut Vec<_>, status| {
                    seen.push(status?.signal());
                    Ok(())
                });
                child.unwrap().signal(signal).unwrap();
                el.run().unwrap();
                assert_eq!(el.state_mut().pop().unwrap(), Some(signal.raw()));
            }
        });
    });
}

#[test]
fn c1_callbacks_may_start_and_wait_for_others() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, 0);
        el.spawn_child(Command::new("true"), |el, ends, _| {
            *ends += 1;
            let child = el.spawn_child(Command::new("true"), |_, ends, _| *ends += 1)?;
            assert!(!el.cancel(el.current().unwrap()), "it is running");
            drop(child);
            Ok(())
        })
        .unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), 2);
    });
}

#[test]
fn c1_an_error_of_a_callback_is_reported_with_its_line() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, String::new());
        el.set_exception_handler(|_, log, report| *log = report.to_string());
        el.spawn_child(Command::new("true"), |_, _, _| Err(Error::other("no luck"))).unwrap();
        el.run().unwrap();
        assert!(el.state().starts_with("process registered at "), "{}", el.state());
        assert!(el.state().contains("statuses.rs") && el.state().ends_with("no luck"));
    });
}

#[test]
fn c1_a_panic_of_a_callback_leaves_the_others() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, 0);
        el.set_panic_policy(mainspring::PanicPolicy::Report);
        el.set_exception_handler(|_, _, _| {});
        let pids = Rc::new(RefCell::new(Vec::new()));
        for number in 0..4 {
            let child = el.spawn_child(Command::new("true"), move |_, ends, _| {
                assert!(number != 1, "on purpose");
                *ends += 1;
            });
            pids.borrow_mut().push(child.unwrap().id());
        }
        el.run().unwrap();
        assert_eq!(*el.state(), 3);
        assert!(pids.take().into_iter().all(is_reaped));
    });
}

#[test]
fn c1_a_program_that_does_not_exist_is_an_error_with_its_name() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let command = Command::new("/no/such/program");
        let error = el.spawn_child(command, |_, (), _| {}).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        assert!(error.chain().starts_with("cannot start \"/no/such/program\": "), "{error}");
        assert!(!el.is_alive());
        el.run().unwrap();
    });
}

/// The child side of the next test: signals after the end, to a process and to a group.
fn signal_the_dead() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let child = el.spawn_child(shell("exit 0").process_group(0), |_, (), _| {}).unwrap();
        el.run().unwrap();
        assert!(child.signal(Signal::TERM).is_err());
        assert!(child.kill_after(std::time::Duration::ZERO).is_err());
        assert!(child.kill_group_after(std::time::Duration::ZERO).is_err());
        drop(child.kill_on_drop(true));
    });
}

#[test]
fn c4_x5_no_system_call_sends_a_signal_after_the_end() {
    if !has_strace() {
        return;
    }
    let name = "children::statuses::c4_x5_no_system_call_sends_a_signal_after_the_end";
    let log = std::env::temp_dir().join(format!("mainspring-{}.strace", std::process::id()));
    let calls = "trace=kill,tkill,tgkill,pidfd_send_signal";
    let arguments = ["-o", log.to_str().unwrap(), "-e", calls, "-e", "signal=none"];
    let output = alone_as(name, signal_the_dead, |child| under_strace(&child, &arguments));
    let Some(output) = output else { return };
    let sent = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(output.status.success());
    // The probe for pidfds sends signal 0, which is no signal.
    let signals = sent.lines().filter(|line| line.contains("SIG"));
    assert_eq!(signals.collect::<Vec<_>>(), [""; 0]);
}

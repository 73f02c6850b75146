//! Ends with a deadline, and process groups (docs/contract.md, C8).

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;
use std::time::Duration;

use mainspring::process::Child;
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, ExitWatchKind, SelectorKind};

use crate::children::support::{event_loop, exists, is_reaped, on_every_watch, shell, sleeper};
use crate::support::loopback;
use crate::support::process::with_default_signals;

fn simulated(selector: SelectorKind, kind: ExitWatchKind) -> EventLoop {
    let builder = EventLoop::builder().selector(loopback::selector(selector));
    builder.exit_watch(kind).clock(SimClock::new()).build().unwrap()
}

#[test]
fn c8_a_child_that_ignores_term_is_killed_at_the_deadline() {
    on_every_watch(|selector, kind| {
        let mut el = simulated(selector, kind);
        let status = el.run_until_complete(async {
            let mut stubborn = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
            let mut child = Child::spawn(stubborn.stdout(Stdio::piped()))?.kill_on_drop(true);
            let mut line = String::new();
            BufReader::new(child.take_stdout().unwrap()).read_line(&mut line)?;
            child.kill_after(Duration::from_secs(3600))?;
            child.kill_after(Duration::from_secs(60))?; // sets a new time
            child.wait().await
        });
        assert_eq!(status.unwrap().unwrap().signal(), Some(9));
    });
}

#[test]
fn c8_a_child_gets_term_at_once() {
    with_default_signals("children::groups::c8_a_child_gets_term_at_once", || {
        on_every_watch(|selector, kind| {
            let mut el = event_loop(selector, kind, ());
            let status = el.run_until_complete(async {
                let child = Child::spawn(sleeper())?.kill_on_drop(true);
                child.kill_after(Duration::from_secs(3600))?;
                child.wait().await
            });
            assert_eq!(status.unwrap().unwrap().signal(), Some(15));
        });
    });
}

#[test]
fn c8_a_group_dies_with_its_leader_and_after_it() {
    with_default_signals("children::groups::c8_a_group_dies_with_its_leader_and_after_it", || {
        on_every_watch(|selector, kind| {
            let mut el = event_loop(selector, kind, ());
            let (mut pipe, pid) = el
                .run_until_complete(async {
                    // The leader ends at TERM; its child ignores it, and holds the pipe.
                    let script = "(trap '' TERM; echo ready; exec sleep 1000) & wait";
                    let mut command = shell(script);
                    command.process_group(0).stdout(Stdio::piped());
                    let mut child = Child::spawn(command)?;
                    let mut pipe = child.take_stdout().unwrap();
                    pipe.read_exact(&mut [0; 6])?;
                    child.kill_group_after(Duration::from_secs(3600))?;
                    assert_eq!(child.wait().await?.signal(), Some(15));
                    child.kill_group_after(Duration::ZERO)?; // sets a new time
                    mainspring::sleep(Duration::from_millis(1)).await;
                    Ok::<_, mainspring::Error>((pipe, child.id()))
                })
                .unwrap()
                .unwrap();
            assert_eq!(pipe.read(&mut [0; 8]).unwrap(), 0, "nothing of the group holds the pipe");
            assert!(is_reaped(pid));
        });
    });
}

#[test]
fn c8_the_leader_keeps_its_pid_until_the_group_is_killed() {
    with_default_signals(
        "children::groups::c8_the_leader_keeps_its_pid_until_the_group_is_killed",
        || {
            on_every_watch(|selector, kind| {
                let mut el = event_loop(selector, kind, ());
                let child = el.run_until_complete(async {
                    let child = Child::spawn(sleeper().process_group(0))?;
                    child.kill_group_after(Duration::from_secs(3600))?;
                    child.wait().await?;
                    Ok::<_, mainspring::Error>(child)
                });
                let child = child.unwrap().unwrap();
                assert!(exists(child.id()), "a zombie");
                child.kill_group_after(Duration::from_secs(1800)).unwrap(); // still possible
                drop(el); // The group is killed now, and the zombie is reaped.
                assert!(is_reaped(child.id()));
                let late = child.kill_group_after(Duration::ZERO).unwrap_err();
                assert_eq!(late.kind(), std::io::ErrorKind::NotFound);
            });
        },
    );
}

#[test]
fn c8_a_child_that_leads_no_group_is_an_error() {
    on_every_watch(|selector, kind| {
        let mut el = simulated(selector, kind);
        let child = el.spawn_child(sleeper(), |_, (), _| {}).unwrap().kill_on_drop(true);
        let error = child.kill_group_after(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let text = format!("cannot send SIGTERM to the group of process {}", child.id());
        assert!(error.chain().starts_with(&text), "{error:?}");
        assert!(matches!(error, Error::Process { .. }));
        drop(child);
        el.run().unwrap();
    });
}

#[test]
fn c8_a_group_is_not_signalled_after_its_leader_was_reaped() {
    on_every_watch(|selector, kind| {
        let mut el = simulated(selector, kind);
        let child = el.run_until_complete(async {
            let child = Child::spawn(shell("exit 0").process_group(0))?;
            child.wait().await?;
            Ok::<_, mainspring::Error>(child)
        });
        let error = child.unwrap().unwrap().kill_group_after(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    });
}

//! Processes that the loop has not started (docs/contract.md, C10).

// The loop waits for them.
#![allow(clippy::zombie_processes)]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use mainspring::process::{Child, wait_pid};

use crate::children::support::{event_loop, is_reaped, on_every_watch, shell};

#[test]
fn c10_a_child_of_other_code_has_a_status() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, None);
        let child = shell("exit 4").spawn().unwrap();
        el.watch_pid(child.id(), |_, code, status| *code = status.unwrap().code()).unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), Some(4));
        assert!(is_reaped(child.id()));
    });
}

#[test]
fn c10_a_process_that_is_not_a_child_ends_without_a_status() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, None);
        // The grandchild ends when its input does.
        let mut command = shell("exec 3<&0; cat <&3 >/dev/null & echo $!; wait");
        let mut parent = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut bytes = [0; 16];
        let count = parent.stdout.take().unwrap().read(&mut bytes).unwrap();
        let pid: u32 = std::str::from_utf8(&bytes[..count]).unwrap().trim().parse().unwrap();
        el.watch_pid(pid, |_, end, status| *end = Some(status)).unwrap();
        el.run_until_stalled().unwrap();
        assert!(el.state().is_none(), "it is running");
        drop(parent.stdin.take());
        el.run().unwrap();
        assert_eq!(*el.state(), Some(None), "it ended, without a status");
        parent.wait().unwrap();
    });
}

#[test]
fn c10_a_watch_of_a_child_of_this_loop_gets_the_same_status() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Vec::new());
        let child = el.spawn_child(shell("exit 6"), |_, codes: &mut Vec<_>, status| {
            codes.push(status?.code());
            Ok(())
        });
        let child = child.unwrap();
        el.watch_pid(child.id(), |_, codes, status| codes.push(status.unwrap().code())).unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), [Some(6), Some(6)]);
    });
}

#[test]
fn c10_two_loops_that_watch_one_child_get_the_same_status() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, None);
        let mut command = shell("read line; exit 5");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        el.watch_pid(pid, |_, code, status| *code = status.unwrap().code()).unwrap();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let mut el = event_loop(selector, kind, None);
            el.watch_pid(pid, |_, code, status| *code = status.unwrap().code()).unwrap();
            ready.send(()).unwrap();
            el.run().unwrap();
            *el.state()
        });
        is_ready.recv().unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        el.run().unwrap();
        assert_eq!((*el.state(), other.join().unwrap()), (Some(5), Some(5)));
    });
}

#[test]
fn c10_a_cancelled_watch_leaves_the_child_to_other_code() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let mut command = shell("read line; exit 5");
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let watch = el.watch_pid(child.id(), |_, (), _| unreachable!("cancelled")).unwrap();
        let future = el.run_until_complete(async { Some(wait_pid(child.id()).unwrap()) }).unwrap();
        assert!(el.cancel(watch));
        drop(future);
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        el.spawn_child(Command::new("true"), |_, (), _| {}).unwrap();
        el.run().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5), "it ran on, and its status is left");
    });
}

#[test]
fn c10_pids_without_a_process_are_errors() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        for pid in [0, u32::MAX] {
            let error = el.watch_pid(pid, |_, (), _| {}).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            assert!(error.chain().starts_with(&format!("cannot watch process {pid}: ")));
        }
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let gone = el.watch_pid(ended.id(), |_, (), _| {}).unwrap_err();
        assert!(gone.chain().ends_with("No such process (os error 3)"), "{gone:?}");
        let gone = el.run_until_complete(async { wait_pid(ended.id()).map(drop) }).unwrap();
        assert!(gone.is_err());
        assert!(!el.is_alive());
    });
}

#[test]
fn c10_a_child_that_has_ended_already_is_found() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let status = el.run_until_complete(async {
            let mut child = Child::spawn(shell("echo; exit 8").stdout(Stdio::piped()))?;
            child.take_stdout().unwrap().read_to_end(&mut Vec::new())?;
            wait_pid(child.id())?.await
        });
        assert_eq!(status.unwrap().unwrap().unwrap().code(), Some(8));
    });
}

//! Drops, cancellation, and the end of the loop (docs/contract.md, C7, C12, C14).

use std::cell::RefCell;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::rc::Rc;

use mainspring::process::{Child, wait_pid};
use mainspring::{Error, Handle, LoopHandle};

use crate::children::support::{event_loop, exists, is_reaped, on_every_watch, raw, sleeper};
use crate::support::process::alone;

#[test]
fn c7_a_dropped_child_runs_on_and_is_reaped() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let pid = el.run_until_complete(async {
            let child = Child::spawn(sleeper())?;
            let (pid, end) = (child.id(), child.wait());
            drop(child);
            assert!(exists(pid));
            rustix::process::kill_process(raw(pid), rustix::process::Signal::TERM).unwrap();
            assert_eq!(end.await?.signal(), Some(15));
            Ok::<_, mainspring::Error>(pid)
        });
        assert!(is_reaped(pid.unwrap().unwrap()));
    });
}

#[test]
fn c7_kill_on_drop_kills_and_the_loop_reaps() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let end = el.run_until_complete(async {
            let child = Child::spawn(sleeper())?.kill_on_drop(true);
            let end = wait_pid(child.id())?;
            drop(child);
            end.await
        });
        assert_eq!(end.unwrap().unwrap().unwrap().signal(), Some(9));
    });
}

#[test]
fn c12_a_cancelled_callback_never_runs_and_the_child_is_reaped() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let capture = Rc::new(());
        let captured = capture.clone();
        let child = el.spawn_child(sleeper(), move |_, (), _| {
            drop(captured);
            unreachable!("it is cancelled");
        });
        let child = child.unwrap();
        assert!(el.is_alive());
        assert!(el.cancel(child.handle().unwrap()));
        assert!(!el.cancel(child.handle().unwrap()));
        assert_eq!(Rc::strong_count(&capture), 1);
        assert!(!el.is_alive(), "nothing can call back");
        child.kill().unwrap();
        el.run_until_complete(child.wait()).unwrap().unwrap();
        assert!(is_reaped(child.id()));
    });
}

/// Cancelled by a hook, after the exits were reported, and by the first callback.
#[test]
fn c12_a_callback_that_is_cancelled_in_its_batch_does_not_run() {
    on_every_watch(|selector, kind| {
        for by_hook in [true, false] {
            let mut el = event_loop(selector, kind, 0);
            let handles = Rc::<RefCell<Vec<Handle>>>::default();
            let both = [(); 2].map(|()| {
                let handles = handles.clone();
                let child = el.spawn_child(Command::new("true"), move |el, ends, _| {
                    *ends += 1;
                    handles.borrow().iter().for_each(|handle| _ = el.cancel(*handle));
                });
                child.unwrap()
            });
            handles.borrow_mut().extend(both.iter().filter_map(Child::handle));
            for child in &both {
                // Both zombies exist before the tick.
                wait_for_zombie(child.id());
            }
            if by_hook {
                let handles = handles.clone();
                let cancel = move |el: &LoopHandle<_>, _: &mut _| {
                    handles.borrow().iter().for_each(|handle| _ = el.cancel(*handle));
                };
                el.on_check(cancel).unwrap();
            }
            el.run_until_stalled().unwrap();
            assert_eq!(*el.state(), if by_hook { 0 } else { 1 });
            assert!(both.iter().all(|child| is_reaped(child.id())));
        }
    });
}

/// Waits until a child has ended. It is a zombie then, unless a loop of another test has reaped it.
/// By ps(1), because not every system has a safe function for waitid(2).
fn wait_for_zombie(pid: u32) {
    let state = || {
        let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    while !matches!(state().trim().chars().next(), None | Some('Z')) {
        std::thread::yield_now();
    }
}

/// Alone, because the next loop may be that of another test.
#[test]
fn c14_a_closed_loop_leaves_its_children_to_the_next_one() {
    alone("children::lifetimes::c14_a_closed_loop_leaves_its_children_to_the_next_one", || {
        on_every_watch(|selector, kind| {
            let el = event_loop(selector, kind, ());
            let child = el.spawn_child(sleeper(), |_, (), _| {}).unwrap();
            let wait = child.wait();
            drop(el);
            assert!(exists(child.id()), "it runs on");
            let mut other = event_loop(selector, kind, ());
            assert!(matches!(other.run_until_complete(wait).unwrap(), Err(Error::Closed)));
            let _ = rustix::process::kill_process(raw(child.id()), rustix::process::Signal::KILL);
            wait_for_zombie(child.id());
            other.spawn_child(Command::new("true"), |_, (), _| {}).unwrap();
            other.run().unwrap();
            assert!(is_reaped(child.id()));
            assert!(matches!(
                other.spawn_child(Command::new("/"), |_, (), _| {}),
                Err(Error::Spawn { .. })
            ));
        });
    });
}

#[test]
fn c14_a_closed_loop_starts_no_child() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        el.close();
        let refused = el.spawn_child(Command::new("true"), |_, (), _| {});
        assert!(matches!(refused, Err(Error::Closed)));
        assert!(matches!(Child::spawn(Command::new("true")), Err(Error::NoLoop { .. })));
    });
}

#[test]
fn c7_a_detached_child_does_not_keep_run_going() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let child = el.spawn_child(sleeper(), |_, (), _| {}).unwrap();
        assert!(el.set_background(child.handle().unwrap()));
        el.run().unwrap();
        child.kill().unwrap();
        el.set_foreground(child.handle().unwrap());
        el.run().unwrap();
        assert!(is_reaped(child.id()));
    });
}

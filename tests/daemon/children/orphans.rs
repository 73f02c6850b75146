//! Orphans of a subreaper (docs/contract.md, C11).

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use mainspring::EventLoop;
use mainspring::process::become_subreaper;

use crate::children::support::{event_loop, is_reaped, on_every_watch, run_programs, shell};
use crate::support::process::alone;
use crate::support::ticks::{tick, wait_until};
use crate::support::{on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn c11_orphans_are_reaped_and_other_children_are_left_alone() {
    alone("children::orphans::c11_orphans_are_reaped_and_other_children_are_left_alone", || {
        if become_subreaper().is_err() {
            return println!("skipped: no subreapers here");
        }
        on_every_selector(|kind| {
            let (mut el, clock) = simulated(kind, (BTreeSet::new(), 0));
            el.reap_orphans(HOUR, |_, (orphans, _), pid, status| {
                orphans.insert((pid, status.code()));
            })
            .unwrap();
            for _ in 0..5 {
                // The parent ends first, so the orphan becomes our child.
                el.spawn_child(shell("(sleep 0.05; exit 3) & exit 0"), |_, (_, ends), status| {
                    assert!(status?.success(), "a child of the loop is left to it");
                    *ends += 1;
                    Ok::<_, mainspring::Error>(())
                })
                .unwrap();
            }
            // Other code waits for its children, and the patience lasts as long.
            let other = std::thread::spawn(|| {
                (0..20).all(|_| Command::new("true").status().is_ok_and(|it| it.success()))
            });
            wait_until(&mut el, |el| other.is_finished() && el.state().1 == 5);
            assert!(other.join().unwrap(), "every other child had its status");
            assert!(el.state().0.is_empty(), "the patience is not over");
            wait_until(&mut el, |el| {
                clock.advance(HOUR);
                el.state().0.len() == 5
            });
            let (orphans, ends) = el.state();
            assert_eq!((orphans.len(), *ends), (5, 5));
            assert!(orphans.iter().all(|(pid, code)| *code == Some(3) && is_reaped(*pid)));
        });
    });
}

#[test]
fn c11_a_callback_that_cancels_itself_gets_no_further_orphan() {
    alone("children::orphans::c11_a_callback_that_cancels_itself_gets_no_further_orphan", || {
        if become_subreaper().is_err() {
            return println!("skipped: no subreapers here");
        }
        on_every_selector(|kind| {
            let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
            // Two orphans that have ended: the pipe ends with them.
            shell("(exit 0) & (exit 0) & exit 0").output().unwrap();
            while mainspring_sys::child::ended_children().len() < 2 {
                std::thread::yield_now();
            }
            el.reap_orphans(Duration::ZERO, |el, orphans, _, _| {
                *orphans += 1;
                el.cancel(el.current().unwrap());
            })
            .unwrap();
            el.run().unwrap();
            assert_eq!(*el.state(), 1);
            let left = mainspring_sys::child::ended_children();
            assert!(left.into_iter().all(|pid| mainspring_sys::child::reap(pid).is_ok()));
        });
    });
}

#[test]
fn c11_children_of_a_loop_are_left_to_it_without_any_patience() {
    alone("children::orphans::c11_children_of_a_loop_are_left_to_it_without_any_patience", || {
        on_every_watch(|selector, kind| {
            let mut el = event_loop(selector, kind, 0);
            let reaper = el.reap_orphans(Duration::ZERO, |_, _, pid, _| {
                unreachable!("process {pid} belongs to the loop");
            });
            el.set_background(reaper.unwrap());
            run_programs(&mut el, 20);
        });
    });
}

/// Another loop has not looked at its child yet.
#[test]
fn c11_a_child_of_another_loop_is_left_to_it() {
    alone("children::orphans::c11_a_child_of_another_loop_is_left_to_it", || {
        on_every_watch(|selector, kind| {
            let mut other = event_loop(selector, kind, 0);
            other
                .spawn_child(Command::new("true"), |_, ends, status| {
                    *ends += i32::from(status?.success());
                    Ok::<_, mainspring::Error>(())
                })
                .unwrap();
            while mainspring_sys::child::ended_children().is_empty() {
                std::thread::yield_now();
            }
            let (mut el, _) = simulated(selector, ());
            el.reap_orphans(Duration::ZERO, |_, (), pid, _| {
                unreachable!("process {pid} belongs to the other loop");
            })
            .unwrap();
            (0..3).for_each(|_| _ = tick(&mut el));
            other.run().unwrap();
            assert_eq!(*other.state(), 1);
        });
    });
}

#[test]
fn c11_all_orphans_are_reaped_after_one_patience() {
    alone("children::orphans::c11_all_orphans_are_reaped_after_one_patience", || {
        if become_subreaper().is_err() {
            return println!("skipped: no subreapers here");
        }
        on_every_selector(|kind| {
            shell("(exit 0) & (exit 0) & (exit 0) & exit 0").output().unwrap();
            while mainspring_sys::child::ended_children().len() < 3 {
                std::thread::yield_now();
            }
            let (mut el, clock) = simulated(kind, 0);
            el.reap_orphans(HOUR, |_, orphans, _, _| *orphans += 1).unwrap();
            tick(&mut el);
            clock.advance(HOUR - Duration::from_nanos(1));
            tick(&mut el);
            assert_eq!(*el.state(), 0);
            clock.advance(Duration::from_nanos(1));
            tick(&mut el);
            assert_eq!(*el.state(), 3);
        });
    });
}

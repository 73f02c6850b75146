//! Tasks, groups and scopes in a snapshot, and counts by place (docs/contract.md, O5, O6, O8).

use std::future::{Future, pending, poll_fn};
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mainspring::snapshot::{Entry, EntryKind, EntryState, Snapshot, Wait};
use mainspring::{CancelScope, EventLoop, Interest, Io, TaskGroup, promise, sleep, timeout};

use super::only;
use crate::support::descriptors::pair;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

fn named<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Entry {
    let mut entries = snapshot.entries().iter();
    entries.find(|it| it.name() == Some(name)).unwrap_or_else(|| panic!("{name} in {snapshot}"))
}

#[test]
fn o6_a_task_has_the_states_of_its_life() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (promise, promised) = promise::<()>();
        let handle = el.handle().clone();
        let task = el.spawn(async move {
            promised.await.unwrap();
            handle.snapshot()
        });
        let state = |el: &EventLoop| only(&el.snapshot(), EntryKind::Task).state();
        assert_eq!(state(&el), EntryState::Pending);
        tick(&mut el);
        assert_eq!(state(&el), EntryState::Waiting);
        promise.set_result(());
        assert_eq!(state(&el), EntryState::Pending); // woken, and queued
        tick(&mut el);
        assert_eq!(state(&el), EntryState::Done);
        assert!(!only(&el.snapshot(), EntryKind::Task).keeps_alive());
        let seen = el.run_until_complete(task).unwrap().unwrap();
        let own = seen.entries().iter().find(|it| it.state() == EntryState::Running);
        assert_eq!(own.unwrap().kind(), EntryKind::Task);
        assert!(el.snapshot().entries().is_empty());
    });
}

#[test]
fn o6_the_main_task_runs_in_its_own_snapshot() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let handle = el.handle().clone();
        let inside = timeout(HOUR, async move { handle.snapshot() });
        let snapshot = el.run_until_complete(inside).unwrap().unwrap();
        for kind in [EntryKind::Task, EntryKind::Timeout] {
            assert_eq!(only(&snapshot, kind).state(), EntryState::Running, "{snapshot}");
        }
        assert_eq!(snapshot.tree().to_string().lines().count(), 2);
    });
}

#[test]
fn o8_a_task_has_the_events_that_it_waits_for() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        let fd = ours.as_raw_fd();
        let io = el.spawn(async move {
            let io = Io::new(ours).unwrap();
            let _ = timeout(HOUR, io.readable()).await;
        });
        let io = io.named("io");
        let joins = el.spawn(async move { io.await.map_err(drop) }).named("joins");
        let lost = el.spawn(pending::<()>()).named("lost");
        let forever = el.spawn(sleep(Duration::MAX)).named("forever");
        tick(&mut el);
        tick(&mut el);
        clock.advance(HOUR / 2);
        let snapshot = el.snapshot();
        let waits = |name: &str| named(&snapshot, name).waits().to_vec();
        let readable = Wait::Descriptor { fd, interest: Interest::READABLE };
        assert_eq!(waits("io"), [Wait::Time(Some(HOUR / 2)), readable]);
        let io = named(&snapshot, "io").handle().unwrap();
        assert_eq!(waits("joins"), [Wait::Task(io)]);
        assert_eq!(waits("forever"), [Wait::Time(None)]);
        assert!(waits("lost").is_empty());
        let descriptor = only(&snapshot, EntryKind::Descriptor);
        assert_eq!((descriptor.fd(), descriptor.interest()), (Some(fd), Some(Interest::READABLE)));
        drop((joins, lost, forever));
    });
}

#[test]
fn o6_a_main_task_that_was_woken_is_pending() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, None);
        let (promise, promised) = promise::<()>();
        el.call_soon(move |el, seen| {
            promise.set_result(());
            el.call_soon(|el, seen| *seen = Some(el.snapshot()));
            *seen = Some(el.snapshot());
        });
        el.run_until_complete(promised).unwrap().unwrap();
        let snapshot = el.state().as_ref().unwrap();
        assert_eq!(only(snapshot, EntryKind::Task).state(), EntryState::Pending, "{snapshot}");
    });
}

/// A task that has begun to join another one, and then waits for something else.
#[test]
fn o8_a_task_that_is_detached_or_done_is_not_joined() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (promise, promised) = promise::<()>();
        let done = el.spawn(promised);
        let detached = el.spawn(sleep(HOUR));
        let joins = async move {
            let (mut done, mut detached) = (pin!(done), Box::pin(detached));
            poll_fn(|cx| {
                assert!(done.as_mut().poll(cx).is_pending());
                assert!(detached.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            Pin::into_inner(detached).detach();
            pending::<()>().await;
        };
        el.spawn(joins).named("joins").detach();
        tick(&mut el);
        let snapshot = el.snapshot();
        assert_eq!(named(&snapshot, "joins").waits().len(), 1, "{snapshot}");
        promise.set_result(());
        tick(&mut el);
        let snapshot = el.snapshot();
        assert_eq!(named(&snapshot, "joins").waits(), [], "{snapshot}");
    });
}

/// Tasks in their order, and what is below them in its order. Other entries are not in the tree.
#[test]
fn o6_a_tree_is_in_the_order_of_the_entries() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        el.call_later(HOUR, |_, ()| {});
        for (group, [first, second]) in [("a", ["b", "c"]), ("d", ["e", "f"])] {
            let tasks = TaskGroup::run(async move |group| {
                for name in [first, second] {
                    group.spawn(async { Ok(sleep(HOUR).await) })?.named(name);
                }
                Ok(())
            });
            el.spawn(async move { drop(tasks.await) }).named(group).detach();
        }
        tick(&mut el);
        tick(&mut el);
        let tree = el.snapshot().tree().to_string();
        let names: Vec<&str> = tree.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f"], "{tree}");
        assert!(!tree.contains("timer "), "{tree}");
    });
}

#[test]
fn o6_groups_and_scopes_are_below_their_tasks() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let first = line!();
        let main = async move {
            let scope = CancelScope::new();
            let inner = async {
                TaskGroup::run(async |group| {
                    group.spawn(async { Ok(sleep(HOUR).await) })?.named("child");
                    let shield = CancelScope::new().shielded();
                    let _ = shield.run(timeout(HOUR, pending::<()>())).await;
                    Ok(())
                })
                .await
            };
            drop(scope.run(timeout(HOUR, inner)).await);
        };
        let task = el.spawn(main).named("main");
        tick(&mut el); // the group waits in its shield
        let snapshot = el.snapshot();
        let parent = |entry: &Entry| entry.parent().map(|at| &snapshot.entries()[at]);
        let path = |name: &str| {
            let mut path = vec![named(&snapshot, name).kind()];
            let mut at = named(&snapshot, name);
            while let Some(next) = parent(at) {
                path.push(next.kind());
                at = next;
            }
            path
        };
        let outside = [EntryKind::Timeout, EntryKind::Scope, EntryKind::Task];
        assert_eq!(path("child")[..2], [EntryKind::Task, EntryKind::Group], "{}", snapshot.tree());
        assert_eq!(path("child")[2..], outside, "{}", snapshot.tree());
        let shield = only(&snapshot, EntryKind::Shield);
        assert_eq!(parent(shield).map(Entry::kind), Some(EntryKind::Group));
        assert!(shield.location().unwrap().line() > first);
        let tree = snapshot.tree().to_string();
        let depths: Vec<usize> = tree.lines().map(|it| it.len() - it.trim_start().len()).collect();
        assert_eq!(depths, [0, 2, 4, 6, 8, 8, 10], "{tree}");
        drop(task);
    });
}

/// Regions that have ended are gone, also those that were dropped half-way.
#[test]
fn o6_a_region_that_has_ended_has_no_entry() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let is_region = |it: &&Entry| !matches!(it.kind(), EntryKind::Task | EntryKind::Descriptor);
        let count = |el: &EventLoop| el.snapshot().entries().iter().filter(is_region).count();
        let tasks: Vec<_> = (0..10)
            .map(|n| el.spawn(async move { drop(timeout(HOUR * n, pending::<()>()).await) }))
            .collect();
        tick(&mut el);
        assert_eq!(count(&el), 10);
        drop(tasks.into_iter().map(|task| task.cancel("enough")).collect::<Vec<_>>());
        el.run().unwrap();
        assert_eq!(count(&el), 0);
    });
}

/// A second loop on the same thread has its own regions.
#[test]
fn o6_regions_of_another_loop_are_not_listed() {
    let (mut one, mut other) = (EventLoop::new().unwrap(), EventLoop::new().unwrap());
    one.spawn(timeout(HOUR, pending::<()>())).detach();
    tick(&mut one);
    tick(&mut other);
    let has = |el: &EventLoop| {
        el.snapshot().entries().iter().any(|entry| entry.kind() == EntryKind::Timeout)
    };
    assert!(has(&one) && !has(&other));
}

#[test]
fn o5_counts_by_place_are_exact() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let mut kept = Vec::new();
        for round in 0..100 {
            if round % 2 == 0 {
                kept.push(el.spawn(pending::<()>()));
            }
            kept.push(el.spawn(pending::<()>()));
            el.call_later(HOUR, |_, ()| {});
        }
        kept.truncate(kept.len() - 1);
        let soon = el.call_soon(|_, ()| {});
        let counts = |el: &EventLoop| {
            let places = el.count_by_place();
            assert_eq!(places, el.snapshot().by_place());
            places.iter().map(|it| (it.kind(), it.count())).collect::<Vec<_>>()
        };
        use EntryKind::{Closure, Task, Timer};
        assert_eq!(counts(&el)[..2], [(Task, 100), (Timer, 100)]);
        assert_eq!(counts(&el)[2..], [(Task, 50), (Closure, 1)]);
        el.cancel(soon);
        drop(kept.into_iter().map(|task| task.cancel("enough")).collect::<Vec<_>>());
        tick(&mut el);
        assert_eq!(counts(&el), [(Timer, 100), (Task, 1)]);
    });
}

/// Adds a timer and a closure of the line of the caller.
#[track_caller]
fn add_both(el: &EventLoop) {
    el.call_later(HOUR, |_, ()| {});
    el.call_soon(|_, ()| {});
}

#[test]
fn o5_kinds_of_one_line_have_counts_of_their_own() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        (0..2).for_each(|_| add_both(&el));
        let places = el.count_by_place();
        let counts: Vec<_> = places.iter().map(|place| (place.kind(), place.count())).collect();
        assert_eq!(counts, [(EntryKind::Timer, 2), (EntryKind::Closure, 2)]);
        assert_eq!(places[0].location(), places[1].location());
    });
}

#[test]
fn o5_a_million_tasks_are_counted() {
    let mut el = EventLoop::new().unwrap();
    let alive = Rc::new(());
    let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    for _ in 0..count {
        let alive = alive.clone();
        el.spawn(async move {
            let _alive = alive;
            pending::<()>().await;
        })
        .detach();
    }
    tick(&mut el);
    let began = std::time::Instant::now();
    let places = el.count_by_place();
    println!("{count} tasks in {:?}", began.elapsed()); // no limit: machines differ
    assert_eq!((places.len(), places[0].count()), (1, count));
    assert_eq!(Rc::strong_count(&alive), count + 1);
}

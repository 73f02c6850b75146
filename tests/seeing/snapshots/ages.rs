//! Ages and runs in a snapshot (docs/contract.md, O4, O15, O16).

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use mainspring::net::lookup_host;
use mainspring::snapshot::{Entry, EntryKind, Snapshot};
use mainspring::{CancelScope, EventLoop, Io, LoopHandle, TaskGroup, timeout};

use super::only;
use crate::support::blocking_jobs::{until, with_threads};
use crate::support::descriptors::pair;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const HOUR: Duration = Duration::from_secs(3600);

/// Ages of the queued closures, oldest first.
type Ages = Vec<u64>;

fn ages(el: &LoopHandle<Vec<Ages>>) -> Ages {
    let snapshot = el.snapshot();
    let closures = snapshot.entries().iter().filter(|entry| entry.kind() == EntryKind::Closure);
    closures
        .inspect(|entry| assert_eq!(entry.runs(), Some(0)))
        .map(|entry| entry.age().unwrap())
        .collect()
}

/// A callback that notes the ages.
fn note(el: &LoopHandle<Vec<Ages>>, seen: &mut Vec<Ages>) {
    seen.push(ages(el));
}

#[test]
fn o15_a_queued_closure_is_of_this_tick_or_of_the_one_before() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        el.call_soon(|el, seen| {
            el.call_soon(|_, _| {});
            note(el, seen);
        });
        el.call_soon(|_, _| {});
        assert_eq!(ages(&el), [0, 0]);
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), [[1, 0]]);
        assert_eq!(ages(&el), [0], "it was queued in the tick that has just ended");
        el.call_soon(note);
        el.call_soon(|_, _| {});
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), [[1]]);
        assert!(ages(&el).is_empty());
    });
}

#[test]
fn o15_a_closure_of_a_hook_is_of_the_tick_of_the_hook() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        let prepare = el.on_prepare(|el, _| {
            el.call_soon(note);
            el.call_soon(|_, _| {});
        });
        let check = el.on_check(note);
        for _ in 0..3 {
            el.call_soon(|_, _| {});
            tick(&mut el);
            // In the check hook, and in the first closure of the prepare hook.
            assert_eq!(el.state_mut().split_off(0), [vec![1, 0, 0], vec![0]]);
        }
        assert!(el.cancel(prepare.unwrap()) && el.cancel(check.unwrap()));
        el.call_soon(note);
        el.call_soon(|_, _| {});
        tick(&mut el);
        assert_eq!(el.state_mut().split_off(0), [[1]]);
    });
}

/// Returns the ages of the entries of some kinds.
fn ages_of(snapshot: &Snapshot, kinds: &[EntryKind]) -> Vec<(EntryKind, Option<u64>)> {
    let found = snapshot.entries().iter().filter(|entry| kinds.contains(&entry.kind()));
    found.map(|entry| (entry.kind(), entry.age())).collect()
}

#[test]
fn o16_regions_and_descriptors_have_ages() {
    use EntryKind::{Descriptor, Group, Scope, Shield, Timeout};
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let task = el.spawn(async {
            let (ours, _theirs) = pair();
            let io = Io::new(ours).unwrap();
            let inside = async {
                let shield = CancelScope::new().shielded();
                drop(shield.run(async { io.readable().await }).await);
                Ok(())
            };
            let group = TaskGroup::run(async |_| inside.await);
            drop(CancelScope::new().run(timeout(HOUR, group)).await);
        });
        tick(&mut el);
        let kinds = [Descriptor, Group, Scope, Timeout, Shield]; // in the order of `EntryKind`
        for age in 0..4 {
            let mut found = ages_of(&el.snapshot(), &kinds);
            found.sort();
            assert_eq!(found, kinds.map(|kind| (kind, Some(age))));
            let runs = |entry: &Entry| entry.runs().filter(|_| kinds.contains(&entry.kind()));
            assert!(el.snapshot().entries().iter().all(|entry| runs(entry).is_none()));
            tick(&mut el);
        }
        drop(task);
    });
}

/// A region counts from its first poll, not from that of the task around it.
#[test]
fn o16_a_region_is_not_as_old_as_its_task() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let task = el.spawn(async {
            mainspring::yield_now().await;
            mainspring::yield_now().await;
            drop(timeout(HOUR, pending::<()>()).await);
        });
        for _ in 0..5 {
            tick(&mut el);
        }
        assert_eq!(only(&el.snapshot(), EntryKind::Timeout).age(), Some(2));
        drop(task);
    });
}

#[test]
fn o16_a_job_of_the_loop_has_an_age() {
    let mut el = EventLoop::builder().blocking_pool(with_threads(1)).build().unwrap();
    let (hold, held) = mpsc::channel::<()>();
    let running = el.spawn_blocking(move || _ = held.recv());
    until(|| el.blocking_pool().running() == 1);
    tick(&mut el);
    let waiting = el.spawn_blocking(|| ());
    let unknown = el.blocking_pool().submit(|| ()).unwrap();
    tick(&mut el);
    let lookup = el.spawn(lookup_host(("localhost", 80)));
    tick(&mut el); // The first poll submits its job.
    tick(&mut el);
    let jobs = |el: &EventLoop| -> Vec<_> {
        let snapshot = el.snapshot();
        let jobs = snapshot.entries().iter().filter(|entry| entry.kind() == EntryKind::Job);
        jobs.map(|entry| (entry.age(), entry.runs())).collect()
    };
    let expected = [(Some(4), Some(1)), (Some(3), Some(0)), (None, Some(0)), (Some(1), Some(0))];
    assert_eq!(jobs(&el), expected);
    drop(hold);
    let (ran, waited) = el.run_until_complete(async { (running.await, waiting.await) }).unwrap();
    assert!(ran.is_ok() && waited.is_ok());
    drop(lookup);
    unknown.wait().unwrap();
}

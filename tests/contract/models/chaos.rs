//! Random programs in which every callback, and the `Drop` of everything it owns, may call any
//! function of the loop (P45; docs/contract.md, Q9).
//!
//! The [model](super::chaos_world) tracks what is registered. A removed callback must never run.
//! `cancel` must return what the model expects. Everything must be dropped exactly once, at the
//! latest with the loop.

use std::io::{ErrorKind, Read};
use std::panic::resume_unwind;
use std::time::Duration;

use mainspring::{
    CallbackResult, Error, Handle, Interest, LoopHandle, PanicPolicy, Result, Watched,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::models::chaos_world::{AnyHandle, Role, Source, Step, World, world};
use crate::support::{cases, on_every_selector};

const NOW: Option<Duration> = Some(Duration::ZERO);

type El = LoopHandle<World>;

/// Body of every callback: records the call, then does the next steps of the script.
fn ran(el: &El, world: &World, id: usize, once: bool) {
    world.begins(id, once);
    (0..1 + id % 2).for_each(|_| step(el, world));
    world.returns(id);
}

fn once(el: &El, world: &World) -> (usize, impl FnOnce(&El, &mut World) + use<>) {
    let probe = world.probe(el, step);
    (probe.id(), move |el: &El, world: &mut World| {
        ran(el, world, probe.id(), true);
        drop(probe);
    })
}

fn repeated(el: &El, world: &World) -> (usize, impl FnMut(&El, &mut World) + use<>) {
    let probe = world.probe(el, step);
    (probe.id(), move |el: &El, world: &mut World| ran(el, world, probe.id(), false))
}

type Watching = Box<dyn FnMut(&El, &mut World, &mut Watched<Source>) -> Result<()>>;

/// Callback of a watcher. It may also end itself in any of several ways.
fn watching(el: &El, world: &World) -> (usize, Watching) {
    let probe = world.probe(el, step);
    let id = probe.id();
    let callback = move |el: &El, world: &mut World, source: &mut Watched<Source>| {
        world.begins(probe.id(), false);
        step(el, world);
        let result = use_source(world, probe.id(), source);
        world.returns(probe.id());
        result
    };
    (id, Box::new(callback))
}

fn use_source(world: &World, id: usize, source: &mut Watched<Source>) -> Result<()> {
    let owner = source.owner();
    let Some(Step { kind, b, .. }) = world.next_step() else { return Ok(()) };
    match kind % 8 {
        0 => {
            world.leaves(owner);
            source.cancel();
        }
        1 => {
            world.leaves(owner);
            drop(Watched::into_inner(source));
        }
        2 => {
            world.leaves(id);
            return Err(Error::other("this one ends"));
        }
        3 => drop(source.set_interest(Interest::from_bits_truncate(b))),
        4 => return read(world, id, source),
        5 => {
            world.leaves(id);
            world.returns(id);
            resume_unwind(Box::new("a panic that prints nothing"));
        }
        _ => {}
    }
    Ok(())
}

/// Reads from the stream. Any error except `WouldBlock` ends the watcher: the peer may have closed
/// with our bytes unread.
fn read(world: &World, id: usize, source: &Source) -> Result<()> {
    match source.stream().read(&mut [0; 64]) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => {
            world.leaves(id);
            Err(error.into())
        }
        _ => Ok(()),
    }
}

fn hook<R: CallbackResult>(
    el: &El,
    world: &World,
    which: u8,
    callback: impl FnMut(&El, &mut World) -> R + 'static,
) -> Result<Handle> {
    match which % 4 {
        0 => el.on_prepare(callback),
        1 => el.on_check(callback),
        2 => el.on_idle(callback),
        _ => el.add_signal_handler(world.signal(), callback),
    }
}

/// Does the next step of the script, if one is left.
fn step(el: &El, world: &World) {
    let Some(Step { kind, a, b }) = world.next_step() else { return };
    let delay = Duration::from_millis(u64::from(b % 8));
    match kind % 24 {
        0 | 1 => {
            let (id, callback) = once(el, world);
            world.added(id, el, Ok(AnyHandle::Other(el.call_soon(callback))));
        }
        2 => {
            let (id, callback) = once(el, world);
            world.added(id, el, Ok(AnyHandle::Timer(el.call_later(delay, callback))));
        }
        3 => {
            let (id, callback) = repeated(el, world);
            let period = delay + Duration::from_millis(1);
            world.added(id, el, el.call_every(period, callback).map(AnyHandle::Timer));
        }
        4 => {
            let (id, callback) = repeated(el, world);
            world.added(id, el, el.add_timer(callback).map(AnyHandle::Timer));
        }
        5 => watch(el, world, Role::Reader, a, b),
        6 => watch(el, world, Role::Writer, a, b),
        7 | 8 => watch(el, world, Role::Both, a, b),
        9 | 10 => {
            let (id, callback) = repeated(el, world);
            world.added(id, el, hook(el, world, a, callback).map(AnyHandle::Other));
        }
        11 => {
            let probe = world.probe(el, step);
            let id = probe.id();
            el.set_exception_handler(move |el, world, _| ran(el, world, probe.id(), false));
            world.handles_exceptions(id);
        }
        12 => send(el, world),
        13 => el.stop(),
        14 => world.write(a),
        15 => world.renew(a),
        16 => world.signal().raise().expect("raise() works for our own process"),
        17 => world.clock.advance(delay),
        _ => change(el, world, Step { kind, a, b }),
    }
}

fn watch(el: &El, world: &World, role: Role, which: u8, interest: u8) {
    let (id, callback) = watching(el, world);
    let source = world.source(el, which, id, step);
    let free = !el.is_closed() && world.takes(id, &source, role);
    let added = match role {
        Role::Reader => el.add_reader(source, callback),
        Role::Writer => el.add_writer(source, callback),
        Role::Both => el.watch(source, Interest::from_bits_truncate(interest), callback),
    };
    assert_eq!(added.is_ok(), free, "{role:?}: {added:?}");
    world.added(id, el, added.map(AnyHandle::Watcher));
}

/// Sends a closure with `Remote`. It must be `Send`, so it reaches the model only through the
/// loop's state.
fn send(el: &El, world: &World) {
    let (id, sent) = world.enter_sent();
    let answer = world.remote.get().expect("a remote").call_soon(move |el, world: &mut World| {
        ran(el, world, id, true);
        drop(sent);
    });
    assert_eq!(answer.is_err(), el.is_closed());
}

/// Changes or cancels a registration that exists or has existed.
fn change(el: &El, world: &World, Step { kind, a, b }: Step) {
    let Some((id, handle)) = world.pick(a) else { return };
    let delay = Duration::from_millis(u64::from(b % 8));
    match (kind % 24, handle) {
        (18, AnyHandle::Timer(timer)) => world.expect(id, el.reset_after(timer, delay)),
        (19, AnyHandle::Timer(timer)) => world.expect(id, el.disarm(timer)),
        (18, AnyHandle::Watcher(watcher)) => {
            let _ = el.set_interest(watcher, Interest::from_bits_truncate(b));
        }
        (19 | 20, AnyHandle::Watcher(watcher)) => {
            let (replacement, callback) = watching(el, world);
            let moves_source = !el.is_closed() && world.moves_source(id, replacement);
            let replaced = el.replace(watcher, callback);
            assert!(
                replaced.is_err() || moves_source,
                "a callback that was already gone was replaced"
            );
            world.added(replacement, el, replaced.map(AnyHandle::Watcher));
        }
        (20, handle) => world.expect(id, el.set_name(handle, "chaos")),
        (21, handle) if b % 2 == 0 => world.expect(id, el.set_background(handle)),
        (21, handle) => world.expect(id, el.set_foreground(handle)),
        (_, handle) => {
            let lived = world.cancels(id);
            let answer = el.cancel(handle);
            world.cancelled(id, lived, answer);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(any::<(u8, u8, u8)>().prop_map(|(kind, a, b)| Step { kind, a, b }), 0..150)
}

fn check(script: &[Step], close: bool) {
    on_every_selector(|kind| {
        let (mut el, world) = world(kind, script);
        el.set_panic_policy(PanicPolicy::Report);
        for _ in 0..80 {
            if world.is_over() {
                break;
            }
            let handle = el.handle().clone();
            step(&handle, &world);
            el.tick(NOW).unwrap();
        }
        world.more(&script[..script.len() / 2]); // Steps for the `Drop`s that follow.
        if close {
            el.close();
        }
        drop(el);
        world.verify();
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(1000),
        failure_persistence: None,
        max_shrink_iters: 5000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn q9_any_callback_may_do_anything(script in steps(), close: bool) {
        check(&script, close);
    }
}

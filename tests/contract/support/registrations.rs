//! One registration of each kind.

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::{Handle, LoopHandle, Signal};

use crate::support::Source;

/// Registers one callback of each kind, none of which is ready. All callbacks and sources share
/// `alive`.
pub fn one_of_each<S: 'static>(
    el: &LoopHandle<S>,
    alive: &Rc<()>,
) -> Vec<(&'static str, Handle, Option<UnixStream>)> {
    let hour = Duration::from_secs(3600);
    let keep = || {
        let alive = alive.clone();
        move |_: &LoopHandle<S>, _: &mut S| drop(alive.clone())
    };
    let watched = |role: &'static str| {
        let (source, peer) = Source::pair(alive);
        let kept = alive.clone();
        let watcher = match role {
            "reader" => el.add_reader(source, move |_, _, _| Ok(drop(kept.clone()))),
            "writer" => el.add_writer(source, move |_, _, _| Ok(drop(kept.clone()))),
            _ => el.watch(source, mainspring::Interest::READABLE, move |_, _, _| {
                Ok(drop(kept.clone()))
            }),
        };
        (role, watcher.expect("a watcher").into(), Some(peer))
    };
    vec![
        ("call_soon", el.call_soon(keep()), None),
        ("call_later", el.call_later(hour, keep()).into(), None),
        ("call_at", el.call_at(el.now() + hour, keep()).into(), None),
        ("call_every", el.call_every(hour, keep()).expect("an interval").into(), None),
        ("add_timer", el.add_timer(keep()).expect("a timer").into(), None),
        watched("reader"),
        watched("writer"),
        watched("watcher"),
        ("signal", el.add_signal_handler(Signal::WINCH, keep()).expect("a handler"), None),
        ("prepare", el.on_prepare(keep()).expect("a hook"), None),
        ("check", el.on_check(keep()).expect("a hook"), None),
        ("idle", el.on_idle(keep()).expect("a hook"), None),
    ]
}

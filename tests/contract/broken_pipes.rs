//! X8: SIGPIPE never kills the process because of our socket writes.

use std::cell::Cell;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::rc::Rc;

use mainspring::net::{PipePair, Stream};
use mainspring::{SelectorKind, Signal};
use mainspring_sys::socket;

use crate::files::{alone, pair, tcp_pair};
use crate::moments::{recorded, recording, settle};
use crate::support::on_every_selector;

/// X8: every way of writing to a peer that has gone. The handler would count the signals; without
/// one the first would be the last.
#[test]
fn x8_no_transport_raises_sigpipe() {
    alone("broken_pipes::x8_no_transport_raises_sigpipe", || {
        on_every_selector(|kind| {
            let (ours, theirs) = tcp_pair();
            check_no_sigpipe(kind, ours, theirs);
            let (ours, theirs) = pair();
            check_no_sigpipe(kind, ours, theirs);
            let (ours, theirs) = pair();
            let halves = PipePair::new(ours.try_clone().unwrap(), ours);
            check_no_sigpipe(kind, halves, theirs);
        });
    });
}

fn check_no_sigpipe<T: Stream + 'static>(kind: SelectorKind, ours: T, theirs: impl AsFd) {
    let (mut el, _) = recorded(kind);
    let signals = Rc::new(Cell::new(0));
    let counter = signals.clone();
    let count = move |_: &_, _: &mut _| counter.set(counter.get() + 1);
    el.add_signal_handler(Signal::PIPE, count).unwrap();
    let conn = el.attach_with(ours, recording()).unwrap();
    socket::shutdown_write(&theirs).unwrap();
    settle(&mut el);
    drop(theirs);
    for _ in 0..3 {
        // A TCP peer answers the first bytes that come too late, and only then is the pipe broken.
        conn.write_vectored(&[IoSlice::new(b"to "), IoSlice::new(b"nobody")]);
    }
    settle(&mut el);
    assert!(el.state().loss().flatten().is_some());
    assert_eq!(signals.get(), 0, "SIGPIPE for a {}", std::any::type_name::<T>());
    el.call_soon(|_, _| Ok(Signal::PIPE.raise()?));
    settle(&mut el);
    assert_eq!(signals.get(), 1, "the handler does count");
}

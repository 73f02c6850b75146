//! Callbacks of type `!`, which never return (docs/contract.md, X3 and W9). They compile on stable
//! Rust in every function that takes a callback. Here each one panics, so that the test can
//! continue.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mainspring::{EventLoop, Interest, SelectorKind, Signal};

use crate::support::simulated;

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Panics; stands for a function such as `std::process::exit`, which has the same type.
fn stand_in_for_exit() -> ! {
    panic!("diverged")
}

/// Returns the message of the panic that ends the next tick.
fn tick(el: &mut EventLoop<()>) -> String {
    let ended = catch_unwind(AssertUnwindSafe(|| el.tick(NOW))).expect_err("a callback diverges");
    (*ended.downcast::<&str>().expect("a &str payload")).to_owned()
}

fn each(add: impl FnOnce(&EventLoop<()>)) {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    add(&el);
    clock.advance(Duration::from_secs(1));
    assert_eq!(tick(&mut el), "diverged");
}

#[test]
fn x3_a_callback_of_any_registration_may_never_return() {
    let second = Duration::from_secs(1);
    each(|el| _ = el.call_soon(|_, ()| stand_in_for_exit()));
    each(|el| _ = el.call_later(second, |_, ()| stand_in_for_exit()));
    each(|el| _ = el.call_at(el.now() + second, |_, ()| stand_in_for_exit()));
    each(|el| drop(el.call_every(second, |_, ()| stand_in_for_exit())));
    each(|el| el.remote().call_soon(|_, ()| stand_in_for_exit()).unwrap());
    each(|el| drop(el.on_prepare(|_, ()| stand_in_for_exit())));
    each(|el| drop(el.on_check(|_, ()| stand_in_for_exit())));
    each(|el| drop(el.on_idle(|_, ()| stand_in_for_exit())));
    each(|el| {
        el.add_signal_handler(Signal::URG, |_, ()| stand_in_for_exit()).unwrap();
        Signal::URG.raise().unwrap();
    });
    each(|el| {
        let timer = el.add_timer(|_, ()| stand_in_for_exit()).unwrap();
        el.reset_after(timer, second);
    });
}

#[test]
fn w9_a_callback_of_a_descriptor_may_never_return() {
    let readable = || {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        (ours, theirs)
    };
    let (reader, _reader) = readable();
    each(move |el| drop(el.add_reader(reader, |_, (), _| stand_in_for_exit())));
    let (writer, _writer) = readable();
    each(move |el| drop(el.add_writer(writer, |_, (), _| stand_in_for_exit())));
    let (both, _both) = readable();
    each(move |el| drop(el.watch(both, Interest::READABLE, |_, (), _| stand_in_for_exit())));
    let (stream, _stream) = readable();
    each(move |el| drop(el.attach(stream, |_, (), _, _| stand_in_for_exit())));
    let second = Duration::from_secs(1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    each(move |el| {
        let address = mainspring::net::Address::from(address);
        el.connect(address, second, |_, (), _| stand_in_for_exit());
    });
    drop(listener);
}

#[test]
fn w9_an_exception_handler_may_never_return() {
    each(|el| {
        el.set_exception_handler(|_, (), _| stand_in_for_exit());
        el.call_soon(|_, ()| -> mainspring::Result<()> { Err(mainspring::Error::Closed) });
    });
}

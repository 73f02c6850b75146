//! SIGPIPE: no write to a socket of ours raises it (docs/contract.md, X8).

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{ConnectedSocket, PipePair, TcpStream, TransportStream, UnixStream};
use mainspring::{EventLoop, SelectorKind, Signal, yield_now};
use mainspring_sys::socket;

use crate::support::descriptors::{pair, tcp_pair};
use crate::support::process::alone;
use crate::support::protocol::{recorder, recording_loop, tick_until_idle};
use crate::support::{loopback, on_every_selector};

/// Every way of writing to a closed peer. The handler would count the signals; without a handler
/// the first one would kill the process.
#[test]
fn x8_writes_of_a_transport_do_not_raise_sigpipe() {
    alone("signals::sigpipe::x8_writes_of_a_transport_do_not_raise_sigpipe", || {
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

/// The same for sockets of tasks.
#[test]
fn x8_writes_of_a_task_do_not_raise_sigpipe() {
    alone("signals::sigpipe::x8_writes_of_a_task_do_not_raise_sigpipe", || {
        on_every_selector(|kind| {
            let (ours, theirs) = tcp_pair();
            check_no_sigpipe_of_tasks(kind, TcpStream::from_std(ours).unwrap(), theirs);
            let (ours, theirs) = pair();
            check_no_sigpipe_of_tasks(kind, UnixStream::from_std(ours).unwrap(), theirs);
        });
    });
}

fn check_no_sigpipe_of_tasks<T>(kind: SelectorKind, conn: T, theirs: impl AsFd)
where
    T: Deref<Target = ConnectedSocket> + 'static,
{
    let mut el = EventLoop::builder().selector(loopback::selector(kind)).build_with(0).unwrap();
    el.add_signal_handler(Signal::PIPE, |_, signals| *signals += 1).unwrap();
    drop(theirs);
    let errors = el.run_until_complete(async move {
        // The first bytes may still be accepted, like below.
        while conn.write_vectored(&[IoSlice::new(b"to "), IoSlice::new(b"closed")]).await.is_ok() {
            yield_now().await;
        }
        let gathered = conn.write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")]).await;
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let sent = conn.send_file(&file, 0..9).await.map(|count| count as usize);
        [gathered, conn.write(b"x").await, conn.write_all(b"x").await.map(|()| 1), sent]
    });
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    assert!(errors.unwrap().iter().all(|sent| sent.as_ref().is_err_and(is_broken)));
    el.tick(Some(Duration::ZERO)).unwrap(); // Gives the handler a tick, should it be queued.
    assert_eq!(*el.state(), 0, "SIGPIPE for a {}", std::any::type_name::<T>());
    Signal::PIPE.raise().unwrap();
    el.tick(None).unwrap();
    assert_eq!(*el.state(), 1, "the handler counts");
}

fn check_no_sigpipe<T: TransportStream + 'static>(kind: SelectorKind, ours: T, theirs: impl AsFd) {
    let (mut el, _) = recording_loop(kind);
    let signals = Rc::new(Cell::new(0));
    let counter = signals.clone();
    let count = move |_: &_, _: &mut _| counter.set(counter.get() + 1);
    el.add_signal_handler(Signal::PIPE, count).unwrap();
    let conn = el.attach_with(ours, recorder()).unwrap();
    socket::shutdown_write(&theirs).unwrap();
    tick_until_idle(&mut el);
    drop(theirs);
    for _ in 0..3 {
        // A TCP peer answers the first late bytes with a reset; only then does a write fail with
        // EPIPE.
        conn.write_vectored(&[IoSlice::new(b"to "), IoSlice::new(b"closed")]);
        tick_until_idle(&mut el);
    }
    assert!(el.state().lost_reason().flatten().is_some());
    assert_eq!(signals.get(), 0, "SIGPIPE for a {}", std::any::type_name::<T>());
    el.call_soon(|_, _| Ok(Signal::PIPE.raise()?));
    tick_until_idle(&mut el);
    assert_eq!(signals.get(), 1, "the handler counts");
}

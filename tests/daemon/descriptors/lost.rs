//! Descriptors that do not arrive, and calls that are interrupted (docs/contract.md, D1 to D3).

use std::io;
use std::os::unix::net::UnixStream as StdStream;

use mainspring::net::{FdStream, LostFds, UnixStream, send_fds};
use mainspring::{Error, EventLoop, SelectorKind};

use super::Many;
use crate::support::descriptors::FdLimit;
use crate::support::on_every_selector;
use crate::support::process::{alone, alone_with_fault};
use crate::support::ticks::wait_until;

/// Returns the numbers in an error about lost descriptors: bytes, and descriptors that arrived.
#[track_caller]
fn numbers(error: &io::Error) -> (usize, usize) {
    let lost = error.get_ref().and_then(|error| error.downcast_ref::<LostFds>());
    let lost = lost.unwrap_or_else(|| panic!("not an error of lost descriptors: {error:?}"));
    (lost.bytes(), lost.arrived())
}

/// Returns true on systems that deliver a message with only some of its descriptors.
fn delivers_a_part() -> bool {
    SelectorKind::available().contains(&SelectorKind::Epoll)
}

#[test]
fn d2_at_the_limit_lost_descriptors_are_an_error() {
    if !delivers_a_part() {
        println!("skipped: FreeBSD refuses the whole message with EMSGSIZE");
        return;
    }
    alone("descriptors::lost::d2_at_the_limit_lost_descriptors_are_an_error", || {
        on_every_selector(|kind| {
            let mut el = EventLoop::builder().selector(kind).build().unwrap();
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (one, all) = (Many::new(), Many::new());
            el.run_until_complete(async {
                ours.send_fds(b"some", &one.fds(5)).await.unwrap();
                let mut limit = FdLimit::new();
                limit.taken.truncate(limit.taken.len() - 2); // Two of five arrive.
                let mut buffer = [0; 64];
                let error = theirs.recv_fds(&mut buffer).await.unwrap_err();
                assert_eq!((numbers(&error), &buffer[..4]), ((4, 2), &b"some"[..]));
                assert!(error.to_string().contains("after 2 of them"), "{error}");
                ours.send_fds(b"none", &all.fds(1)).await.unwrap();
                limit.taken.extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
                let error = theirs.recv_fds(&mut buffer).await.unwrap_err();
                assert_eq!(numbers(&error), (4, 0));
                // The stream continues after the message.
                ours.write_all(b"after").await.unwrap();
                assert_eq!(theirs.recv_fds(&mut buffer).await.unwrap().0, 5);
            })
            .unwrap();
            one.assert_closed();
            all.assert_closed();
        });
    });
}

#[test]
fn d2_a_transport_ends_by_the_error() {
    if !delivers_a_part() {
        println!("skipped: FreeBSD refuses the whole message with EMSGSIZE");
        return;
    }
    alone("descriptors::lost::d2_a_transport_ends_by_the_error", || {
        on_every_selector(|kind| {
            let builder = EventLoop::builder().selector(kind);
            let mut el = builder.build_with(None).unwrap();
            el.set_exception_handler(|_, lost, report| {
                let Error::Watch { operation: "read from", source, .. } = &report.error else {
                    panic!("{:?}", report.error);
                };
                *lost = Some(numbers(source));
            });
            let (ours, theirs) = StdStream::pair().unwrap();
            let many = Many::new();
            send_fds(&ours, b"some", &many.fds(5)).unwrap();
            el.attach(FdStream::new(theirs), |_, _, _, _| Ok(())).unwrap();
            let mut limit = FdLimit::new();
            limit.taken.truncate(limit.taken.len() - 1);
            wait_until(&mut el, |el| el.state().is_some());
            drop(limit);
            assert_eq!(*el.state(), Some((4, 1)));
            many.assert_closed();
        });
    });
}

/// Every second call is interrupted by a signal, before it has done anything.
#[test]
fn d3_an_interrupted_call_is_repeated() {
    let name = "descriptors::lost::d3_an_interrupted_call_is_repeated";
    alone_with_fault(name, "sendmsg,recvmsg:error=EINTR:when=1+2", || {
        let mut el = EventLoop::new().unwrap();
        let many = Many::new();
        el.run_until_complete(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            for _ in 0..5 {
                ours.send_fds(b"x", &many.fds(2)).await.unwrap();
                let (count, fds) = theirs.recv_fds(&mut [0; 8]).await.unwrap();
                assert_eq!((count, fds.len()), (1, 2));
            }
        })
        .unwrap();
        many.assert_closed();
    });
}

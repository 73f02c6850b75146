//! The ends of an endpoint (M4).

use std::cell::Cell;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use mainspring::net::{Datagram, DatagramProtocol, DatagramTransport};
use mainspring::{Error, LoopHandle, Result};

use super::support::{Log, Logging, address_of, take, udp};
use crate::support::descriptors::{FdLimit, census};
use crate::support::process::alone;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

#[test]
fn m4_a_callback_may_end_its_own_endpoint() {
    on_every_selector(|kind| {
        for way in ["close", "abort", "cancel"] {
            let (mut el, _) = simulated(kind, Vec::new());
            let alive = Rc::new(());
            let captured = alive.clone();
            let endpoint =
                el.bind_datagram("127.0.0.1:0", move |el, seen: &mut Vec<u8>, it, datagram| {
                    let _ = &captured;
                    seen.push(datagram.bytes[0]);
                    if datagram.bytes == [2] {
                        match way {
                            "close" => it.close(),
                            "abort" => it.abort(),
                            _ => assert!(el.cancel(it.handle())),
                        }
                    }
                    Ok(())
                });
            let endpoint = endpoint.unwrap();
            let (peer, address) = (udp(), address_of(&endpoint));
            (1..=4_u8).for_each(|number| _ = peer.send_to(&[number], address).unwrap());
            el.run().unwrap();
            assert_eq!(*el.state(), [1, 2], "{way}");
            assert_eq!(Rc::strong_count(&alive), 1, "{way}: the closure was dropped");
            assert!(endpoint.is_closing() && endpoint.local_addr().is_err());
        }
    });
}

#[test]
fn m4_connection_lost_is_not_called_after_a_cancel_or_the_drop_of_the_loop() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let log = Log::default();
        let [first, second] =
            [(); 2].map(|()| el.bind_datagram_with("127.0.0.1:0", Logging(log.clone())).unwrap());
        tick(&mut el);
        assert!(el.cancel(first.handle()));
        assert!(first.is_closing());
        drop(el);
        assert!(second.is_closing());
        second.send(b"x");
        second.close();
        second.resume_reading();
        assert!(second.enable(&Default::default()).is_err());
        assert_eq!(take(&log), ["made", "made"]);
        assert_eq!(Rc::strong_count(&log), 1);
    });
}

/// Protocol that panics when it is lost.
struct Panics(Rc<Cell<u32>>);

impl<S> DatagramProtocol<S> for Panics {
    fn datagram_received(
        &mut self,
        _: &LoopHandle<S>,
        _: &mut S,
        _: &DatagramTransport,
        _: &Datagram<'_>,
    ) -> Result<()> {
        Ok(())
    }

    fn connection_lost(&mut self, _: &LoopHandle<S>, _: &mut S, _: Option<&Error>) -> Result<()> {
        self.0.set(self.0.get() + 1);
        panic!("lost")
    }
}

#[test]
fn m4_a_panic_in_connection_lost_still_ends_the_endpoint() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        el.set_panic_policy(mainspring::PanicPolicy::Report);
        el.set_exception_handler(|_, _, _| {});
        let calls = Rc::new(Cell::new(0));
        el.bind_datagram_with("127.0.0.1:0", Panics(calls.clone())).unwrap().close();
        el.run().unwrap();
        assert_eq!((calls.get(), Rc::strong_count(&calls)), (1, 1));
    });
}

#[test]
fn m4_only_a_datagram_socket_can_be_attached() {
    alone("datagrams::endings::m4_only_a_datagram_socket_can_be_attached", || {
        on_every_selector(|kind| {
            let (el, _) = simulated(kind, ());
            let open = census();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let fd = listener.as_raw_fd();
            let error = el.attach_datagram(listener, |_, _, _, _| Ok(())).unwrap_err();
            assert!(matches!(error, Error::Watch { operation: "attach", fd: of, .. } if of == fd));
            let (reader, _writer) = std::io::pipe().unwrap();
            assert!(el.attach_datagram(OwnedFd::from(reader), |_, _, _, _| Ok(())).is_err());
            drop(_writer);
            let error = el.bind_datagram("localhost:1", |_, _, _, _| Ok(())).unwrap_err();
            assert!(error.to_string().contains("look up"), "{error}");
            let taken = udp();
            let address = taken.local_addr().unwrap();
            let error = el.bind_datagram(address, |_, _, _, _| Ok(())).unwrap_err();
            assert!(error.to_string().contains(&address.to_string()), "{error}");
            drop(taken);
            assert_eq!(census(), open);
        })
    });
}

#[test]
fn m4_at_the_limit_of_descriptors_binding_is_an_error_and_others_go_on() {
    alone(
        "datagrams::endings::m4_at_the_limit_of_descriptors_binding_is_an_error_and_others_go_on",
        || {
            on_every_selector(|kind| {
                let (mut el, _) = simulated(kind, 0);
                let endpoint =
                    el.bind_datagram("127.0.0.1:0", |_, seen, _, _| Ok(*seen += 1)).unwrap();
                let peer = udp();
                let limit = FdLimit::new();
                let error = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap_err();
                assert!(matches!(error, Error::Bind { .. }), "{error}");
                peer.send_to(b"x", address_of(&endpoint)).unwrap();
                tick(&mut el);
                assert_eq!(*el.state(), 1);
                drop(limit);
            });
        },
    );
}

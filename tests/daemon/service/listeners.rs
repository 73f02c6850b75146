//! Sockets by name (docs/contract.md, L3).

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;

use mainspring::service::Service;
use mainspring::{Error, EventLoop, net};

use super::manager::activated;
use crate::support::descriptors::is_blocking;
use crate::support::network::SocketFile;
use crate::support::on_every_selector;
use crate::support::stopping::stop_after;

const PREFIX: &str = "service::listeners::";

/// Argument `bind` of a test in which the socket was inherited.
fn not_bound<T>() -> mainspring::Result<T> {
    panic!("the socket was inherited")
}

#[test]
fn l3_a_name_that_was_not_inherited_is_bound() {
    let service = Service::default();
    let bound: TcpListener = service.listener("http", || TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = bound.local_addr().unwrap();
    let taken = service.listener("http", || TcpListener::bind(address)).unwrap_err();
    assert!(taken.chain().starts_with("cannot listen on http: Address"), "{taken:?}");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let all = service.listeners("http", || TcpListener::bind("127.0.0.1:0")).unwrap();
    assert_eq!(all.len(), 1);
}

#[test]
fn l3_another_kind_is_an_error_and_stays() {
    let name = &format!("{PREFIX}l3_another_kind_is_an_error_and_stays");
    let (stream, _) = UnixStream::pair().unwrap();
    let sockets = [UdpSocket::bind("127.0.0.1:0").unwrap().into(), OwnedFd::from(stream)];
    let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "dns:connection")];
    activated(name, sockets, &variables, || {
        let service = Service::from_env().unwrap();
        let error = service.listener::<TcpListener, Error>("dns", not_bound).unwrap_err();
        assert_eq!(
            error.chain(),
            "cannot inherit fd 3 (\"dns\"): expected a listening TCP socket, found a UDP socket"
        );
        let error = service.listener::<OwnedFd, Error>("connection", not_bound).unwrap_err();
        assert_eq!(
            error.chain(),
            "cannot inherit fd 4 (\"connection\"): expected a listening socket, found a Unix \
             stream socket that does not listen"
        );
        service.listener::<net::UdpSocket, Error>("dns", not_bound).unwrap();
        assert!(service.take_fd("connection").is_some());
        assert!(service.take_fd("connection").is_none());
        let error = service.listener::<UdpSocket, Error>("dns", not_bound).unwrap_err();
        assert_eq!(error.chain(), "cannot inherit fd 3 (\"dns\"): it was taken before");
    });
}

/// A manager passes sockets that block.
#[test]
fn l3_sockets_of_tasks_do_not_block() {
    let name = &format!("{PREFIX}l3_sockets_of_tasks_do_not_block");
    let sockets = [
        OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()),
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
    ];
    activated(name, sockets, &[("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "http:dns")], || {
        let service = Service::from_env().unwrap();
        let http = service.listener::<net::TcpListener, Error>("http", not_bound).unwrap();
        let dns = service.listener::<net::UdpSocket, Error>("dns", not_bound).unwrap();
        assert!(!is_blocking(&http) && !is_blocking(&dns));
        let mut el = EventLoop::new().unwrap();
        let accepting = el.spawn(async move { http.accept().await.map(drop) });
        let receiving = el.spawn(async move { dns.recv(&mut [0]).await.map(drop) });
        el.run_until_stalled().unwrap();
        assert!(!accepting.is_finished() && !receiving.is_finished());
    });
}

#[test]
fn l3_a_file_is_not_a_socket() {
    let name = &format!("{PREFIX}l3_a_file_is_not_a_socket");
    let (pipe, _writer) = std::io::pipe().unwrap();
    activated(name, [pipe.into()], &[("LISTEN_FDS", "1")], || {
        let service = Service::from_env().unwrap();
        let error = service.listener::<TcpListener, Error>("unknown", not_bound).unwrap_err();
        assert!(error.chain().starts_with("cannot inherit fd 3 (\"unknown\"): "), "{error:?}");
        assert!(service.take_fd("unknown").is_some());
    });
}

#[test]
fn l3_sockets_of_one_name_come_in_order() {
    let name = &format!("{PREFIX}l3_sockets_of_one_name_come_in_order");
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = sockets.each_ref().map(|socket| socket.local_addr().unwrap().port());
    let ports = format!("{ports:?}");
    let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "http:http"), ("PORTS", &*ports)];
    activated(name, sockets.map(OwnedFd::from), &variables, || {
        let service = Service::from_env().unwrap();
        let all: Vec<TcpListener> = service.listeners("http", not_bound).unwrap();
        let ports: Vec<_> = all.iter().map(|it| it.local_addr().unwrap().port()).collect();
        assert_eq!(std::env::var("PORTS").unwrap(), format!("{ports:?}"));
        let taken = service.listeners::<TcpListener, Error>("http", not_bound).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn l3_inherited_listeners_serve_callbacks_and_tasks() {
    let name = &format!("{PREFIX}l3_inherited_listeners_serve_callbacks_and_tasks");
    let file = SocketFile::new("inherited");
    let sockets: [OwnedFd; 2] = [
        TcpListener::bind("127.0.0.1:0").unwrap().into(),
        UnixListener::bind(&file.0).unwrap().into(),
    ];
    let variables =
        [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "tcp:unix"), ("PATH_", file.0.to_str().unwrap())];
    activated(name, sockets, &variables, || {
        let service = Service::from_env().unwrap();
        let tcp: TcpListener = service.listener("tcp", not_bound).unwrap();
        let unix: UnixListener = service.listener("unix", not_bound).unwrap();
        let address = tcp.local_addr().unwrap();
        on_every_selector(|kind| {
            let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
            let served: OwnedFd = tcp.try_clone().unwrap().into();
            let server = el.serve(served, |_, bytes, conn, data| {
                *bytes += data.len();
                conn.write(data);
                Ok(())
            });
            let accepting = net::UnixListener::from_std(unix.try_clone().unwrap()).unwrap();
            el.spawn(async move {
                let (conn, _) = accepting.accept().await?;
                conn.write_all(b"from a task").await
            })
            .detach();
            let client = stop_after(&el, move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"hello").unwrap();
                stream.read_exact(&mut [0; 5]).unwrap();
                let path = std::env::var("PATH_").unwrap();
                let mut text = String::new();
                UnixStream::connect(path).unwrap().read_to_string(&mut text).unwrap();
                text
            });
            el.run_forever().unwrap();
            assert_eq!(client.join().unwrap(), "from a task");
            assert_eq!((*el.state(), server.unwrap().accepted()), (5, 1));
        });
    });
}

#[test]
fn l3_inherited_datagram_sockets_serve_callbacks_and_tasks() {
    let name = &format!("{PREFIX}l3_inherited_datagram_sockets_serve_callbacks_and_tasks");
    let file = SocketFile::new("datagrams");
    let sockets: [OwnedFd; 2] = [
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        UnixDatagram::bind(&file.0).unwrap().into(),
    ];
    let variables =
        [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "dns:log"), ("PATH_", file.0.to_str().unwrap())];
    activated(name, sockets, &variables, || {
        let service = Service::from_env().unwrap();
        let dns: UdpSocket = service.listener("dns", not_bound).unwrap();
        let log: UnixDatagram = service.listener("log", not_bound).unwrap();
        let address = dns.local_addr().unwrap();
        on_every_selector(|kind| {
            let mut el = EventLoop::builder().selector(kind).build().unwrap();
            let seen = Rc::new(Cell::new(0));
            let count = seen.clone();
            el.add_reader(dns.try_clone().unwrap(), move |_, (), socket| {
                count.set(count.get() + socket.recv(&mut [0; 16])?);
                socket.cancel();
                Ok(())
            })
            .unwrap();
            let log = net::UnixDatagram::from_std(log.try_clone().unwrap()).unwrap();
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"query", address).unwrap();
            let path = std::env::var("PATH_").unwrap();
            UnixDatagram::unbound().unwrap().send_to(b"a line", path).unwrap();
            let count = seen.clone();
            let received = async move {
                let (received, _) = log.recv_from(&mut [0; 16]).await.unwrap();
                while count.get() == 0 {
                    mainspring::yield_now().await;
                }
                received
            };
            assert_eq!(el.run_until_complete(received).unwrap(), 6);
            assert_eq!(seen.get(), 5);
        });
    });
}

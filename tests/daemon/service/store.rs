//! Descriptors that the manager keeps (docs/contract.md, L9).

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use mainspring::EventLoop;
use mainspring::service::Service;

use super::manager::{activated, managed};

const PREFIX: &str = "service::store::";

#[test]
fn l9_a_stored_listener_has_its_name() {
    managed(&format!("{PREFIX}l9_a_stored_listener_has_its_name"), &[], |service, manager| {
        let listener = service.listener("http", || TcpListener::bind("127.0.0.1:0")).unwrap();
        service.store_fd("http", &listener).unwrap();
        let (message, mut fds) = manager.message().unwrap();
        assert_eq!(message, "FDSTORE=1\nFDNAME=http");
        let copy = TcpListener::from(fds.remove(0));
        assert_eq!(copy.local_addr().unwrap(), listener.local_addr().unwrap());
        assert!(fds.is_empty());
        service.remove_stored_fds("http").unwrap();
        assert_eq!(manager.messages(), ["FDSTOREREMOVE=1\nFDNAME=http"]);
    });
}

#[test]
fn l9_a_name_that_the_manager_would_drop_is_an_error() {
    let name = &format!("{PREFIX}l9_a_name_that_the_manager_would_drop_is_an_error");
    managed(name, &[], |service, manager| {
        let (pipe, _writer) = std::io::pipe().unwrap();
        for name in ["", "a:b", "a\nREADY=1", "ä", &"x".repeat(256)] {
            let error = service.store_fd(name, &pipe).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(service.remove_stored_fds(name).is_err());
        }
        assert!(manager.messages().is_empty());
        service.store_fd(&"x".repeat(255), &pipe).unwrap();
    });
}

/// A client connects while no process serves: the next one accepts it.
#[test]
fn l9_clients_of_a_crashed_service_are_served_by_the_next() {
    let name = &format!("{PREFIX}l9_clients_of_a_crashed_service_are_served_by_the_next");
    let kept = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(kept.local_addr().unwrap()).unwrap();
    client.write_all(b"are you there?").unwrap();
    let variables = [("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "http")];
    activated(name, [kept.into()], &variables, || {
        let service = Service::from_env().unwrap();
        let listener = service.listener("http", || TcpListener::bind("127.0.0.1:0")).unwrap();
        let mut el = EventLoop::new().unwrap();
        el.serve(listener, |el, (), conn, data| {
            conn.write(data);
            conn.close();
            el.stop();
            Ok(())
        })
        .unwrap();
        el.run_forever().unwrap();
        el.run_until_stalled().unwrap();
    });
    if std::env::var("MAINSPRING_TEST_ALONE").is_err() {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "are you there?");
    }
}

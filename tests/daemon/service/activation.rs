//! Inherited sockets, checked (docs/contract.md, L1).

use std::net::{TcpListener, UdpSocket};

use mainspring::service::Service;

use super::manager::activated;

const PREFIX: &str = "service::activation::";

fn tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn l1_sockets_come_with_their_names() {
    let (http, dns) = (tcp(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let ports = [http.local_addr().unwrap().port(), dns.local_addr().unwrap().port()];
    let expected = format!("{ports:?}");
    let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "http:dns"), ("EXPECTED", &*expected)];
    let sockets = [http.into(), dns.into()];
    let name = &format!("{PREFIX}l1_sockets_come_with_their_names");
    activated(name, sockets, &variables, || {
        let service = Service::from_env().unwrap();
        assert_eq!(service.unclaimed(), ["http", "dns"]);
        let dns: UdpSocket =
            service.listener("dns", || -> mainspring::Result<_> { panic!() }).unwrap();
        let http: TcpListener =
            service.listener("http", || -> mainspring::Result<_> { panic!() }).unwrap();
        let ports = [http.local_addr().unwrap().port(), dns.local_addr().unwrap().port()];
        assert_eq!(std::env::var("EXPECTED").unwrap(), format!("{ports:?}"));
        assert!(service.unclaimed().is_empty());
    });
}

#[test]
fn l1_sockets_without_a_name_are_unknown() {
    let name = &format!("{PREFIX}l1_sockets_without_a_name_are_unknown");
    activated(name, [tcp().into()], &[("LISTEN_FDS", "1")], || {
        assert_eq!(Service::from_env().unwrap().unclaimed(), ["unknown"]);
    });
}

#[test]
fn l1_sockets_for_another_process_are_ignored() {
    let name = &format!("{PREFIX}l1_sockets_for_another_process_are_ignored");
    let variables = [("LISTEN_FDS", "1"), ("LISTEN_PID", "1")];
    activated(name, [tcp().into()], &variables, || {
        assert!(Service::from_env().unwrap().unclaimed().is_empty());
    });
}

/// Starts a service that expects this error.
#[track_caller]
fn fails(name: &str, variables: &[(&str, &str)], expected: &str) {
    let name = &format!("{PREFIX}{name}");
    activated(name, [tcp().into()], variables, || {
        assert_eq!(Service::from_env().unwrap_err().chain(), expected);
    });
}

#[test]
fn l1_the_number_of_names_is_checked() {
    fails(
        "l1_the_number_of_names_is_checked",
        &[("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "a:b")],
        "LISTEN_FDNAMES=\"a:b\": 2 names for 1 descriptors",
    );
}

#[test]
fn l1_the_number_of_descriptors_is_checked() {
    fails(
        "l1_the_number_of_descriptors_is_checked",
        &[("LISTEN_FDS", "many")],
        "LISTEN_FDS=\"many\": not a number of descriptors",
    );
}

#[test]
fn l1_a_process_id_is_checked() {
    fails(
        "l1_a_process_id_is_checked",
        &[("LISTEN_FDS", "1"), ("LISTEN_PID", "self")],
        "LISTEN_PID=\"self\": not a process id",
    );
}

//! Errors of accept(2) that concern one connection do not end the listener (P85; docs/contract.md,
//! S4). strace(1) injects them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mainspring::net::TcpListener;
use mainspring::{EventLoop, SelectorKind};

use crate::support::network::accept_and_echo;
use crate::support::process::alone_with_fault;
use crate::support::stopping::stop_after;

/// Expected errors of a connection (accept(2) of Linux), errors that no list contains, and errors
/// that kernels also return for a descriptor that does not listen.
const ERRORS: [&str; 12] = [
    "ECONNABORTED",
    "EPROTO",
    "ENETDOWN",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENONET",
    "ETIMEDOUT",
    "EIO",
    "ENODEV",
    "EINVAL",
    "EOPNOTSUPP",
    "EINTR",
];

/// Runs `check` in its own process, in which the first two accepts fail.
fn with_each_error(name: &str, check: fn(SelectorKind)) {
    for error in ERRORS {
        let fault = format!("accept4,accept:error={error}:when=1..2");
        alone_with_fault(name, &fault, || check(SelectorKind::available()[0]));
    }
}

/// Connects two clients, one after the other, and compares the echo. The timeout ends a test that
/// fails.
fn visit(address: SocketAddr) -> io::Result<()> {
    for text in ["first", "second"] {
        let mut client = TcpStream::connect(address)?;
        client.set_read_timeout(Some(Duration::from_secs(60)))?;
        client.write_all(text.as_bytes())?;
        client.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        assert_eq!(answer, text);
    }
    Ok(())
}

fn serve_by_callbacks(kind: SelectorKind) {
    let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
    el.set_exception_handler(|_, reports, report| {
        println!("{report}");
        *reports += 1;
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = el.serve(listener, |_, _, conn, data| Ok(conn.write(data))).unwrap();
    let clients = stop_after(&el, move || visit(address));
    el.run_forever().unwrap();
    clients.join().unwrap().unwrap();
    assert_eq!((server.accepted(), *el.state()), (2, 0));
}

fn serve_by_tasks(kind: SelectorKind) {
    let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
    el.set_exception_handler(|_, reports, report| {
        println!("{report}");
        *reports += 1;
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clients = stop_after(&el, move || visit(address));
    el.spawn(accept_and_echo(std::rc::Rc::new(listener))).detach();
    el.run_forever().unwrap();
    clients.join().unwrap().unwrap();
    assert_eq!(*el.state(), 0);
}

/// Network errors of one connection do not stop a server (P85).
#[test]
fn s4_accept_errors_of_one_connection_do_not_stop_the_server() {
    let name = "servers::accept_errors::s4_accept_errors_of_one_connection_do_not_stop_the_server";
    with_each_error(name, serve_by_callbacks);
}

/// The same for a listener of a task (P85).
#[test]
fn s4_accept_errors_of_one_connection_do_not_stop_a_task() {
    let name = "servers::accept_errors::s4_accept_errors_of_one_connection_do_not_stop_a_task";
    with_each_error(name, serve_by_tasks);
}

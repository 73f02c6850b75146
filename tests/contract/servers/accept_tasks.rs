//! Tasks that accept: system calls, waiting, and errors (docs/contract.md, S4).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream as StdUnix;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{ListenOptions, TcpListener, UnixListener, listen};
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, Result, SelectorKind, Task};
use rustix::io::Errno;

use crate::support::descriptors::has_room_for;
use crate::support::network::{BACKLOG, accept_and_echo};
use crate::support::process::{alone, alone_as, has_strace, under_strace};
use crate::support::selector::counted;
use crate::support::selector::{Call, logged};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

/// Ticks until nothing runs. The clock stands still.
fn tick_until_idle<S>(el: &mut EventLoop<S>) {
    let ticks = (0..1000).take_while(|_| tick(el) > 0).count();
    assert!(ticks < 1000, "the loop spins");
}

fn client(address: SocketAddr) -> StdStream {
    StdStream::connect(address).unwrap()
}

fn tcp() -> (Rc<TcpListener>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Rc::new(listener), address)
}

/// Spawns a task that accepts `count` connections and keeps them.
fn accepting<S>(
    el: &EventLoop<S>,
    listener: &Rc<TcpListener>,
    count: usize,
) -> Task<Result<Vec<mainspring::net::TcpStream>>> {
    let listener = listener.clone();
    el.spawn(async move {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(listener.accept().await?.0);
        }
        Ok(all)
    })
}

fn output<S, T: 'static>(el: &mut EventLoop<S>, task: Task<T>) -> T {
    tick_until_idle(el);
    assert!(task.is_finished());
    el.run_until_complete(task).unwrap().unwrap()
}

/// Runs `check` in its own process under strace(1). Returns the traced system calls among `calls`;
/// `None` in that process, or if strace is missing.
fn traced(name: &str, calls: &str, more: &[&str], check: impl FnOnce()) -> Option<Vec<String>> {
    if !has_strace() {
        return None;
    }
    let trace = format!("trace={calls}");
    let arguments = [&["-e", "signal=none", "-e", &*trace], more].concat();
    let under = |child: Command| under_strace(&child, &arguments);
    let Output { status, stderr, .. } = alone_as(name, check, under)?;
    assert!(status.success(), "{name} failed under strace: {more:?}");
    let stderr = String::from_utf8(stderr).unwrap();
    Some(stderr.lines().filter(|line| line.contains(") = ")).map(str::to_owned).collect())
}

/// Makes short connections, one after the other: connect, send, receive the answer, close.
fn connect_and_close<S>(el: &mut EventLoop<S>, address: SocketAddr) {
    for _ in 0..CONNECTIONS {
        let mut client = client(address);
        client.write_all(b"hello").unwrap();
        tick_until_idle(el);
        client.read_exact(&mut [0; 5]).unwrap();
        drop(client);
        tick_until_idle(el);
    }
}

const CONNECTIONS: usize = 50;

/// Accepting, watching, answering and closing a connection takes the same calls as with callbacks.
/// There is no extra accept, and no extra read.
#[test]
fn q10_a_short_connection_costs_tasks_the_same_calls_as_callbacks() {
    const CALLS: &str =
        "accept4,accept,recvfrom,sendto,epoll_ctl,?epoll_wait,epoll_pwait,?epoll_pwait2,close";
    let name =
        "servers::accept_tasks::q10_a_short_connection_costs_tasks_the_same_calls_as_callbacks";
    let simulated = || simulated(SelectorKind::available()[0], ()).0;
    let callbacks = || {
        let mut el = simulated();
        let options = ListenOptions::default();
        let socket = listen("127.0.0.1:0", &options);
        let serving = el.serve(socket.unwrap(), |_, (), conn, data| Ok(conn.write(data))).unwrap();
        connect_and_close(&mut el, serving.local_addr().unwrap().as_inet().unwrap());
    };
    let tasks = || {
        let mut el = simulated();
        let (listener, address) = tcp();
        el.spawn(accept_and_echo(listener)).detach();
        connect_and_close(&mut el, address);
    };
    let count = |variable: &str| {
        let which = ["-E", &format!("MAINSPRING_TEST_SERVER={variable}")];
        let check = || match std::env::var("MAINSPRING_TEST_SERVER").as_deref() {
            Ok("tasks") => tasks(),
            _ => callbacks(),
        };
        Some(traced(name, CALLS, &which, check)?.len())
    };
    let (Some(callbacks), Some(tasks)) = (count("callbacks"), count("tasks")) else { return };
    let few = 10; // The first accept finds an empty backlog.
    assert!(tasks <= callbacks + few, "{tasks} calls with tasks, {callbacks} with callbacks");
}

/// Clients that connect at the same time are accepted in batches, so that other callbacks run in
/// between.
#[test]
fn q5_many_clients_are_accepted_within_a_few_ticks() {
    alone("servers::accept_tasks::q5_many_clients_are_accepted_within_a_few_ticks", || {
        if !has_room_for(1000) {
            return;
        }
        on_every_selector(|kind| {
            let (mut el, _) = simulated(kind, ());
            let (listener, address) = tcp();
            let task = accepting(&el, &listener, BACKLOG);
            tick_until_idle(&mut el);
            let _clients: Vec<_> = (0..BACKLOG).map(|_| client(address)).collect();
            let ticks = (0..).take_while(|_| !task.is_finished() && tick(&mut el) > 0).count();
            assert!((2..=4).contains(&ticks), "{ticks} ticks");
            assert_eq!(output(&mut el, task).unwrap().len(), BACKLOG);
        });
    });
}

/// A task that accepted a connection and does something else is not woken in each tick.
#[test]
fn q5_a_listener_without_an_accepting_task_does_not_spin() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let clock = SimClock::new();
        let builder = EventLoop::builder().selector(selector).clock(clock.clone());
        let mut el = builder.build().unwrap();
        let (listener, address) = tcp();
        for round in 1..=3 {
            let accepted = accepting(&el, &listener, 1);
            tick_until_idle(&mut el);
            let _clients = [(); 2].map(|()| client(address));
            assert_eq!(output(&mut el, accepted).unwrap().len(), 1);
            calls.take();
            let began = clock.elapsed();
            el.call_later(Duration::from_secs(3600), |_, ()| {});
            let ticks = (0..10).take_while(|_| {
                el.tick(None).unwrap();
                clock.elapsed() == began
            });
            assert!(ticks.count() <= 2, "the loop spins in round {round}");
            assert!(calls.take().1 <= 1, "changes in round {round}");
            let left = accepting(&el, &listener, 1);
            assert_eq!(output(&mut el, left).unwrap().len(), 1, "in round {round}");
        }
    });
}

/// If the listener cannot be watched again, the waiting task gets the error. The next accept tries
/// again.
#[test]
fn w7_an_error_of_watching_a_listener_again_names_it() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, ());
        let (listener, address) = tcp();
        let fd = listener.as_fd().as_raw_fd();
        let task = accepting(&el, &listener, 1);
        tick_until_idle(&mut el);
        let _clients = [(); 2].map(|()| client(address));
        assert_eq!(output(&mut el, task).unwrap().len(), 1);
        assert!(log.take().contains(&Call::Deregister(fd)), "the listener is deregistered");
        let task = accepting(&el, &listener, 1);
        assert_eq!(output(&mut el, task).unwrap().len(), 1);
        let refused = accepting(&el, &listener, 1);
        log.refuse_next(Errno::NOMEM);
        let error = output(&mut el, refused).unwrap_err();
        assert!(error.to_string().contains(&format!("fd {fd}")), "{error}");
        let task = accepting(&el, &listener, 1);
        tick_until_idle(&mut el);
        let _client = client(address);
        assert_eq!(output(&mut el, task).unwrap().len(), 1);
    });
}

/// An accepted connection that could not be watched stays usable: the next wait registers it again.
#[test]
fn w7_an_accepted_connection_that_could_not_be_watched_is_watched_later() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, ());
        let (listener, address) = tcp();
        let task = accepting(&el, &listener, 1);
        tick_until_idle(&mut el);
        let mut client = client(address);
        log.refuse_next(Errno::NOMEM);
        let conn = output(&mut el, task).unwrap().remove(0);
        let reading = el.spawn(async move { Ok::<_, Error>(conn.read_chunk().await?.len()) });
        tick_until_idle(&mut el);
        client.write_all(b"hello").unwrap();
        assert_eq!(output(&mut el, reading).unwrap(), 5);
    });
}

/// Neither errors of connections nor a lack of descriptors end a task that accepts, or make it spin
/// (P85). strace(1) injects the errors.
#[test]
fn s4_accept_errors_end_no_task_and_do_not_spin() {
    let name = "servers::accept_tasks::s4_accept_errors_end_no_task_and_do_not_spin";
    let check = || {
        let is_set = |variable: &str| std::env::var(variable).is_ok();
        let (mut el, clock) = simulated(SelectorKind::available()[0], Vec::new());
        el.set_exception_handler(|_, reports: &mut Vec<String>, report| {
            reports.push(report.error.to_string());
        });
        let served = if is_set("MAINSPRING_TEST_UNIX") { unix(&el) } else { inet(&el) };
        // Ends a test if its listener ended, or never accepts a client.
        el.call_later(Duration::from_secs(60), |el, _| el.stop());
        assert_eq!(el.run_until_complete(served).unwrap().unwrap().unwrap(), CLIENTS);
        let is_full = is_set("MAINSPRING_TEST_FULL");
        assert_eq!(el.state().len(), usize::from(is_full), "{:?}", el.state());
        // Each pause takes two failing calls: the accept, and the attempt to reject a client.
        let rested = if is_full { Duration::from_millis(100) * (FORGERIES / 2 + 1) } else { NONE };
        assert_eq!(clock.elapsed(), rested);
    };
    for (error, is_full) in FORGED {
        for family in ["MAINSPRING_TEST_INET", "MAINSPRING_TEST_UNIX"] {
            let inject = format!("inject=accept4,accept:error={error}:when=1..{FORGERIES}");
            let full = format!("MAINSPRING_TEST_FULL{}", if *is_full { "=1" } else { "" });
            let family = format!("{family}=1");
            let more = ["-e", &inject, "-E", &full, "-E", &family];
            let Some(calls) = traced(name, "accept4,accept", &more, check) else { return };
            let forged = calls.iter().filter(|line| line.contains("(INJECTED)")).count();
            let real = calls.len() - forged;
            assert_eq!(forged, FORGERIES as usize, "{error}: {calls:#?}");
            assert!((CLIENTS..CLIENTS + 3).contains(&real), "{error}: {calls:#?}");
        }
    }
}

const CLIENTS: usize = 3;
const FORGERIES: u32 = 21;
const NONE: Duration = Duration::ZERO;

/// Errors of accept(2), and whether each means that descriptors or memory are short.
const FORGED: &[(&str, bool)] = &[
    ("ECONNABORTED", false),
    ("EPROTO", false),
    ("EHOSTUNREACH", false),
    ("EINTR", false),
    ("EMFILE", true),
    ("ENFILE", true),
    ("ENOBUFS", true),
    ("ENOMEM", true),
];

/// Returns a task that accepts the waiting clients and counts them.
fn inet<S>(el: &EventLoop<S>) -> Task<Result<usize>> {
    let (listener, address) = tcp();
    let clients = [(); CLIENTS].map(|()| client(address));
    let served = accepting(el, &listener, CLIENTS);
    el.spawn(async move {
        let count = served.await?.map(|all| all.len());
        drop(clients);
        count
    })
}

fn unix<S>(el: &EventLoop<S>) -> Task<Result<usize>> {
    let path = crate::support::network::short_dir()
        .join(format!("mainspring-accepting-{}", std::process::id()));
    let listener = UnixListener::bind(&*path).unwrap();
    let clients = [(); CLIENTS].map(|()| StdUnix::connect(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    el.spawn(async move {
        let mut all = Vec::new();
        for _ in 0..CLIENTS {
            all.push(listener.accept().await?.0);
        }
        drop(clients);
        Ok(all.len())
    })
}

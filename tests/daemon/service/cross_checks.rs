//! Cross-checks with the crates listenfd and sd-notify, and with systemd's programs
//! (docs/contract.md, L1, L4, L6).

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use listenfd::ListenFd;
use mainspring::service::Service;
use mainspring::{EventLoop, net};
use sd_notify::NotifyState;

use super::manager::{Manager, activated};
use crate::support::network::SocketFile;

const PREFIX: &str = "service::cross_checks::";
const ALONE: &str = "MAINSPRING_TEST_ALONE";

#[test]
fn l1_listenfd_and_sd_notify_find_the_same_sockets() {
    let name = &format!("{PREFIX}l1_listenfd_and_sd_notify_find_the_same_sockets");
    for reader in ["ours", "listenfd", "sd-notify"] {
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = sockets.each_ref().map(|it| it.local_addr().unwrap().port());
        let expected = format!("a:{} b:{}", ports[0], ports[1]);
        let variables = [
            ("LISTEN_FDS", "2"),
            ("LISTEN_FDNAMES", "a:b"),
            ("READER", reader),
            ("EXPECTED", &*expected),
        ];
        activated(name, sockets.map(OwnedFd::from), &variables, || {
            let found = match &*env::var("READER").unwrap() {
                "ours" => by_mainspring(),
                "listenfd" => by_listenfd(),
                _ => by_sd_notify(),
            };
            assert_eq!(found, env::var("EXPECTED").unwrap());
        });
        if env::var_os(ALONE).is_some() {
            return;
        }
    }
}

fn by_mainspring() -> String {
    let service = Service::from_env().unwrap();
    let port = |name| {
        let listener = service.listener(name, || TcpListener::bind("none")).unwrap();
        listener.local_addr().unwrap().port()
    };
    format!("a:{} b:{}", port("a"), port("b"))
}

fn by_listenfd() -> String {
    let mut fds = ListenFd::from_env();
    let mut port = |at| {
        let listener = fds.take_tcp_listener(at).unwrap().expect("a listener");
        listener.local_addr().unwrap().port()
    };
    let ports = [port(0), port(1)];
    format!("a:{} b:{}", ports[0], ports[1])
}

/// Returns the names that sd-notify finds, and the ports that listenfd finds at its numbers.
fn by_sd_notify() -> String {
    let found: Vec<_> = sd_notify::listen_fds_with_names().unwrap().collect();
    assert_eq!(found, [(3, "a".to_owned()), (4, "b".to_owned())]);
    by_listenfd()
}

#[test]
fn l4_sd_notify_sends_the_same_messages() {
    let name = &format!("{PREFIX}l4_sd_notify_sends_the_same_messages");
    let file = SocketFile::new("notify"); // sd-notify has no abstract names.
    let manager = Manager::bind(&file);
    activated(name, [], &[("NOTIFY_SOCKET", file.0.to_str().unwrap())], || {
        // Linux queues eleven messages by default (net.unix.max_dgram_qlen).
        let theirs = [
            NotifyState::Ready,
            NotifyState::Status("3 clients"),
            NotifyState::MainPid(42),
            NotifyState::ExtendTimeoutUsec(1_500_000),
            NotifyState::Stopping,
        ];
        for state in theirs {
            sd_notify::notify(&[state]).unwrap();
        }
        let service = Service::from_env().unwrap();
        service.ready().unwrap();
        service.status("3 clients").unwrap();
        service.main_pid(42).unwrap();
        service.extend_timeout(Duration::from_millis(1500)).unwrap();
        service.stopping().unwrap();
    });
    if env::var_os(ALONE).is_none() {
        let messages: Vec<String> =
            manager.messages().iter().map(|message| message.trim_end().to_owned()).collect();
        assert_eq!(messages.len(), 10);
        assert_eq!(messages[..5], messages[5..]);
    }
}

#[test]
fn l6_sd_notify_finds_the_same_watchdog() {
    let name = &format!("{PREFIX}l6_sd_notify_finds_the_same_watchdog");
    activated(name, [], &[("WATCHDOG_USEC", "1500000")], || {
        let theirs = sd_notify::watchdog_enabled();
        assert_eq!(Service::from_env().unwrap().watchdog_time(), theirs);
        assert_eq!(theirs, Some(Duration::from_millis(1500)));
    });
}

/// Returns true if the program is installed. Prints a note otherwise.
fn is_installed(program: &str) -> bool {
    let is_installed = Command::new(program).arg("--version").output().is_ok();
    if !is_installed {
        println!("skipped: {program} is not installed");
    }
    is_installed
}

/// systemd-socket-activate(1) listens, and starts the service with the first client.
#[test]
fn l1_a_service_is_started_by_systemd_socket_activate() {
    let name = &format!("{PREFIX}l1_a_service_is_started_by_systemd_socket_activate");
    if env::var(ALONE).as_ref() == Ok(name) {
        return serve_two_clients();
    }
    if !is_installed("systemd-socket-activate") {
        return;
    }
    let (mut manager, mut tcp, mut unix) =
        (0..8).find_map(|_| activate_by_systemd(name)).expect("one of eight ports is free");
    tcp.write_all(b"one").unwrap();
    let mut answers = [String::new(), String::new()];
    tcp.read_to_string(&mut answers[0]).unwrap();
    unix.read_to_string(&mut answers[1]).unwrap();
    assert_eq!(answers, ["one", "a task"]);
    assert!(manager.wait().unwrap().success());
}

/// Starts the test `name` by systemd-socket-activate(1), and connects to both of its sockets.
/// Returns `None` if other code took the port in between: then the manager has ended.
fn activate_by_systemd(name: &str) -> Option<(Child, TcpStream, UnixStream)> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = SocketFile::new("activated");
    let mut manager = Command::new("systemd-socket-activate");
    manager.args(["-l", &address.to_string(), "-l", file.0.to_str().unwrap(), "--fdname=tcp:unix"]);
    manager.arg("-E").arg(format!("{ALONE}={name}")).arg(env::current_exe().unwrap());
    manager.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    let mut manager = manager.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The manager binds this one last, so it has bound the other one too.
    let unix = loop {
        match UnixStream::connect(&file.0) {
            Ok(client) => break client,
            Err(_) if manager.try_wait().unwrap().is_some() => return None,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    Some((manager, TcpStream::connect(address).unwrap(), unix))
}

fn serve_two_clients() {
    let service = Service::from_env().unwrap();
    assert_eq!(service.unclaimed(), ["tcp", "unix"]);
    let mut el = EventLoop::new().unwrap();
    let tcp = service.listener("tcp", || TcpListener::bind("none")).unwrap();
    let server = el.serve(tcp, |_, (), conn, data| {
        conn.write(data);
        conn.close();
        Ok(())
    });
    let unix = service.listener("unix", || net::UnixListener::bind("none")).unwrap();
    let accepting = async move {
        let (conn, _) = unix.accept().await?;
        conn.write_all(b"a task").await
    };
    el.run_until_complete(accepting).unwrap().unwrap();
    let server = server.unwrap();
    while server.accepted() == 0 || server.connections() > 0 {
        el.tick(None).unwrap();
    }
}

/// systemd-notify(1) sends the same line.
#[test]
fn l4_systemd_notify_sends_the_same_message() {
    if !is_installed("systemd-notify") {
        return;
    }
    let file = SocketFile::new("notify");
    let manager = Manager::bind(&file);
    let mut command = Command::new("systemd-notify");
    command.args(["--no-block", "--ready", "--status=3 clients"]).env("NOTIFY_SOCKET", &file.0);
    assert!(command.status().unwrap().success());
    let messages = manager.messages();
    let lines: Vec<&str> = messages.iter().flat_map(|message| message.lines()).collect();
    for line in ["READY=1", "STATUS=3 clients"] {
        assert!(lines.contains(&line), "{messages:?}");
    }
}

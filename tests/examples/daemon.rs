//! Tests of the example `daemon`, with a scripted service manager.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use mainspring::{Tape, TurnKind};
use rustix::process::Signal;

use super::program::{Program, TIME_LIMIT, command, has_ended, receive, run, wait_until};
use super::short_dir::short_dir;

/// A folder with the daemon's file and the manager's socket. It is removed with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = short_dir().join(format!("mainspring-daemon-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("motd"), "hello").unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A manager that has started the daemon with a listener as descriptor 3.
struct Manager {
    folder: Folder,
    notifications: UnixDatagram,
    /// Keeps the listener, as a manager does.
    listener: TcpListener,
}

impl Manager {
    fn new() -> Manager {
        let folder = Folder::new();
        let notifications = UnixDatagram::bind(folder.path("notify")).unwrap();
        notifications.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        Manager { folder, notifications, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn start(&self) -> Program {
        let mut shell = Command::new("sh");
        let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\"";
        shell.args(["-c", script]).arg(command("daemon").get_program());
        shell.args(["127.0.0.1:1", &self.folder.path("motd")]);
        shell.env("NOTIFY_SOCKET", self.folder.path("notify")).env("WATCHDOG_USEC", "100000");
        shell.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "http");
        let listener: OwnedFd = self.listener.try_clone().unwrap().into();
        Program::spawn_with_stdin(&mut shell, listener)
    }

    /// Returns the next notification that is no ping.
    fn next(&self) -> String {
        loop {
            let text = self.notification();
            if text != "WATCHDOG=1" {
                return text;
            }
        }
    }

    fn notification(&self) -> String {
        let mut buffer = [0; 4096];
        let count = receive(|| self.notifications.recv(&mut buffer));
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().unwrap()).unwrap()
    }
}

/// Returns an address with a free port. Another test may bind it before the program does.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Calls `start` with one free port after the other, until it returns a value.
fn with_free_port<T>(start: impl FnMut(String) -> Option<T>) -> T {
    std::iter::repeat_with(free_port).take(8).find_map(start).expect("one of eight ports is free")
}

/// Sends a request, and returns the answer after its first line.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap();
    let answer = String::from_utf8(buffer[..count].to_vec()).unwrap();
    let (first, rest) = answer.split_once("\r\n").expect("an answer");
    assert_eq!(first, "HTTP/1.1 200 OK");
    rest.to_owned()
}

#[test]
fn a_life_under_a_manager() {
    let manager = Manager::new();
    let mut early = manager.connect(); // Waits in the backlog until the daemon runs.
    let mut daemon = manager.start();
    let address = manager.listener.local_addr().unwrap();
    assert_eq!(daemon.line(), format!("listening on {address}"));
    assert_eq!(manager.next(), "FDSTORE=1\nFDNAME=http");
    assert_eq!(manager.next(), "READY=1");
    assert_eq!(ask(&mut early), "Content-Length: 5\r\n\r\nhello");

    fs::write(manager.folder.path("motd"), "good evening").unwrap();
    daemon.send(Signal::HUP);
    let begin = manager.next();
    let time = begin.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a time");
    assert!(time.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next(), "READY=1\nSTATUS=");
    assert_eq!(ask(&mut early), "Content-Length: 12\r\n\r\ngood evening");

    fs::remove_file(manager.folder.path("motd")).unwrap();
    daemon.send(Signal::HUP);
    manager.next();
    let end = manager.next();
    let reason = format!("cannot read {}: ", manager.folder.path("motd"));
    assert!(end.starts_with(&format!("READY=1\nSTATUS=the reload failed: {reason}")), "{end}");
    assert_eq!(ask(&mut early), "Content-Length: 12\r\n\r\ngood evening");

    daemon.send(Signal::TERM);
    assert_eq!(manager.next(), "STOPPING=1");
    let last = ask(&mut early);
    assert_eq!(last, "Content-Length: 12\r\nConnection: close\r\n\r\ngood evening");
    assert_eq!(early.read(&mut [0]).unwrap(), 0);
    let ending = daemon.end();
    assert!(ending.status.success() && ending.stderr.lines().count() == 1, "{ending:?}");
}

#[test]
fn clients_of_a_killed_daemon_are_served_by_the_next() {
    let manager = Manager::new();
    let daemon = manager.start();
    assert_eq!(manager.next(), "FDSTORE=1\nFDNAME=http");
    assert_eq!(manager.next(), "READY=1");
    daemon.send(Signal::KILL);
    daemon.end();
    let mut client = manager.connect();
    let next = manager.start();
    assert!(ask(&mut client).ends_with("hello"));
    next.send(Signal::KILL);
    next.end();
}

#[test]
fn pings_come_while_the_daemon_runs() {
    let manager = Manager::new();
    let daemon = manager.start();
    assert_eq!(manager.next(), "FDSTORE=1\nFDNAME=http");
    assert_eq!(manager.next(), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.notification(), "WATCHDOG=1");
    }
    daemon.send(Signal::TERM);
    assert_eq!(manager.next(), "STOPPING=1");
    daemon.end().success();
}

#[test]
fn a_second_signal_ends_at_once() {
    let manager = Manager::new();
    let daemon = manager.start();
    assert_eq!(manager.next(), "FDSTORE=1\nFDNAME=http");
    assert_eq!(manager.next(), "READY=1");
    let mut client = manager.connect();
    ask(&mut client);
    daemon.send(Signal::TERM);
    assert_eq!(manager.next(), "STOPPING=1");
    daemon.send(Signal::TERM);
    daemon.end().success();
}

/// Returns true if the daemon at this address answers, and false if it has ended.
fn is_served(address: &str) -> bool {
    let Ok(mut client) = TcpStream::connect(address) else { return false };
    let mut answer = [0; 4096];
    let asked = client.write_all(b"GET / HTTP/1.1\r\n\r\n");
    asked
        .and_then(|()| client.read(&mut answer))
        .is_ok_and(|count| answer[..count].ends_with(b"hello"))
}

#[test]
fn numbers_and_the_tape_outlive_a_kill() {
    let folder = Folder::new();
    let (daemon, metrics) = with_free_port(|metrics| {
        let mut daemon = command("daemon");
        daemon.args(["127.0.0.1:0", &folder.path("motd"), &metrics]);
        let mut daemon = Program::spawn(daemon.env("RUNTIME_DIRECTORY", folder.path("")));
        let line = daemon.line();
        let address = line.strip_prefix("listening on ").expect("an address");
        if !is_served(address) {
            let ending = daemon.end();
            assert!(ending.stderr.contains("in use"), "{ending:?}");
            return None;
        }
        Some((daemon, metrics))
    });
    let mut page = String::new();
    let mut scraper = TcpStream::connect(&*metrics).unwrap();
    scraper.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    scraper.read_to_string(&mut page).unwrap();
    assert!(page.contains("mainspring_accepted_total 1\n"), "{page}");

    daemon.send(Signal::KILL);
    daemon.end();
    let tape = Tape::open(folder.path("tape")).unwrap();
    let answer = tape.turns().iter().rfind(|turn| turn.kind == TurnKind::Stream).unwrap();
    assert!(answer.place.contains("examples/daemon.rs:"), "{answer:?}");
}

#[test]
fn an_activated_daemon_has_the_socket_of_systemd() {
    let Some(program) = installed("systemd-socket-activate") else { return };
    let folder = Folder::new();
    let socket = folder.path("socket");
    let (activated, address) = with_free_port(|address| {
        let mut activate = Command::new(program);
        activate.args(["-l", &address, "-l", &socket, "--fdname=http:last"]);
        activate.arg(command("daemon").get_program());
        activate.args(["127.0.0.1:1", &folder.path("motd")]).env_remove("NOTIFY_SOCKET");
        let activated = Program::spawn(&mut activate);
        // This one is made last, so the other one is the manager's too.
        wait_until(|| fs::exists(&socket).unwrap() || has_ended(activated.pid()));
        (!has_ended(activated.pid())).then_some((activated, address))
    });
    let mut client = TcpStream::connect(&*address).unwrap(); // The daemon is started now.
    assert!(ask(&mut client).ends_with("hello"));
    activated.send(Signal::TERM);
    assert_eq!(activated.end().stdout, format!("listening on {address}\n"));
}

/// Returns a program of the system. Prints a note if it is not installed.
fn installed(program: &str) -> Option<&str> {
    let is_installed = Command::new(program).arg("--version").output().is_ok();
    if !is_installed {
        println!("skipped: {program} is not installed");
    }
    is_installed.then_some(program)
}

#[test]
fn runs_without_a_manager() {
    let folder = Folder::new();
    let mut daemon = Program::start("daemon", &["127.0.0.1:0", &folder.path("motd")]);
    let line = daemon.line();
    let address = line.strip_prefix("listening on ").expect("an address").to_owned();
    assert!(ask(&mut TcpStream::connect(&*address).unwrap()).ends_with("hello"));
    daemon.send(Signal::TERM);
    daemon.end().success();

    let line = run("daemon", &[&address]).error_line(1);
    assert_eq!(line, "Error: usage: daemon ADDRESS FILE [ADDRESS-OF-METRICS]\n");
    let line = run("daemon", &["nowhere", &folder.path("motd")]).error_line(1);
    assert!(line.starts_with("Error: cannot listen on http: "), "{line}");
}

//! The drain procedure of src/guide/deploying.md behind a real HAProxy: no request fails.
//!
//! `MAINSPRING_SLOW_TESTS=1 cargo test --test examples haproxy -- --nocapture` prints its figures,
//! after two minutes.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::daemon::Folder;
use super::program::{Program, free_addresses, is_requested};

const RESTARTS: usize = 20;
const CLIENTS: usize = 8;

/// Requests over one connection of a client.
const REQUESTS: u32 = 50;

/// `retries 0`: the balancer must not hide a failure.
const CONFIGURATION: &str = "
global
    stats socket FOLDER/admin mode 600 level admin
defaults
    mode http
    retries 0
    timeout connect 1s
    timeout client 30s
    timeout server 30s
frontend clients
    bind FRONT
    default_backend daemons
backend daemons
    balance roundrobin
    server one ONE check inter 50ms
    server two TWO check inter 50ms
";

struct Balancer {
    process: Child,
    admin: String,
}

impl Balancer {
    fn start(folder: &Folder, front: SocketAddr, servers: [SocketAddr; 2]) -> Balancer {
        let text = CONFIGURATION
            .replace("FOLDER", &folder.path(""))
            .replace("FRONT", &front.to_string())
            .replace("ONE", &servers[0].to_string())
            .replace("TWO", &servers[1].to_string());
        let file = folder.path("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-q", "-db", "-f", &file]).stdout(Stdio::null());
        Balancer { process: command.spawn().unwrap(), admin: folder.path("admin") }
    }

    /// Returns the answer to a line of the administrator.
    fn ask(&self, line: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.admin)?;
        writeln!(stream, "{line}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Returns the number of sessions of a server, and its status.
    fn server(&self, name: &str) -> Option<(String, String)> {
        let table = self.ask("show stat").ok()?;
        let start = format!("daemons,{name},");
        let row = table.lines().find(|line| line.starts_with(&start))?;
        let fields: Vec<&str> = row.split(',').collect();
        Some((fields[4].to_owned(), fields[17].to_owned()))
    }

    fn wait_until(&self, name: &str, is_met: impl Fn(&str, &str) -> bool) {
        let began = Instant::now();
        while !self.server(name).is_some_and(|(sessions, status)| is_met(&sessions, &status)) {
            assert!(began.elapsed() < Duration::from_secs(60), "{name}: {:?}", self.server(name));
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A daemon behind the balancer.
struct Instance {
    name: &'static str,
    address: SocketAddr,
    file: String,
    program: Option<Program>,
}

impl Instance {
    fn start(&mut self) {
        let mut program = Program::start("daemon", &[&self.address.to_string(), &self.file]);
        assert!(program.line().starts_with("listening on"));
        self.program = Some(program);
    }

    fn restart(&mut self, balancer: &Balancer) {
        let name = self.name;
        let set = |state| {
            let line = format!("set server daemons/{name} state {state}");
            assert_eq!(balancer.ask(&line).unwrap().trim(), "");
        };
        set("drain");
        balancer.wait_until(name, |sessions, _| sessions == "0");
        let program = self.program.take().expect("it runs");
        program.send(Signal::TERM);
        program.end().success();
        self.start();
        set("ready");
        balancer.wait_until(name, |_, status| status == "UP");
    }
}

#[derive(Default)]
struct Figures {
    is_over: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
}

/// Sends requests until the end, over one connection after the other.
fn send_requests(front: SocketAddr, figures: &Figures) {
    while !figures.is_over.load(Relaxed) {
        if let Err(error) = use_connection(front, figures) {
            figures.failed.fetch_add(1, Relaxed);
            println!("failed: {error}");
        }
    }
}

fn use_connection(front: SocketAddr, figures: &Figures) -> io::Result<()> {
    let mut stream = TcpStream::connect(front)?;
    for _ in 0..REQUESTS {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: daemon\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.ends_with(b"\r\n\r\nhello") {
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => answer.extend_from_slice(&buffer[..count]),
            }
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
        }
        figures.answered.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_millis(1)); // Steady, not saturated.
    }
    Ok(())
}

#[test]
fn no_request_fails_while_both_instances_are_restarted_20_times() {
    if !is_requested() {
        return;
    }
    if Command::new("haproxy").arg("-v").output().is_err() {
        return println!("skipped: haproxy is not installed");
    }
    let folder = Folder::new();
    let [one, two, front] = free_addresses();
    let mut instances = [("one", one), ("two", two)].map(|(name, address)| Instance {
        name,
        address,
        file: folder.path("motd"),
        program: None,
    });
    instances.iter_mut().for_each(Instance::start);
    let balancer = Balancer::start(&folder, front, [one, two]);
    for name in ["one", "two"] {
        balancer.wait_until(name, |_, status| status == "UP");
    }

    let figures = Figures::default();
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| send_requests(front, &figures));
        }
        for restart in 0..RESTARTS {
            instances[restart % 2].restart(&balancer);
        }
        figures.is_over.store(true, Relaxed);
    });
    let (answered, failed) = (figures.answered.into_inner(), figures.failed.into_inner());
    let time = began.elapsed();
    println!("{RESTARTS} restarts in {time:.1?}: {answered} requests answered, {failed} failed");
    assert_eq!(failed, 0);
    assert!(answered > 0);
    for instance in &mut instances {
        let program = instance.program.take().expect("it runs");
        program.send(Signal::KILL);
        program.end();
    }
}

//! Example programs as child processes: found, started, watched, and always ended.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{self, Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mainspring::service::Service;
use rustix::process::{Pid, Signal, kill_process};

/// Time after which a program counts as hanging. No other result depends on it.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Output of a program, and how it ended.
#[derive(Debug)]
pub struct Ending {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ending {
    /// Returns the standard output of a program that succeeded and printed no error.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success() && self.stderr.is_empty(), "{self:?}");
        self.stdout
    }

    /// Returns the only line that the program printed, to standard error. Asserts that it failed
    /// with this code.
    #[track_caller]
    pub fn error_line(self, code: i32) -> String {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        assert!(self.stdout.is_empty() && self.stderr.lines().count() == 1, "{self:?}");
        self.stderr
    }
}

/// A running program.
pub struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
    /// Notifies the watchdog that the program has ended. When this sender is dropped, the watchdog
    /// kills the program.
    watched: Sender<()>,
    watchdog: JoinHandle<()>,
}

impl Program {
    pub fn start(name: &str, arguments: &[&str]) -> Program {
        Program::spawn(command(name).args(arguments))
    }

    pub fn spawn(command: &mut Command) -> Program {
        Program::spawn_with_stdin(command, Stdio::null())
    }

    pub fn spawn_with_stdin(command: &mut Command, stdin: impl Into<Stdio>) -> Program {
        let command = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?}: {error} (`cargo build --examples` builds it)")
        });
        let stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let pid = pid(&child);
        let (watched, ended) = channel::<()>();
        let watchdog = thread::spawn(move || {
            if ended.recv_timeout(TIME_LIMIT).is_err() {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Program { child, stdout, stderr, watched, watchdog }
    }

    /// Returns the next line of standard output; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a program prints text");
        line.trim_end().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("a child that was not waited for exists");
    }

    /// Waits for the end. Returns the output that was not read before.
    pub fn end(mut self) -> Ending {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).expect("a program prints text");
        self.stderr.read_to_string(&mut stderr).expect("a program prints text");
        // The program has not been waited for, so its pid cannot belong to another process.
        let _ = self.watched.send(()); // Fails if the watchdog has killed the program.
        self.watchdog.join().expect("the watchdog does not panic");
        let status = self.child.wait().expect("a child can be waited for");
        Ending { status, stdout, stderr }
    }
}

/// Calls `condition` until it returns true.
///
/// # Panics
///
/// Panics after the time limit of a program.
#[track_caller]
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIME_LIMIT, "it did not happen within {TIME_LIMIT:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Returns true if the process has ended, according to proc(5). Its parent may not have waited for
/// it. Without procfs every process counts as ended.
pub fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

/// Receives a datagram. Unlike the other calls of std, recv(2) ends with an error when a stopped
/// process continues, if the socket has a timeout.
pub fn receive(mut recv: impl FnMut() -> io::Result<usize>) -> usize {
    loop {
        match recv() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => return received.expect("a datagram within the time limit"),
        }
    }
}

/// Runs an example to its end.
pub fn run(name: &str, arguments: &[&str]) -> Ending {
    Program::start(name, arguments).end()
}

/// Returns the command of an example: cargo builds it in `examples`, beside the folder of this
/// test.
pub fn command(name: &str) -> Command {
    let test = env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("a test is in PROFILE/deps");
    let path: PathBuf = [profile.as_os_str(), "examples".as_ref(), name.as_ref()].iter().collect();
    let mut command = Command::new(path);
    // A service manager may have started the tests.
    Service::hide_from(command.env_remove("RUNTIME_DIRECTORY"));
    command
}

/// Returns true if tests that take minutes, or need more than a process, are requested. Prints a
/// note otherwise.
pub fn is_requested() -> bool {
    let is_requested = env::var_os("MAINSPRING_SLOW_TESTS").is_some();
    if !is_requested {
        println!("skipped: MAINSPRING_SLOW_TESTS is not set");
    }
    is_requested
}

/// Returns addresses for programs that get their port before they listen. On Linux they are
/// of the part of 127.0.0.0/8 that belongs to this process: no other test binds a port there, and
/// connections come from 127.0.0.1.
pub fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let [_, upper, high, low] = process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 1 + upper, high, low);
    // Free at the same time, so that they differ.
    let listeners = [(); COUNT].map(|()| {
        TcpListener::bind((own, 0)).or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap()
    });
    listeners.map(|listener| listener.local_addr().unwrap())
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

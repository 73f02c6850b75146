//! Real servers for tests: PostgreSQL and Redis, with data in a folder that is removed at the end.
//!
//! A server that is not installed makes its test print `skipped`. These files are also part of the
//! tests of `examples/c_libraries`.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process};

#[path = "../../../../sys/tests/short_dir/mod.rs"]
mod short_dir;

use short_dir::short_dir;

/// Time after which a server or a program counts as hanging.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A running server. Its end is that of the value.
pub struct Server {
    process: Child,
    _folder: Folder,
    /// Path of the socket at which it answers.
    pub socket: PathBuf,
    /// Name of a user that it accepts without a password.
    pub user: String,
}

impl Server {
    /// Starts Redis. Returns `None`, and prints the reason, if it is not installed.
    pub fn redis() -> Option<Server> {
        let program = installed("redis-server", "redis-server", &[])?;
        let folder = Folder::new("redis");
        let socket = folder.0.join("socket");
        let mut command = Command::new(program);
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket);
        let server = Server::spawn(command, folder, socket, String::new());
        Some(server.wait_until(|server| UnixStream::connect(&server.socket).is_ok()))
    }

    /// Starts PostgreSQL with an empty database. Returns `None`, and prints the reason, if it is
    /// not installed.
    pub fn postgres() -> Option<Server> {
        let folders = postgres_folders();
        let initdb = installed("initdb", "postgresql", &folders)?;
        let folder = Folder::new("postgres");
        let account = Account::of_server(&folder.0)?;
        let data = folder.0.join("data");
        let mut command = Command::new(initdb.clone());
        command.args(["--no-sync", "--auth=trust", "--username=tester", "--pgdata"]).arg(&data);
        let made = account.apply(&mut command).output().unwrap();
        assert!(made.status.success(), "{made:?}");

        let mut command = Command::new(initdb.with_file_name("postgres"));
        command.args(["-c", "listen_addresses=", "-c", "fsync=off", "-D"]).arg(&data);
        command.arg("-k").arg(&folder.0);
        account.apply(&mut command);
        let socket = folder.0.join(".s.PGSQL.5432");
        let server = Server::spawn(command, folder, socket, "tester".to_owned());
        // The last line of this file is the state of the server.
        let state = data.join("postmaster.pid");
        Some(server.wait_until(|_| {
            fs::read_to_string(&state).is_ok_and(|text| text.trim_end().ends_with("ready"))
        }))
    }

    fn spawn(mut command: Command, folder: Folder, socket: PathBuf, user: String) -> Server {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Server { process: command.spawn().unwrap(), _folder: folder, socket, user }
    }

    fn wait_until(mut self, is_ready: impl Fn(&Server) -> bool) -> Server {
        let began = Instant::now();
        while !is_ready(&self) {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "the server has ended: {ended:?}");
            assert!(began.elapsed() < TIME_LIMIT, "the server does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        self
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // For PostgreSQL SIGINT is a fast shutdown, after which no process of it is left.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
    }
}

/// The account that a server runs under. PostgreSQL refuses to run as root.
struct Account(Option<(u32, u32)>);

impl Account {
    /// Returns this user, or the account `postgres` for root, which then gets the folder.
    fn of_server(folder: &Path) -> Option<Account> {
        if !getuid().is_root() {
            return Some(Account(None));
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut entries = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let Some(entry) = entries.find(|entry| entry[0] == "postgres") else {
            println!("skipped: PostgreSQL does not run as root, and has no account here");
            return None;
        };
        let (user, group) = (entry[2].parse().unwrap(), entry[3].parse().unwrap());
        chown(folder, Some(user), Some(group)).unwrap();
        Some(Account(Some((user, group))))
    }

    fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // The account may not enter the current folder.
        command.current_dir("/");
        match self.0 {
            Some((user, group)) => command.gid(group).uid(user),
            None => command,
        }
    }
}

/// A new folder, which is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    /// The path is short, because it begins the path of a socket.
    fn new(name: &str) -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let folder = short_dir().join(format!("{name}-{}-{number}", process::id()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Debian keeps the programs of PostgreSQL out of `PATH`, in a folder for each version.
fn postgres_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).collect()
}

/// Returns the path of a program in `PATH` or in one of the folders. Prints a note without it.
fn installed(program: &str, package: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = folders.iter().cloned().chain(env::split_paths(&path));
    let found =
        candidates.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()));
    if found.is_none() {
        println!("skipped: {program} is not installed (package {package})");
    }
    found
}

/// Runs a program to its end. Kills it after the time limit.
pub fn run(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.spawn().unwrap();
    let process = Pid::from_child(&program);
    let (ended, has_ended) = channel::<()>();
    let watchdog = thread::spawn(move || {
        if has_ended.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(process, Signal::KILL);
        }
    });
    let output = program.wait_with_output().unwrap();
    drop(ended);
    watchdog.join().unwrap();
    output
}

/// Asserts that a program succeeded without an error. Returns the lines that it printed.
#[track_caller]
pub fn lines(output: Output) -> Vec<String> {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Asserts that a program failed. Returns the only line that it printed.
#[track_caller]
pub fn error_line(output: Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

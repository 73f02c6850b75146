//! Ticks, descriptors and child processes for the tests.

use std::collections::BTreeSet;
use std::env;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mainspring::EventLoop;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;

/// Runs one tick that does not sleep. Returns the number of handles that ran.
pub fn tick<S>(el: &mut EventLoop<S>) -> usize {
    el.tick(Some(Duration::ZERO)).expect("a tick")
}

/// Ticks until `done` returns true, for input that the kernel may deliver late.
///
/// # Panics
///
/// Panics after a million ticks, or after a minute. After a tick that ran nothing it sleeps for a
/// millisecond.
#[track_caller]
pub fn wait_until<S>(el: &mut EventLoop<S>, mut done: impl FnMut(&mut EventLoop<S>) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    for _ in 0..1_000_000 {
        if done(el) {
            return;
        }
        if tick(el) == 0 {
            assert!(Instant::now() < end, "the condition did not hold within a minute");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    panic!("the condition did not hold within a million ticks");
}

/// Returns two connected streams.
pub fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair of sockets")
}

/// Returns a stream with data to read, and its peer.
pub fn readable() -> (UnixStream, UnixStream) {
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    (ours, theirs)
}

/// Writes until the buffer is full.
pub fn fill(fd: &impl AsFd) {
    mainspring_sys::fd::set_nonblocking(fd.as_fd(), true).unwrap();
    let error = loop {
        if let Err(error) = mainspring_sys::fd::write(fd.as_fd(), &[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    (ours, theirs)
}

/// Returns a directory for socket files. Their paths must be short, and TMPDIR may be long, missing
/// or read-only.
pub fn short_dir() -> PathBuf {
    let is_usable = |dir: &PathBuf| {
        let probe = dir.join(format!("mainspring-probe-{}", std::process::id()));
        let is_writable = std::fs::write(&probe, "").is_ok();
        let _ = std::fs::remove_file(probe); // Another thread may have removed it.
        is_writable && dir.as_os_str().len() < 60
    };
    let others = ["/tmp", "/var/tmp", "/dev/shm", "."].map(PathBuf::from);
    let mut candidates = [std::env::temp_dir()].into_iter().chain(others);
    candidates.find(is_usable).expect("a writable directory with a short path")
}

/// Shuts down the connection and drops the peer. Dropping alone is not enough: a child process of
/// another test has a copy of the socket until its exec.
pub fn hang_up(peer: impl AsFd) {
    // Fails if the connection has already ended.
    let _ = rustix::net::shutdown(&peer, rustix::net::Shutdown::Both);
}

/// Returns a connection that its peer has reset.
pub fn reset_connection() -> TcpStream {
    let (ours, theirs) = tcp_pair();
    rustix::net::sockopt::set_socket_linger(&theirs, Some(Duration::ZERO)).unwrap();
    drop(theirs);
    wait_for(&ours, PollFlags::IN); // Some kernels do not wake a poll without requested events.
    ours
}

/// Waits until poll(2) reports one of `flags`, an error or a hang-up.
pub fn wait_for(fd: &impl AsFd, flags: PollFlags) {
    let a_minute = Timespec { tv_sec: 60, tv_nsec: 0 };
    let mut asked = [PollFd::new(fd, flags)];
    assert_eq!(rustix::event::poll(&mut asked, Some(&a_minute)).unwrap(), 1);
}

/// Returns what poll(2) reports for `fd` now.
pub fn poll(fd: &impl AsFd, flags: PollFlags) -> PollFlags {
    let mut asked = [PollFd::new(fd, flags)];
    rustix::event::poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    asked[0].revents()
}

/// Returns true if the open file of `fd` is in blocking mode.
pub fn is_blocking(fd: &impl AsFd) -> bool {
    !rustix::fs::fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// Returns the numbers of all open descriptors below 1024.
pub fn census() -> BTreeSet<RawFd> {
    (0..1024).filter(|fd| mainspring_sys::fd::is_open(*fd)).collect()
}

const CHILD: &str = "MAINSPRING_TEST_ALONE";

/// Runs `check`, the body of the test called `name`, in its own process. There it may count
/// descriptors, lower limits and wait for signals without disturbing other tests.
pub fn alone(name: &str, check: impl FnOnce()) {
    let output = alone_as(name, check, |child| child);
    assert!(
        output.is_none_or(|output| output.status.success()),
        "{name} failed in its own process"
    );
}

/// Like [`alone`], but `prepare` may change the command. Returns `None` in the new process. In the
/// old process it prints the output of the new one and returns it.
pub fn alone_as(
    name: &str,
    check: impl FnOnce(),
    prepare: impl FnOnce(Command) -> Command,
) -> Option<Output> {
    if env::var(CHILD).as_deref() == Ok(name) {
        check();
        return None;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    let output = prepare(child).output().expect("this test binary can run again");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

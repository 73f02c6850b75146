//! Descriptors of every kind, and the descriptor limit of the process.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
    let wait = || rustix::event::poll(&mut asked, Some(&a_minute));
    assert_eq!(rustix::io::retry_on_intr(wait).unwrap(), 1);
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

/// Raises the soft descriptor limit to `wanted`. On some systems it is 256, and tests that run in
/// parallel need more. Returns false if the hard limit is lower.
pub fn raise_limit(wanted: u64) -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile);
    let is_enough = limit.maximum.is_none_or(|most| most >= wanted);
    if is_enough && limit.current.is_some_and(|now| now < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
            .expect("the soft limit can be raised");
    }
    is_enough
}

/// Like [`raise_limit`], and prints a note if the test cannot run.
pub fn has_room_for(wanted: u64) -> bool {
    let has_room = raise_limit(wanted);
    if !has_room {
        println!("skipped: the hard limit of descriptors is below {wanted}");
    }
    has_room
}

/// Puts the process at its limit: all numbers below it are in use.
pub struct FdLimit {
    pub taken: Vec<File>,
    before: Rlimit,
}

impl FdLimit {
    pub fn new() -> FdLimit {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(200), ..before }).unwrap();
        let taken = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        FdLimit { taken, before }
    }
}

impl Drop for FdLimit {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).unwrap();
    }
}

/// Returns a pseudo terminal in raw mode.
pub fn terminal() -> (File, File) {
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let pair = nix::pty::openpty(None, None).unwrap();
    let mut settings = tcgetattr(&pair.slave).unwrap();
    settings.make_raw();
    tcsetattr(&pair.slave, OptionalActions::Now, &settings).unwrap();
    (pair.master.into(), pair.slave.into())
}

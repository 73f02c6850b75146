//! Socket files: a stale one is taken over, any other file is left unchanged.

mod default_signals;
mod short_dir;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard};
use std::thread;

use mainspring_sys::socket::{self, Address, BindOptions, ListenOptions, SocketFile, UnixAddress};

/// Held for writing while a child made by fork(2) has copies of every descriptor of the other
/// tests: what a test has closed would still be in use.
static DESCRIPTORS: RwLock<()> = RwLock::new(());

fn without_forks() -> RwLockReadGuard<'static, ()> {
    DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A directory that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = short_dir::short_dir().join(format!("ms-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn address(path: &Path) -> Address {
    UnixAddress::from_pathname(path).unwrap().into()
}

fn replacing() -> ListenOptions {
    let mut options = ListenOptions::default();
    options.bind.replace_stale = true;
    options
}

fn take_over(path: &Path) -> std::io::Result<std::os::fd::OwnedFd> {
    socket::listen(&address(path), &replacing())
}

#[test]
fn a_stale_file_is_taken_over() {
    let _descriptors = without_forks();
    let folder = Folder::new("stale");
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let refused = socket::listen(&address(&path), &ListenOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AddrInUse, "only with `replace_stale`");
    let listener = take_over(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    drop(listener);
    let options = BindOptions { replace_stale: true, ..BindOptions::default() };
    let receiver = socket::bind_datagram(&address(&path), &options).unwrap();
    UnixDatagram::unbound().unwrap().send_to(b"x", &path).unwrap();
    drop(receiver);
    take_over(&path).unwrap();
    assert!(take_over(&folder.path("new")).is_ok(), "a path without a file works too");
}

/// A listener, a socket that does not listen yet, and a datagram receiver are in use; the check
/// leaves nothing in their backlog.
#[test]
fn a_file_in_use_is_not_changed() {
    let _descriptors = without_forks();
    let folder = Folder::new("used");
    let path = folder.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(take_over(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    UnixStream::connect(&path).unwrap();
    let path = folder.path("datagrams");
    let _receiver = UnixDatagram::bind(&path).unwrap();
    assert_eq!(take_over(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    let path = folder.path("bound");
    // SAFETY: the call touches no memory.
    let bound = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) };
    // SAFETY: zero is a valid value of every field.
    let mut name: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    name.sun_family = libc::AF_UNIX as _;
    for (place, byte) in name.sun_path.iter_mut().zip(path.as_os_str().as_encoded_bytes()) {
        *place = *byte as _;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `name` is readable for its length.
    assert_eq!(unsafe { libc::bind(bound, (&raw const name).cast(), length) }, 0);
    assert_eq!(take_over(&path).unwrap_err().kind(), ErrorKind::AddrInUse, "not listening yet");
    // SAFETY: the test owns the descriptor.
    unsafe { libc::close(bound) };
    take_over(&path).unwrap();
}

#[test]
fn other_files_are_not_changed() {
    let folder = Folder::new("other");
    let (file, link, target) = (folder.path("file"), folder.path("link"), folder.path("target"));
    fs::write(&file, "precious").unwrap();
    drop(UnixListener::bind(&target).unwrap());
    symlink(&target, &link).unwrap();
    for path in [&file, &link, &folder.0] {
        assert_eq!(take_over(path).unwrap_err().kind(), ErrorKind::AddrInUse, "{path:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert!(target.exists() && fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(take_over(&folder.path("no/such")).unwrap_err().kind(), ErrorKind::NotFound);
}

/// If many processes take over one file at the same time, one succeeds and stays reachable.
#[test]
fn one_of_many_gets_a_stale_file() {
    let _descriptors = without_forks();
    let folder = Folder::new("race");
    for round in 0..20 {
        let path = folder.path(&round.to_string());
        drop(UnixListener::bind(&path).unwrap());
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                thread::spawn(move || take_over(&path))
            })
            .collect();
        let taken: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        let winners: Vec<_> = taken.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{taken:?}");
        let _client = UnixStream::connect(&path).unwrap();
        socket::accept(winners[0]).unwrap();
    }
}

#[test]
fn a_file_is_removed_only_if_it_is_the_same() {
    let folder = Folder::new("own");
    let path = folder.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let file = SocketFile::of(&listener).unwrap();
    assert!(file.is_current() && file.path() == path);
    assert!(file.remove().unwrap() && !path.exists());

    let listener = UnixListener::bind(&path).unwrap();
    let file = SocketFile::of(&listener).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    assert!(!file.is_current());
    drop(file);
    assert!(path.exists(), "the file belongs to another socket");
    fs::remove_file(&path).unwrap();

    let listener = UnixListener::bind(&path).unwrap();
    SocketFile::of(&listener).unwrap().keep();
    assert!(path.exists());
    drop(SocketFile::of(&listener).unwrap());
    assert!(!path.exists());
    assert_eq!(SocketFile::of(&listener).unwrap_err().kind(), ErrorKind::NotFound);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(SocketFile::of(&tcp).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A child does not remove its parent's file.
#[test]
fn a_forked_child_removes_nothing() {
    default_signals::set_default_signals();
    let folder = Folder::new("fork");
    let path = folder.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let file = SocketFile::of(&listener).unwrap();
    let _descriptors = DESCRIPTORS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: the child only runs the destructor and _exit(2).
    match unsafe { libc::fork() } {
        0 => {
            drop(file);
            // SAFETY: it does not return.
            unsafe { libc::_exit(0) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert!(status == 0 && file.is_current());
        }
    }
}

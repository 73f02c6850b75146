//! Listeners, clients, socket files, and addresses that do not answer.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use mainspring::net::{Address, ListenOptions, Server, UnixAddress, listen};
use mainspring::{Error, LoopHandle, Result, spawn};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::support::loopback;

#[path = "../../../sys/tests/short_dir/mod.rs"]
mod short_dir;

pub use short_dir::short_dir;

/// Returns a listener with a backlog of a thousand, and its address.
pub fn listener() -> (OwnedFd, SocketAddr) {
    let any = Address::from(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = listen(&any, &ListenOptions::default()).unwrap();
    let bound = TcpListener::from(listener.try_clone().unwrap()).local_addr().unwrap();
    (listener, bound)
}

pub fn echo<S: 'static>(el: &LoopHandle<S>, listener: impl AsFd + 'static) -> Server {
    el.serve(listener, |_, _, conn, data| Ok(conn.write(data))).unwrap()
}

/// Accepts clients until the listener fails. Each client has a task, which sends back its input.
pub async fn accept_and_echo(listener: Rc<mainspring::net::TcpListener>) -> Result<()> {
    loop {
        let (conn, _) = listener.accept().await?;
        let echo = async move {
            loop {
                let chunk = conn.read_chunk().await?;
                if chunk.is_empty() {
                    return Ok::<(), Error>(());
                }
                conn.write_all(&chunk).await?;
            }
        };
        spawn(echo).detach();
    }
}

/// Number of clients that may wait to be accepted: kernels limit the backlog to 128 by default
/// (Linux before 5.4, the BSDs and macOS), and further clients wait for minutes.
#[allow(dead_code)] // Not every binary has a long backlog.
pub const BACKLOG: usize = 120;

/// Connects without waiting to be accepted. The client's reads do not block.
pub fn client(to: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(to).unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

/// Returns an address at which nothing listens. Until the thread of the test ends, a socket that is
/// bound and does not listen keeps other tests from its port.
pub fn closed_address() -> SocketAddr {
    thread_local! {
        static KEPT: RefCell<Vec<OwnedFd>> = const { RefCell::new(Vec::new()) };
    }
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    fcntl_setfd(&socket, FdFlags::CLOEXEC).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = getsockname(&socket).unwrap().try_into().unwrap();
    KEPT.with_borrow_mut(|kept| kept.push(socket));
    address
}

/// Socket of an address that refuses datagrams: it is connected to itself, and keeps other tests
/// from the port.
#[allow(dead_code)] // Not every binary sends datagrams.
pub fn refusing_datagrams() -> (UdpSocket, SocketAddr) {
    let keeper = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = keeper.local_addr().unwrap();
    keeper.connect(address).unwrap();
    (keeper, address)
}

/// Binds the address that `keeper` has kept. A child process that another test starts has a copy of
/// the keeper until its exec.
#[allow(dead_code)] // Not every binary sends datagrams.
pub fn bind_again(keeper: UdpSocket) -> UdpSocket {
    let address = keeper.local_addr().unwrap();
    drop(keeper);
    loop {
        match UdpSocket::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return bound.unwrap(),
        }
    }
}

/// Waits until nothing listens at `address`. A child process that another test starts has a copy of
/// the listener until its exec.
pub fn wait_until_refused(address: SocketAddr) {
    let refused = loop {
        if let Err(error) = TcpStream::connect(address) {
            break error.kind();
        }
    };
    assert_eq!(refused, ErrorKind::ConnectionRefused);
}

/// Address at which connecting stays in progress.
///
/// On Linux it is a listener with a full backlog: the kernel drops further packets and the client
/// retries. Other kernels reset such a connection, but drop packets for an address of 127.0.0.0/8
/// that no interface has.
pub struct SilentAddress {
    pub address: SocketAddr,
    _listener: OwnedFd,
    _clients: Vec<mainspring_sys::socket::Connecting>,
}

impl SilentAddress {
    /// Returns `None`, and prints a note, if the system has no such address.
    pub fn new() -> Option<SilentAddress> {
        let silent = SilentAddress::full_backlog();
        if is_silent(silent.address) {
            return Some(silent);
        }
        let unused = SocketAddr::from(([127, 0, 0, 2], silent.address.port()));
        if is_silent(unused) {
            return Some(SilentAddress { address: unused, ..silent });
        }
        println!("skipped: every address of the loopback answers");
        None
    }

    fn full_backlog() -> SilentAddress {
        let options = ListenOptions { backlog: 0, ..ListenOptions::default() };
        let any = Address::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listen(&any, &options).unwrap();
        let copy = TcpListener::from(listener.try_clone().unwrap());
        let address = copy.local_addr().unwrap();
        let to = Address::from(address);
        let clients = (0..4).filter_map(|_| mainspring_sys::socket::connect(&to).ok()).collect();
        SilentAddress { address, _listener: listener, _clients: clients }
    }
}

/// Returns true if an attempt at `address` neither fails nor succeeds.
pub fn is_silent(address: SocketAddr) -> bool {
    let Ok(attempt) = mainspring_sys::socket::connect(&address.into()) else { return false };
    loopback::deliver();
    matches!(mainspring_sys::socket::finish_connect(&attempt), Ok(false))
}

/// Returns the kind of error that the kernel reports for a full Unix backlog. Linux has a specific
/// error; the BSDs refuse the connection.
pub fn full_unix_backlog_error(full: &Address) -> ErrorKind {
    let mut clients = Vec::new();
    for _ in 0..100 {
        match mainspring_sys::socket::connect(full) {
            Ok(client) => clients.push(client),
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::ResourceBusy | ErrorKind::ConnectionRefused));
                return kind;
            }
        }
    }
    panic!("the backlog is never full");
}

/// Unique path of a socket file, which is removed at the end.
pub struct SocketFile(pub PathBuf);

impl SocketFile {
    pub fn new(name: &str) -> SocketFile {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = short_dir().join(format!("mainspring-{name}-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&path); // Left by a killed process.
        SocketFile(path)
    }

    pub fn address(&self) -> Address {
        UnixAddress::from_pathname(&self.0).unwrap().into()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

//! W8 for callbacks that are replaced, connections and listeners: their descriptors are closed
//! while the loop watches them.
//!
//! Only unsafe code can do that to a loop, and only this crate has unsafe code, so the tests are
//! here.

// `Ok(seen.push(..))`: short callbacks fit on one line.
#![allow(clippy::unit_arg)]

mod ticks;

use std::cell::RefCell;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use mainspring::net::{Datagram, DatagramProtocol, DatagramTransport, Protocol, Transport};
use mainspring::{EventLoop, Interest, LoopHandle, SelectorKind, TriggerMode};

use ticks::run_until_idle;

type Seen = Vec<String>;

/// Only one test uses the number at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const NUMBER: RawFd = 201;

fn on_every_selector(mut check: impl FnMut(SelectorKind, EventLoop<Seen>)) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in SelectorKind::available() {
        println!("on {kind}");
        let el = EventLoop::builder().selector(*kind).build_with(Seen::new()).unwrap();
        el.set_exception_handler(|_, seen: &mut Seen, report| {
            let cause = report.error.source().map(ToString::to_string).unwrap_or_default();
            seen.push(format!("report: {}: {cause}", report.error));
        });
        check(*kind, el);
    }
}

/// Returns true if the selector reports a closed fd: poll and select do, epoll and kqueue drop it
/// silently.
fn reports_closed(kind: SelectorKind) -> bool {
    matches!(kind, SelectorKind::Poll | SelectorKind::Select)
}

/// Duplicates `file` as descriptor `NUMBER`, whatever file had it before.
fn put(file: &impl AsRawFd) -> OwnedFd {
    // SAFETY: the call takes two integers, and the number is reserved for these tests.
    let fd = unsafe { libc::dup2(file.as_raw_fd(), NUMBER) };
    assert_eq!(fd, NUMBER);
    // SAFETY: the call succeeded, so `fd` is open. The caller ensures that it has one owner.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Breaks the requirement that a borrowed descriptor stays open, like a faulty C library.
fn lend() -> BorrowedFd<'static> {
    // SAFETY: violated on purpose. The number is only passed to system calls, which return EBADF.
    unsafe { BorrowedFd::borrow_raw(NUMBER) }
}

/// The kernel has dropped the fd when the replacement gets it: the replacement gets one error.
#[test]
fn w8_a_replacement_gets_the_error_of_a_closed_fd() {
    on_every_selector(|_, mut el| {
        for mode in [TriggerMode::Level, TriggerMode::Edge] {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let source = put(&ours);
            let old = el
                .watch_with_mode(source, Interest::READABLE, mode, |_, seen: &mut Seen, _| {
                    Ok(seen.push("old".to_owned()))
                })
                .unwrap();
            let (next, mut peer) = UnixStream::pair().unwrap();
            std::mem::forget(put(&next)); // Its owner is the source.
            peer.write_all(b"x").unwrap();
            let new = el
                .replace(old, |_, seen: &mut Seen, fd| {
                    fd.cancel();
                    Ok(seen.push("new".to_owned()))
                })
                .unwrap();
            let expected = format!("report: cannot watch fd {NUMBER}");
            let seen = run_until_idle(&mut el);
            assert!(seen.len() == 1 && seen[0].starts_with(&expected), "{mode:?}: {seen:?}");
            assert!(!el.cancel(new), "its watcher must be gone");
        }
    });
}

/// A stream of a library: dropping it does not close the descriptor.
struct LentStream(BorrowedFd<'static>);

impl AsFd for LentStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl Read for &LentStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        mainspring_sys::fd::read(self.0, buffer)
    }
}

impl Write for &LentStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        mainspring_sys::fd::write(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Records the reason why the connection was lost.
struct Losing(Rc<RefCell<Vec<Option<String>>>>);

impl Protocol<Seen> for Losing {
    fn data_received(
        &mut self,
        _: &LoopHandle<Seen>,
        _: &mut Seen,
        _: &Transport,
        _: &[u8],
    ) -> mainspring::Result<()> {
        Ok(())
    }

    fn connection_lost(
        &mut self,
        _: &LoopHandle<Seen>,
        _: &mut Seen,
        error: Option<&mainspring::Error>,
    ) -> mainspring::Result<()> {
        self.0.borrow_mut().push(error.map(ToString::to_string));
        Ok(())
    }
}

#[test]
fn w8_a_connection_is_lost_with_its_fd() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let owner = put(&ours);
        let lost = Rc::new(RefCell::new(Vec::new()));
        let conn = el.attach_with(LentStream(lend()), Losing(lost.clone())).unwrap();
        run_until_idle(&mut el);
        drop((owner, ours));
        run_until_idle(&mut el);
        if !reports_closed(kind) {
            assert_eq!(lost.borrow().len(), 0, "the kernel reports nothing");
            conn.write(b"x"); // This call gets the error.
        }
        run_until_idle(&mut el);
        let lost = lost.borrow();
        let [Some(why)] = &lost[..] else { panic!("{kind}: {lost:?}") };
        assert!(why.contains(&format!("fd {NUMBER}")), "{why}");
        assert!(!el.is_alive());
    });
}

#[test]
fn w8_a_listener_ends_with_its_fd() {
    on_every_selector(|kind, mut el| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let owner = put(&listener);
        el.serve(lend(), |_, _, conn, data| {
            conn.write(data);
            Ok(())
        })
        .unwrap();
        let client = TcpStream::connect(address).unwrap();
        run_until_idle(&mut el);
        drop((owner, listener));
        let seen = run_until_idle(&mut el);
        if reports_closed(kind) {
            // The number may belong to another file by now, so no call is made on it.
            let why = "the listener was closed while the loop watched it";
            let [report] = &seen[..] else { panic!("{kind}: {seen:?}") };
            assert!(report.contains(&format!("fd {NUMBER}")) && report.ends_with(why), "{report}");
        } else {
            assert_eq!(seen, [""; 0], "{kind}");
        }
        drop(client);
        run_until_idle(&mut el);
    });
}

/// Puts another file at the number when it is lost, because std checks what an owner closes.
struct LosingDatagrams;

impl DatagramProtocol<Seen> for LosingDatagrams {
    fn datagram_received(
        &mut self,
        _: &LoopHandle<Seen>,
        _: &mut Seen,
        _: &DatagramTransport,
        _: &Datagram<'_>,
    ) -> mainspring::Result<()> {
        panic!("the number is closed")
    }

    fn connection_lost(
        &mut self,
        _: &LoopHandle<Seen>,
        _: &mut Seen,
        _: Option<&mainspring::Error>,
    ) -> mainspring::Result<()> {
        std::mem::forget(put(&File::open("/dev/null")?));
        Ok(())
    }
}

/// The file lives on in another descriptor, so epoll still reports it.
#[test]
fn w8_a_datagram_endpoint_ends_with_its_fd() {
    on_every_selector(|kind, mut el| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let endpoint = el.attach_datagram_with(put(&socket), LosingDatagrams).unwrap();
        run_until_idle(&mut el);
        // SAFETY: violated on purpose. The endpoint gets EBADF from now on.
        drop(unsafe { OwnedFd::from_raw_fd(NUMBER) });
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
        let seen = run_until_idle(&mut el);
        if endpoint.is_closing() {
            let expected = match reports_closed(kind) {
                true => format!("report: cannot watch fd {NUMBER}: it was closed"),
                false => format!("report: cannot receive from fd {NUMBER}: "),
            };
            let [report] = &seen[..] else { panic!("{kind}: {seen:?}") };
            assert!(report.starts_with(&expected), "{report}");
        } else {
            assert!(!reports_closed(kind) && seen.is_empty(), "{kind}: {seen:?}");
            std::mem::forget(put(&socket));
            assert!(el.cancel(endpoint.handle()));
        }
        assert!(!el.is_alive());
    });
}

//! W4 and W10 for descriptors of a library that closes its socket and opens the next one under the
//! same number, within one call, like libpq, c-ares and libcurl.
//!
//! Only unsafe code can put another file under a watched number, and only this crate has unsafe
//! code, so the tests are here.

mod ticks;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use mainspring::{EventLoop, Interest, Io, LoopHandle, TriggerMode, Watched};

use ticks::{run_until_idle, tick};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// Log of a test: names of callbacks that ran, and reports.
type Seen = Vec<String>;

/// Only one test uses the number at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const NUMBER: RawFd = 200;

fn on_every_selector(mut check: impl FnMut(EventLoop<Seen>)) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in mainspring::SelectorKind::available() {
        println!("on {kind}");
        let el = EventLoop::builder().selector(*kind).build_with(Seen::new()).unwrap();
        el.set_exception_handler(|_, seen: &mut Seen, report| {
            seen.push(format!("report: {}", report.error));
        });
        check(el);
    }
}

/// A library's connection: always the same number, for changing files.
struct Library {
    fd: OwnedFd,
    peer: UnixStream,
    /// Duplicates of the files that had the number before.
    kept: Vec<OwnedFd>,
}

impl Library {
    fn connect() -> Library {
        let (ours, peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let fd = put(&ours, NUMBER);
        Library { fd, peer, kept: Vec::new() }
    }

    /// Closes the socket and opens the next one under the same number. With `keeps`, a duplicate of
    /// the old one stays open, as in a forked child.
    fn reconnect(&mut self, keeps: bool) {
        if keeps {
            self.kept.push(self.fd.try_clone().unwrap());
        }
        let (ours, peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        std::mem::forget(put(&ours, NUMBER)); // `fd` owns it.
        let old = std::mem::replace(&mut self.peer, peer);
        if keeps {
            std::mem::forget(old); // Open, so the old file does not report an end.
        }
    }

    /// Borrows the number, as the documentation describes for a library's descriptor.
    fn lend(&self) -> BorrowedFd<'static> {
        // SAFETY: the number is open until the `Library` is dropped, which each test does last.
        unsafe { BorrowedFd::borrow_raw(self.fd.as_raw_fd()) }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).unwrap();
    }
}

/// Duplicates `file` as descriptor `number`.
fn put(file: &impl AsRawFd, number: RawFd) -> OwnedFd {
    // SAFETY: the call takes two integers, and the number is reserved for these tests.
    let fd = unsafe { libc::dup2(file.as_raw_fd(), number) };
    assert_eq!(fd, number);
    // SAFETY: the call succeeded, so `fd` is open. The caller ensures that it has one owner.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Returns a callback that reads everything available, and logs its name with the data.
fn reads<T: AsFd + 'static>(
    name: &'static str,
) -> impl FnMut(&LoopHandle<Seen>, &mut Seen, &mut Watched<T>) -> mainspring::Result<()> {
    move |_, seen, source| {
        let mut buffer = [0; 64];
        let count = mainspring_sys::fd::read(source.as_fd(), &mut buffer)?;
        seen.push(format!("{name} {}", String::from_utf8_lossy(&buffer[..count])));
        Ok(())
    }
}

/// libpq waits for the next address with the same interest as for the last one.
#[test]
fn w10_the_same_interest_is_set_for_the_next_file() {
    on_every_selector(|mut el| {
        for (keeps, mode) in cases() {
            let mut library = Library::connect();
            let watcher = el
                .watch_with_mode(library.lend(), READ | WRITE, mode, |_, seen, fd| {
                    let readiness = fd.readiness() & (READ | WRITE).into();
                    seen.push(format!("{readiness:?}"));
                    fd.set_interest(Interest::empty())
                })
                .unwrap();
            assert_eq!(run_until_idle(&mut el), ["Readiness(WRITABLE)"]);
            for _ in 0..3 {
                el.set_interest(watcher, WRITE).unwrap();
                library.reconnect(keeps);
                el.set_interest(watcher, WRITE).unwrap();
                assert_eq!(run_until_idle(&mut el), ["Readiness(WRITABLE)"], "{keeps} {mode:?}");
            }
            assert!(el.cancel(watcher));
        }
    });
}

fn cases() -> impl Iterator<Item = (bool, TriggerMode)> {
    let modes = [TriggerMode::Level, TriggerMode::Oneshot, TriggerMode::Edge];
    [false, true].into_iter().flat_map(move |keeps| modes.map(|mode| (keeps, mode)))
}

/// A change inside the callback, from which the library was called.
#[test]
fn w10_a_callback_swaps_its_own_file() {
    on_every_selector(|mut el| {
        for keeps in [false, true] {
            let mut library = Library::connect();
            let fd = library.lend();
            library.send(b"old");
            let mut calls = 0;
            let (sender, receiver) = std::sync::mpsc::channel();
            sender.send(library).unwrap();
            el.watch(fd, READ, move |_, seen, fd| {
                let mut library = receiver.recv().unwrap();
                calls += 1;
                if calls == 1 {
                    library.reconnect(keeps);
                    library.send(b"new");
                } else {
                    let mut buffer = [0; 64];
                    let count = mainspring_sys::fd::read(**fd, &mut buffer)?;
                    seen.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
                    fd.cancel();
                }
                sender.send(library).unwrap();
                if calls == 1 { fd.set_interest(READ) } else { Ok(()) }
            })
            .unwrap();
            assert_eq!(run_until_idle(&mut el), ["new"], "{keeps}");
        }
    });
}

/// The old file has data that is never read: it must neither call the callback nor end each wait.
#[test]
fn w4_the_old_file_is_silent_after_the_interest_was_set() {
    on_every_selector(|mut el| {
        let mut library = Library::connect();
        let reader = el.add_reader(library.lend(), reads("reader")).unwrap();
        for _ in 0..3 {
            library.send(b"of the old file");
            library.reconnect(true);
            el.set_interest(reader, READ).unwrap();
            assert_eq!(run_until_idle(&mut el), [""; 0]);
            library.send(b"x");
            assert_eq!(run_until_idle(&mut el), ["reader x"]);
        }
        assert!(el.cancel(reader));
        assert_eq!(run_until_idle(&mut el), [""; 0]);
        el.run().unwrap();
    });
}

/// A reader and a writer of one number: the kernel must watch the next file for both.
#[test]
fn w10_two_watchers_of_one_number() {
    on_every_selector(|mut el| {
        for keeps in [false, true] {
            let mut library = Library::connect();
            let reader = el.add_reader(library.lend(), reads("reader")).unwrap();
            let writer = el
                .add_writer(library.lend(), |_, seen: &mut Seen, fd| {
                    seen.push("writer".to_owned());
                    fd.set_interest(Interest::empty())
                })
                .unwrap();
            assert_eq!(run_until_idle(&mut el), ["writer"]);
            library.reconnect(keeps);
            library.send(b"a");
            el.set_interest(writer, WRITE).unwrap();
            assert_eq!(run_until_idle(&mut el), ["reader a", "writer"]);
            library.reconnect(keeps);
            library.send(b"b");
            el.set_interest(reader, READ).unwrap();
            assert_eq!(run_until_idle(&mut el), ["reader b"]);
            // One watcher is cancelled after a swap that it did not notice: the other one still has
            // the new file.
            el.set_interest(writer, WRITE).unwrap();
            run_until_idle(&mut el);
            library.reconnect(keeps);
            library.send(b"c");
            assert!(el.cancel(writer));
            el.set_interest(reader, READ).unwrap();
            assert_eq!(run_until_idle(&mut el), ["reader c"]);
            assert!(el.cancel(reader));
        }
    });
}

/// A watcher that is paused or cancelled after a swap leaves no registration.
#[test]
fn w5_a_pause_after_a_swap_is_a_pause() {
    on_every_selector(|mut el| {
        for keeps in [false, true] {
            let mut library = Library::connect();
            let reader = el.add_reader(library.lend(), reads("reader")).unwrap();
            library.reconnect(keeps);
            library.send(b"x");
            el.set_interest(reader, Interest::empty()).unwrap();
            assert_eq!(run_until_idle(&mut el), [""; 0]);
            el.set_interest(reader, READ).unwrap();
            assert_eq!(run_until_idle(&mut el), ["reader x"]);
            library.reconnect(keeps);
            assert!(el.cancel(reader));
            library.send(b"y");
            let next = el.add_reader(library.lend(), reads("next")).unwrap();
            assert_eq!(run_until_idle(&mut el), ["next y"]);
            assert!(el.cancel(next));
        }
    });
}

/// A file that the kernel does not watch, before and after another file.
#[test]
fn w6_a_regular_file_has_the_number_for_a_while() {
    on_every_selector(|mut el| {
        let library = Library::connect();
        let path = std::env::current_exe().unwrap();
        let reader = el
            .watch(library.lend(), READ, |_, seen, fd| {
                let count = mainspring_sys::fd::read(**fd, &mut [0; 64])?;
                seen.push(count.to_string());
                fd.set_interest(Interest::empty())
            })
            .unwrap();
        for (round, _) in [(); 3].iter().enumerate() {
            let (ours, mut peer) = UnixStream::pair().unwrap();
            std::mem::forget(put(&File::open(&path).unwrap(), NUMBER));
            el.set_interest(reader, READ).unwrap();
            assert_eq!(run_until_idle(&mut el), ["64"], "{round}");
            el.set_interest(reader, READ).unwrap();
            std::mem::forget(put(&ours, NUMBER));
            peer.write_all(b"x").unwrap();
            el.set_interest(reader, READ).unwrap();
            assert_eq!(run_until_idle(&mut el), ["1"], "{round}");
        }
        assert!(el.cancel(reader));
    });
}

/// The number of a regular file has a silent socket by now. The selector got no call about it, and
/// must not report the old file in each tick.
#[test]
fn w8_a_regular_file_that_was_replaced_does_not_spin() {
    on_every_selector(|mut el| {
        let library = Library::connect();
        std::mem::forget(put(&File::open(std::env::current_exe().unwrap()).unwrap(), NUMBER));
        el.add_reader(library.lend(), reads("file")).unwrap();
        assert_eq!(tick(&mut el), 1);
        el.state_mut().clear();
        let (ours, _peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        std::mem::forget(put(&ours, NUMBER));
        let seen = run_until_idle(&mut el);
        assert!(seen.iter().all(|entry| entry.starts_with("report: cannot watch")), "{seen:?}");
    });
}

/// A user-defined source, which the loop cannot recognize as a library's.
#[test]
fn w10_a_type_that_wraps_a_library() {
    struct Wrapper(RawFd, Rc<()>);
    impl AsFd for Wrapper {
        fn as_fd(&self) -> BorrowedFd<'_> {
            // SAFETY: as `Library::lend`.
            unsafe { BorrowedFd::borrow_raw(self.0) }
        }
    }
    on_every_selector(|mut el| {
        let mut library = Library::connect();
        let source = Wrapper(library.fd.as_raw_fd(), Rc::new(()));
        let alive = source.1.clone();
        let reader = el.add_reader(source, reads("reader")).unwrap();
        library.reconnect(true);
        library.send(b"x");
        el.set_interest(reader, READ).unwrap();
        assert_eq!(run_until_idle(&mut el), ["reader x"]);
        assert!(el.cancel(reader));
        assert_eq!(Rc::strong_count(&alive), 1);
    });
}

/// A closed number is an error of the call and does not harm the loop.
#[test]
fn w7_the_interest_in_a_closed_number_cannot_be_changed() {
    on_every_selector(|mut el| {
        let library = Library::connect();
        let fd = library.lend();
        let reader = el.add_reader(fd, reads("wrong")).unwrap();
        drop(library);
        let error = el.set_interest(reader, READ).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot change the interest in fd {NUMBER}"));
        assert_eq!(run_until_idle(&mut el), [format!("report: cannot watch fd {NUMBER}")]);
        el.run().unwrap();
    });
}

/// In a task, each wait is for the file that has the number at that time.
#[test]
fn w10_io_waits_for_the_present_file() {
    on_every_selector(|mut el| {
        for keeps in [false, true] {
            let mut library = Library::connect();
            let io = Rc::new(Io::new(library.lend()).unwrap());
            for round in 0..4 {
                let io = io.clone();
                let reading = el.spawn(async move {
                    let mut buffer = [0; 8];
                    io.read_with(|fd| mainspring_sys::fd::read(*fd, &mut buffer)).await
                });
                run_until_idle(&mut el);
                library.send(b"x");
                run_until_idle(&mut el);
                assert!(reading.is_finished(), "{keeps} {round}");
                library.send(b"never read");
                run_until_idle(&mut el);
                library.reconnect(keeps);
            }
            drop(io);
        }
    });
}

/// The recipe for a library that makes its own calls: clear the readiness, and wait.
#[test]
fn w10_a_library_that_reads_for_itself_waits_by_level() {
    on_every_selector(|mut el| {
        for keeps in [false, true] {
            let mut library = Library::connect();
            let io = Rc::new(Io::new(library.lend()).unwrap());
            let waits = |el: &EventLoop<Seen>, interest| {
                let io = io.clone();
                io.clear_readiness(READ | WRITE);
                el.spawn(async move { io.ready(interest).await.map(|_| ()) })
            };
            for _ in 0..3 {
                let writing = waits(&el, WRITE);
                run_until_idle(&mut el);
                assert!(writing.is_finished());
                let reading = waits(&el, READ);
                run_until_idle(&mut el);
                assert!(!reading.is_finished(), "no data has arrived");
                library.send(b"x");
                run_until_idle(&mut el);
                assert!(reading.is_finished());
                let again = waits(&el, READ);
                run_until_idle(&mut el);
                assert!(again.is_finished(), "the data has not been read");
                library.reconnect(keeps);
            }
        }
    });
}

/// P3: the table does not grow, and each file is reported once.
#[test]
fn w4_a_thousand_files_under_one_number() {
    on_every_selector(|mut el| {
        let mut library = Library::connect();
        let reader = el.add_reader(library.lend(), reads("reader")).unwrap();
        for round in 0..1000 {
            library.reconnect(false);
            library.send(b"x");
            el.set_interest(reader, READ).unwrap();
            assert_eq!(tick(&mut el), 1, "{round}");
        }
        assert_eq!(tick(&mut el), 0);
        assert_eq!(el.state().len(), 1000);
        let _ = library.peer.set_nonblocking(true);
        assert!(library.peer.read(&mut [0]).is_err(), "nothing was written");
        assert!(el.cancel(reader));
    });
}

//! W8 and W7 for loops: descriptors that are closed while the loop watches them, or that were never
//! open.
//!
//! Only unsafe code can do that to a loop, and only this crate has unsafe code, so the tests are
//! here.

mod ticks;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainspring::{Error, EventLoop, Interest, Io, LoopHandle, SelectorKind, Watched};
use mainspring_sys::{Events, Token, TriggerMode};

use ticks::{run_until_idle, tick};

/// Log of a test: names of callbacks that ran, and reports.
type Seen = Vec<String>;
type Lent = BorrowedFd<'static>;

/// Only one test runs at a time, because the next descriptor that any thread opens gets a closed
/// number.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn on_every_selector(mut check: impl FnMut(SelectorKind, EventLoop<Seen>)) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in SelectorKind::available() {
        println!("on {kind}");
        let el = EventLoop::builder().selector(*kind).build_with(Seen::new()).unwrap();
        el.set_exception_handler(|_, seen: &mut Seen, report| {
            seen.push(format!("report: {}", report.error));
        });
        check(*kind, el);
    }
}

/// Returns true if the selector reports a closed fd: poll and select do, epoll and kqueue drop it
/// silently.
fn reports_closed(kind: SelectorKind) -> bool {
    matches!(kind, SelectorKind::Poll | SelectorKind::Select)
}

/// Returns true if the selector reports a closed number while another descriptor keeps its file
/// open. poll and select report it as closed, epoll as if it were open; a kqueue drops it.
fn reports_closed_duplicate(kind: SelectorKind) -> bool {
    let (ours, _theirs) = far(FAR - 1);
    let _duplicate = ours.try_clone().unwrap();
    let mut selector = kind.open().unwrap();
    selector.register(FAR - 1, Token::new(1, 0), Interest::READABLE, TriggerMode::Level).unwrap();
    drop(ours);
    let mut events = Events::with_capacity(1);
    selector.select(&mut events, Some(Duration::ZERO)).unwrap();
    !events.is_empty()
}

/// Returns a stream with unread data, under a number that no other descriptor gets, and its peer.
fn far(number: RawFd) -> (OwnedFd, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    (put(&ours, number), theirs)
}

/// Duplicates `file` as descriptor `number`.
fn put(file: &impl AsRawFd, number: RawFd) -> OwnedFd {
    // SAFETY: the call takes two integers, and the number is reserved for these tests.
    let fd = unsafe { libc::dup2(file.as_raw_fd(), number) };
    assert_eq!(fd, number);
    // SAFETY: the call succeeded, so `fd` is open, and no other code owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Breaks the requirement that a borrowed descriptor stays open, like a faulty C library.
fn lend(number: RawFd) -> Lent {
    // SAFETY: violated on purpose. The number is only passed to system calls, which return EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}

fn logs(
    name: &'static str,
) -> impl FnMut(&LoopHandle<Seen>, &mut Seen, &mut Watched<Lent>) -> mainspring::Result<()> {
    move |_, seen, _| {
        seen.push(name.to_owned());
        Ok(())
    }
}

/// Adds a reader that reads what is available, so that it gets the error if the number is closed.
fn reads(el: &EventLoop<Seen>, number: RawFd) {
    el.add_reader(lend(number), |_, seen: &mut Seen, fd| {
        mainspring_sys::fd::read(**fd, &mut [0])?;
        seen.push("read".to_owned());
        Ok(())
    })
    .unwrap();
}

const FAR: RawFd = 220;

/// Closed, with no duplicate: other watchers are not affected, and the watcher ends if the kernel
/// reports the loss.
#[test]
fn w8_a_closed_fd_ends_its_watcher_or_is_silent() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        el.add_reader(lend(FAR), logs("reader")).unwrap();
        el.add_writer(lend(FAR), logs("writer")).unwrap();
        let (other, _peer_of_other) = far(FAR + 1);
        reads(&el, other.as_raw_fd());
        tick(&mut el);
        assert_eq!(std::mem::take(el.state_mut()).len(), 3);
        drop(ours);
        let report = format!("report: cannot watch fd {FAR}");
        let expected = if reports_closed(kind) { vec![report; 2] } else { Vec::new() };
        assert_eq!(run_until_idle(&mut el), expected);
    });
}

/// Closed while a duplicate keeps the file open: epoll still reports the closed number. The reader
/// gets the error and ends, and so does the writer, which nothing would wake any more. A kqueue is
/// silent.
#[test]
fn w8_a_closed_fd_whose_file_lives_on_does_not_spin() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        let duplicate = ours.try_clone().unwrap();
        File::from(duplicate.try_clone().unwrap()).read_exact(&mut [0]).unwrap();
        reads(&el, FAR);
        el.add_writer(lend(FAR), |_, _, _| Ok(())).unwrap();
        let (other, mut peer_of_other) = far(FAR + 1);
        reads(&el, other.as_raw_fd());
        drop((ours, _theirs));
        let seen = run_until_idle(&mut el);
        let reports = seen.iter().filter(|what| what.starts_with("report: ")).count();
        assert_eq!(reports, if reports_closed_duplicate(kind) { 2 } else { 0 }, "{seen:?}");
        peer_of_other.write_all(b"x").unwrap();
        assert_eq!(run_until_idle(&mut el), ["read"]);
        assert_sleeps(&mut el);
        drop(duplicate);
    });
}

/// A watcher that was removed after its fd was closed: the kernel still reports its unknown token,
/// so the loop removes it. That also finds other registrations that were lost silently.
#[test]
fn w8_an_unknown_token_in_the_kernel_is_removed() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        let watcher = el.add_reader(lend(FAR), logs("wrong")).unwrap();
        let (other, _peer_of_other) = far(FAR + 1);
        reads(&el, other.as_raw_fd());
        let (silent, _peer_of_silent) = far(FAR + 2);
        el.add_reader(lend(FAR + 2), logs("wrong")).unwrap();
        let _duplicate = ours.try_clone().unwrap();
        drop((ours, silent));
        assert!(el.cancel(watcher));
        // The new watcher gets the slot of the removed one, but none of its events.
        let (innocent, _peer_of_innocent) = UnixStream::pair().unwrap();
        el.add_reader(lend(innocent.as_raw_fd()), logs("wrong")).unwrap();
        let mut seen = run_until_idle(&mut el);
        seen.sort_unstable();
        let mut expected = vec!["read".to_owned()];
        if reports_closed_duplicate(kind) {
            expected.push(format!("report: cannot watch fd {}", FAR + 2));
        }
        assert_eq!(seen, expected);
        assert_sleeps(&mut el);
    });
}

/// The same for an fd with two callbacks, which have a token of another kind, and for that of a
/// task.
#[test]
fn w8_an_unknown_token_of_two_callbacks_or_of_a_task_is_removed() {
    on_every_selector(|kind, mut el| {
        let (ours, theirs) = far(FAR);
        let reader = el.add_reader(lend(FAR), logs("wrong")).unwrap();
        let writer = el.add_writer(lend(FAR), logs("wrong")).unwrap();
        let duplicate = ours.try_clone().unwrap();
        drop(ours);
        assert!(el.cancel(reader) && el.cancel(writer));
        assert_eq!(run_until_idle(&mut el), Seen::new());
        assert_sleeps(&mut el);
        drop((theirs, duplicate));

        let (ours, mut theirs) = far(FAR + 1);
        let io = Rc::new(Io::new(lend(FAR + 1)).unwrap());
        let reading = reading_until_it_fails(&el, &io);
        run_until_idle(&mut el);
        let duplicate = ours.try_clone().unwrap();
        drop((ours, io));
        assert!(reading.cancel("over"));
        run_until_idle(&mut el);
        let (silent, _peer_of_silent) = far(FAR + 2);
        el.add_reader(lend(FAR + 2), logs("wrong")).unwrap();
        drop(silent);
        // The loss is found when the loop registers everything again. The task's unknown token is
        // in edge mode: the first edge makes the loop suspicious, the next one is detected.
        for _ in 0..2 {
            theirs.write_all(b"more").unwrap();
            tick(&mut el);
        }
        let report =
            reports_closed_duplicate(kind).then(|| format!("report: cannot watch fd {}", FAR + 2));
        assert_eq!(run_until_idle(&mut el), Vec::from_iter(report));
        assert_sleeps(&mut el);
        drop(duplicate);
    });
}

/// The wakeup is not removed together with the unknown token.
#[test]
fn w8_the_loop_can_be_woken_after_an_unknown_token() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        let watcher = el.add_reader(lend(FAR), logs("wrong")).unwrap();
        let _duplicate = ours.try_clone().unwrap();
        drop(ours);
        assert!(el.cancel(watcher));
        tick(&mut el);
        let remote = el.remote();
        let thread = std::thread::spawn(move || remote.stop());
        el.run_forever().unwrap();
        thread.join().unwrap().unwrap();
    });
}

/// Checks that nothing ends the sleep of the loop.
fn assert_sleeps(el: &mut EventLoop<Seen>) {
    let (wait, start) = (Duration::from_millis(2), Instant::now());
    assert_eq!(el.tick(Some(wait)).unwrap(), 0);
    assert!(start.elapsed() >= wait, "the loop spins");
}

/// W4: the next owner of the number is not confused with the old one, and the old one ends, whether
/// they watch the same direction or not.
#[test]
fn w8_the_next_owner_of_the_number_is_served() {
    on_every_selector(|kind, mut el| {
        if reports_closed(kind) {
            return; // poll and select pass only the number, and cannot detect the new file.
        }
        for old_writes in [false, true] {
            let (ours, _theirs) = far(FAR);
            match old_writes {
                false => el.add_reader(lend(FAR), logs("old")).unwrap(),
                true => el.add_writer(lend(FAR), logs("old")).unwrap(),
            };
            drop(ours);
            let (_new, _peer_of_new) = far(FAR);
            let new = el.add_reader(lend(FAR), logs("new")).unwrap();
            assert_eq!([tick(&mut el), tick(&mut el)], [2, 1]);
            assert!(el.cancel(new));
            let mut seen = run_until_idle(&mut el);
            seen.sort_unstable();
            let report = format!("report: cannot watch fd {FAR}");
            assert_eq!(seen, ["new".to_owned(), "new".to_owned(), report]);
        }
    });
}

/// The same if only a change of the interest detects it.
#[test]
fn w8_a_change_of_interest_detects_the_closed_fd() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        let reader = el.add_reader(lend(FAR), logs("wrong")).unwrap();
        el.add_writer(lend(FAR), logs("wrong")).unwrap();
        drop(ours);
        let error = el.set_interest(reader, Interest::PRIORITY).unwrap_err();
        assert!(matches!(error, Error::Watch { fd: FAR, .. }), "{error:?}");
        let report = format!("report: cannot watch fd {FAR}");
        assert_eq!(run_until_idle(&mut el), [report.clone(), report]);
        el.run().unwrap(); // No watcher is left.
    });
}

/// Spawns a task that reads from a borrowed descriptor until that fails, and returns the error.
fn reading_until_it_fails(el: &EventLoop<Seen>, io: &Rc<Io<Lent>>) -> mainspring::Task<String> {
    let io = io.clone();
    el.spawn(async move {
        loop {
            if let Err(error) = io.read_with(|fd| mainspring_sys::fd::read(*fd, &mut [0])).await {
                return error.to_string();
            }
        }
    })
}

#[test]
fn w8_a_task_that_waits_for_a_closed_fd_gets_an_error_or_waits() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        let io = Rc::new(Io::new(lend(FAR)).unwrap());
        let reading = reading_until_it_fails(&el, &io);
        run_until_idle(&mut el);
        drop(ours);
        run_until_idle(&mut el);
        assert_eq!(reading.is_finished(), reports_closed(kind));
        if reports_closed(kind) {
            let error = el.run_until_complete(reading).unwrap().unwrap();
            assert_eq!(error, format!("cannot watch fd {FAR}"));
            // The same for the next wait, without a call on a number that may belong to another
            // file.
            let error = el.run_until_complete(reading_until_it_fails(&el, &io)).unwrap().unwrap();
            assert_eq!(error, format!("cannot watch fd {FAR}"));
        }
        let read = io.try_io(Interest::READABLE, |fd| mainspring_sys::fd::read(*fd, &mut [0]));
        assert_eq!(read.unwrap_err().to_string(), format!("cannot read from fd {FAR}"));
    });
}

/// W4: the next owner of the number is another task's, and the old task gets an error.
#[test]
fn w8_the_next_task_with_the_number_is_served() {
    on_every_selector(|kind, mut el| {
        if reports_closed(kind) {
            return; // poll and select pass only the number, and cannot detect the new file.
        }
        let (ours, _theirs) = far(FAR);
        let old = Rc::new(Io::new(lend(FAR)).unwrap());
        let left = reading_until_it_fails(&el, &old);
        run_until_idle(&mut el);
        drop(ours);
        let (_new, mut peer) = far(FAR);
        let new = Rc::new(Io::new(lend(FAR)).unwrap());
        let served = reading_until_it_fails(&el, &new);
        run_until_idle(&mut el);
        let error = el.run_until_complete(left).unwrap().unwrap();
        assert_eq!(error, format!("cannot watch fd {FAR}"));
        peer.write_all(b"more").unwrap();
        run_until_idle(&mut el);
        let rest = new.try_io(Interest::READABLE, |fd| mainspring_sys::fd::read(*fd, &mut [0]));
        assert_eq!(
            rest.unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock,
            "the task has read everything"
        );
        assert!(!served.is_finished());
    });
}

/// Files that never block are not in the kernel's table, but their loss is detected too.
#[test]
fn w8_a_closed_regular_file_ends_its_watcher() {
    on_every_selector(|_, mut el| {
        let file = put(&File::open("/dev/null").unwrap(), FAR);
        el.add_reader(lend(FAR), logs("reader")).unwrap();
        assert_eq!(tick(&mut el), 1);
        drop(file);
        assert_eq!(
            run_until_idle(&mut el),
            ["reader".to_owned(), format!("report: cannot watch fd {FAR}")]
        );
        el.run().unwrap();
    });
}

/// Numbers that are not open, and numbers that never are; then one that is open works.
#[test]
fn w7_a_number_that_is_not_open_is_an_error() {
    on_every_selector(|_, mut el| {
        let none = [FAR, 1_048_576, RawFd::MAX, -2, RawFd::MIN];
        for number in none {
            let capture = Rc::new(());
            let held = capture.clone();
            let added = el.add_reader(lend(number), move |_, _, _| {
                drop(held.clone());
                Ok(())
            });
            let error = added.unwrap_err();
            let Error::Watch { operation: "watch", fd, source } = &error else {
                panic!("{error:?}")
            };
            assert_eq!((*fd, source.raw_os_error()), (number, Some(libc::EBADF)));
            assert_eq!(Rc::strong_count(&capture), 1, "the callback must be dropped");
        }
        el.run().unwrap(); // No watcher was added.
        let (_ours, _theirs) = far(FAR);
        reads(&el, FAR);
        assert_eq!(run_until_idle(&mut el), ["read"]);
    });
}

/// The next owner of the number is registered, and the previous watcher gets a report.
#[test]
fn w8_a_taken_number_goes_to_its_next_owner() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        reads(&el, FAR);
        assert_eq!(run_until_idle(&mut el), ["read"]);
        drop(ours);
        let (new, _peer) = far(FAR);
        let fd = new.as_raw_fd();
        reads(&el, fd);
        assert_eq!(run_until_idle(&mut el), [&format!("report: cannot watch fd {FAR}"), "read"]);
    });
}

/// A paused watcher has no registration that the kernel could lose.
#[test]
fn w8_a_paused_number_goes_to_its_next_owner() {
    for first in [Interest::empty(), Interest::READABLE] {
        on_every_selector(|_, mut el| {
            let (ours, _theirs) = far(FAR);
            let paused = el.watch(lend(FAR), first, logs("paused")).unwrap();
            el.set_interest(paused, Interest::empty()).unwrap();
            drop(ours);
            let (_new, mut peer) = far(FAR);
            reads(&el, FAR);
            assert_eq!(run_until_idle(&mut el), ["read"], "after {first:?}");
            let error = el.set_interest(paused, Interest::READABLE).unwrap_err();
            assert!(matches!(error, Error::Watch { fd: FAR, .. }), "{error}");
            assert!(el.cancel(paused));
            peer.write_all(b"x").unwrap();
            assert_eq!(run_until_idle(&mut el), ["read"], "after {first:?}");
        });
    }
}

/// A paused watcher keeps the number while its file is open.
#[test]
fn w7_the_number_of_a_paused_watcher_is_taken() {
    on_every_selector(|_, el| {
        let (_ours, _theirs) = far(FAR);
        el.watch(lend(FAR), Interest::empty(), logs("paused")).unwrap();
        let taken = el.add_reader(lend(FAR), logs("reader")).unwrap_err();
        assert!(matches!(taken, Error::AlreadyWatched { fd: FAR, .. }), "{taken}");
    });
}

/// The loss is detected but its callback has not run yet: the next owner can be registered already.
#[test]
fn w8_the_next_owner_may_come_before_the_loss_is_reported() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        let watcher = el.watch(lend(FAR), Interest::READABLE, logs("old")).unwrap();
        drop(ours);
        el.set_interest(watcher, Interest::WRITABLE).unwrap_err();
        let (_new, _peer) = far(FAR);
        reads(&el, FAR);
        assert_eq!(run_until_idle(&mut el), [&format!("report: cannot watch fd {FAR}"), "read"]);
    });
}

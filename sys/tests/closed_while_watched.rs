//! W8 and W7 on the loop itself: descriptors that are closed while the loop watches them, or were
//! never open.
//!
//! Only unsafe code can do that to a loop, and above this crate there is none, so the tests are
//! here.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainspring::{Error, EventLoop, Interest, Io, LoopHandle, SelectorKind, Watched};
use mainspring_sys::{Events, Token, TriggerMode};

/// What was seen: callbacks by name, and reports.
type Seen = Vec<String>;
type Lent = BorrowedFd<'static>;

/// A closed number is used again by whoever opens a descriptor next, so only one test runs at a
/// time.
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

/// poll and select are told of a closed fd; epoll and kqueue forget it in silence.
fn tells(kind: SelectorKind) -> bool {
    matches!(kind, SelectorKind::Poll | SelectorKind::Select)
}

/// True if a number that is closed is reported while another descriptor keeps its file open: by
/// poll and select as closed, by epoll as if it were open. A kqueue forgets it.
fn keeps(kind: SelectorKind) -> bool {
    let (ours, _theirs) = far(FAR - 1);
    let _twin = ours.try_clone().unwrap();
    let mut selector = kind.open().unwrap();
    selector.register(FAR - 1, Token::new(1, 0), Interest::READABLE, TriggerMode::Level).unwrap();
    drop(ours);
    let mut events = Events::with_capacity(1);
    selector.select(&mut events, Some(Duration::ZERO)).unwrap();
    !events.is_empty()
}

fn tick(el: &mut EventLoop<Seen>) -> usize {
    el.tick(Some(Duration::ZERO)).unwrap()
}

/// Ticks until nothing is called any more, which must not take long.
fn settle(el: &mut EventLoop<Seen>) -> Seen {
    let ticks = (0..20).take_while(|_| tick(el) > 0).count();
    assert!(ticks < 20, "it spins: {:?}", el.state());
    std::mem::take(el.state_mut())
}

/// A stream with data to read, as a number far from those that others get, and its peer.
fn far(number: RawFd) -> (OwnedFd, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    (put(&ours, number), theirs)
}

/// Gives `file` another descriptor, of this number.
fn put(file: &impl AsRawFd, number: RawFd) -> OwnedFd {
    // SAFETY: the call takes two integers, and the number is the tests' own.
    let fd = unsafe { libc::dup2(file.as_raw_fd(), number) };
    assert_eq!(fd, number);
    // SAFETY: the call succeeded, so `fd` is open, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Breaks the promise that a lent descriptor stays open, as a faulty C library would.
fn lend(number: RawFd) -> Lent {
    // SAFETY: not kept, on purpose. The number is only passed to system calls, which answer EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}

fn says(
    name: &'static str,
) -> impl FnMut(&LoopHandle<Seen>, &mut Seen, &mut Watched<Lent>) -> mainspring::Result<()> {
    move |_, seen, _| {
        seen.push(name.to_owned());
        Ok(())
    }
}

/// A reader that reads what is there, so it meets the error if the number is closed.
fn reads(el: &EventLoop<Seen>, number: RawFd) {
    el.add_reader(lend(number), |_, seen: &mut Seen, fd| {
        mainspring_sys::fd::read(**fd, &mut [0])?;
        seen.push("read".to_owned());
        Ok(())
    })
    .unwrap();
}

const FAR: RawFd = 220;

/// Closed, and no other descriptor of the file: nobody else is disturbed, and where the kernel
/// tells, the watcher ends.
#[test]
fn w8_a_closed_fd_ends_its_watcher_or_is_silent() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        el.add_reader(lend(FAR), says("reader")).unwrap();
        el.add_writer(lend(FAR), says("writer")).unwrap();
        let (other, _peer_of_other) = far(FAR + 1);
        reads(&el, other.as_raw_fd());
        tick(&mut el);
        assert_eq!(std::mem::take(el.state_mut()).len(), 3);
        drop(ours);
        let report = format!("report: cannot watch fd {FAR}");
        let expected = if tells(kind) { vec![report; 2] } else { Vec::new() };
        assert_eq!(settle(&mut el), expected);
    });
}

/// Closed while a twin keeps the file open: epoll goes on reporting a number that is closed. The
/// reader meets the error and ends, and with it the writer, whom nothing would wake any more. A
/// kqueue is silent.
#[test]
fn w8_a_closed_fd_whose_file_lives_on_does_not_spin() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        let twin = ours.try_clone().unwrap();
        File::from(twin.try_clone().unwrap()).read_exact(&mut [0]).unwrap();
        reads(&el, FAR);
        el.add_writer(lend(FAR), |_, _, _| Ok(())).unwrap();
        let (other, mut peer_of_other) = far(FAR + 1);
        reads(&el, other.as_raw_fd());
        drop((ours, _theirs));
        let seen = settle(&mut el);
        let reports = seen.iter().filter(|what| what.starts_with("report: ")).count();
        assert_eq!(reports, if keeps(kind) { 2 } else { 0 }, "{seen:?}");
        peer_of_other.write_all(b"x").unwrap();
        assert_eq!(settle(&mut el), ["read"]);
        assert_sleeps(&mut el);
        drop(twin);
    });
}

/// A file whose watcher was removed too late: the kernel knows it by no number, so it is a
/// stranger, and goes. Whoever else was lost in silence is found by that.
#[test]
fn w8_a_stranger_in_the_kernel_is_thrown_out() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        let watcher = el.add_reader(lend(FAR), says("wrong")).unwrap();
        let (other, _peer_of_other) = far(FAR + 1);
        reads(&el, other.as_raw_fd());
        let (silent, _peer_of_silent) = far(FAR + 2);
        el.add_reader(lend(FAR + 2), says("wrong")).unwrap();
        let _twin = ours.try_clone().unwrap();
        drop((ours, silent));
        assert!(el.cancel(watcher));
        // It gets the slot of the one that is gone, and none of its events.
        let (innocent, _peer_of_innocent) = UnixStream::pair().unwrap();
        el.add_reader(lend(innocent.as_raw_fd()), says("wrong")).unwrap();
        let mut seen = settle(&mut el);
        seen.sort_unstable();
        let mut expected = vec!["read".to_owned()];
        if keeps(kind) {
            expected.push(format!("report: cannot watch fd {}", FAR + 2));
        }
        assert_eq!(seen, expected);
        assert_sleeps(&mut el);
    });
}

/// The same for an fd with two callbacks, which the kernel knows by another kind of name, and for
/// that of a task.
#[test]
fn w8_a_stranger_of_two_callbacks_or_of_a_task_is_thrown_out() {
    on_every_selector(|kind, mut el| {
        let (ours, theirs) = far(FAR);
        let reader = el.add_reader(lend(FAR), says("wrong")).unwrap();
        let writer = el.add_writer(lend(FAR), says("wrong")).unwrap();
        let twin = ours.try_clone().unwrap();
        drop(ours);
        assert!(el.cancel(reader) && el.cancel(writer));
        assert_eq!(settle(&mut el), Seen::new());
        assert_sleeps(&mut el);
        drop((theirs, twin));

        let (ours, mut theirs) = far(FAR + 1);
        let io = Rc::new(Io::new(lend(FAR + 1)).unwrap());
        let reading = reading_until_it_fails(&el, &io);
        settle(&mut el);
        let twin = ours.try_clone().unwrap();
        drop((ours, io));
        assert!(reading.cancel("over"));
        settle(&mut el);
        let (silent, _peer_of_silent) = far(FAR + 2);
        el.add_reader(lend(FAR + 2), says("wrong")).unwrap();
        drop(silent);
        // That one is found when the kernel's table is made anew. A task's stranger comes by edges:
        // one makes the loop look closely, the next is seen.
        for _ in 0..2 {
            theirs.write_all(b"more").unwrap();
            tick(&mut el);
        }
        let report = keeps(kind).then(|| format!("report: cannot watch fd {}", FAR + 2));
        assert_eq!(settle(&mut el), Vec::from_iter(report));
        assert_sleeps(&mut el);
        drop(twin);
    });
}

/// The doorbell is not thrown out with the stranger.
#[test]
fn w8_the_loop_can_be_woken_after_a_stranger() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        let watcher = el.add_reader(lend(FAR), says("wrong")).unwrap();
        let _twin = ours.try_clone().unwrap();
        drop(ours);
        assert!(el.cancel(watcher));
        tick(&mut el);
        let remote = el.remote();
        let thread = std::thread::spawn(move || remote.stop());
        el.run_forever().unwrap();
        thread.join().unwrap().unwrap();
    });
}

/// Nothing ends the sleep of the loop.
fn assert_sleeps(el: &mut EventLoop<Seen>) {
    let (wait, start) = (Duration::from_millis(2), Instant::now());
    assert_eq!(el.tick(Some(wait)).unwrap(), 0);
    assert!(start.elapsed() >= wait, "it spins");
}

/// W4 from the other side: whoever gets the number next is not mistaken for the old one, and the
/// old one ends, if it had the same direction or the other one.
#[test]
fn w8_the_next_owner_of_the_number_is_served() {
    on_every_selector(|kind, mut el| {
        if tells(kind) {
            return; // They ask by number only, and cannot know that it changed hands.
        }
        for old_writes in [false, true] {
            let (ours, _theirs) = far(FAR);
            match old_writes {
                false => el.add_reader(lend(FAR), says("old")).unwrap(),
                true => el.add_writer(lend(FAR), says("old")).unwrap(),
            };
            drop(ours);
            let (_new, _peer_of_new) = far(FAR);
            let new = el.add_reader(lend(FAR), says("new")).unwrap();
            assert_eq!([tick(&mut el), tick(&mut el)], [2, 1]);
            assert!(el.cancel(new));
            let mut seen = settle(&mut el);
            seen.sort_unstable();
            let report = format!("report: cannot watch fd {FAR}");
            assert_eq!(seen, ["new".to_owned(), "new".to_owned(), report]);
        }
    });
}

/// The same where only a change of the interest finds it out.
#[test]
fn w8_a_change_of_interest_finds_the_closed_fd() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        let reader = el.add_reader(lend(FAR), says("wrong")).unwrap();
        el.add_writer(lend(FAR), says("wrong")).unwrap();
        drop(ours);
        let error = el.set_interest(reader, Interest::PRIORITY).unwrap_err();
        assert!(matches!(error, Error::Watch { fd: FAR, .. }), "{error:?}");
        let report = format!("report: cannot watch fd {FAR}");
        assert_eq!(settle(&mut el), [report.clone(), report]);
        el.run().unwrap(); // Nothing is left.
    });
}

/// A task that reads from a lent descriptor until that fails, and says why it did.
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
fn w8_a_task_that_waits_for_a_closed_fd_is_told_or_hears_nothing() {
    on_every_selector(|kind, mut el| {
        let (ours, _theirs) = far(FAR);
        let io = Rc::new(Io::new(lend(FAR)).unwrap());
        let reading = reading_until_it_fails(&el, &io);
        settle(&mut el);
        drop(ours);
        settle(&mut el);
        assert_eq!(reading.is_finished(), tells(kind));
        if tells(kind) {
            let told = el.run_until_complete(reading).unwrap().unwrap();
            assert_eq!(told, format!("cannot watch fd {FAR}"));
            // And again, for whoever tries, without a call on a number that may be a stranger's.
            let told = el.run_until_complete(reading_until_it_fails(&el, &io)).unwrap().unwrap();
            assert_eq!(told, format!("cannot watch fd {FAR}"));
        }
        let read = io.try_io(Interest::READABLE, |fd| mainspring_sys::fd::read(*fd, &mut [0]));
        assert_eq!(read.unwrap_err().to_string(), format!("cannot read from fd {FAR}"));
    });
}

/// W4: the next owner of the number is another task's, and the old one is told.
#[test]
fn w8_the_next_task_with_the_number_is_served() {
    on_every_selector(|kind, mut el| {
        if tells(kind) {
            return; // They ask by number only, and cannot know that it changed hands.
        }
        let (ours, _theirs) = far(FAR);
        let old = Rc::new(Io::new(lend(FAR)).unwrap());
        let left = reading_until_it_fails(&el, &old);
        settle(&mut el);
        drop(ours);
        let (_new, mut peer) = far(FAR);
        let new = Rc::new(Io::new(lend(FAR)).unwrap());
        let served = reading_until_it_fails(&el, &new);
        settle(&mut el);
        let told = el.run_until_complete(left).unwrap().unwrap();
        assert_eq!(told, format!("cannot watch fd {FAR}"));
        peer.write_all(b"more").unwrap();
        settle(&mut el);
        let rest = new.try_io(Interest::READABLE, |fd| mainspring_sys::fd::read(*fd, &mut [0]));
        assert_eq!(rest.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it has read all");
        assert!(!served.is_finished());
    });
}

/// Files that never wait are not in the kernel's table, but just as gone.
#[test]
fn w8_a_closed_regular_file_ends_its_watcher() {
    on_every_selector(|_, mut el| {
        let file = put(&File::open("/dev/null").unwrap(), FAR);
        el.add_reader(lend(FAR), says("reader")).unwrap();
        assert_eq!(tick(&mut el), 1);
        drop(file);
        assert_eq!(
            settle(&mut el),
            ["reader".to_owned(), format!("report: cannot watch fd {FAR}")]
        );
        el.run().unwrap();
    });
}

/// Numbers that are not open, and such that never are; then the first that is open works.
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
            assert_eq!(Rc::strong_count(&capture), 1, "the callback was kept");
        }
        el.run().unwrap(); // Nothing was kept.
        let (_ours, _theirs) = far(FAR);
        reads(&el, FAR);
        assert_eq!(settle(&mut el), ["read"]);
    });
}

/// The number's next owner is registered, and the one of before is told.
#[test]
fn w8_a_taken_number_goes_to_its_next_owner() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        reads(&el, FAR);
        assert_eq!(settle(&mut el), ["read"]);
        drop(ours);
        let (new, _peer) = far(FAR);
        let fd = new.as_raw_fd();
        reads(&el, fd);
        assert_eq!(settle(&mut el), [&format!("report: cannot watch fd {FAR}"), "read"]);
    });
}

/// A paused watcher has no registration that a kernel could forget.
#[test]
fn w8_a_paused_number_goes_to_its_next_owner() {
    for first in [Interest::empty(), Interest::READABLE] {
        on_every_selector(|_, mut el| {
            let (ours, _theirs) = far(FAR);
            let paused = el.watch(lend(FAR), first, says("paused")).unwrap();
            el.set_interest(paused, Interest::empty()).unwrap();
            drop(ours);
            let (_new, mut peer) = far(FAR);
            reads(&el, FAR);
            assert_eq!(settle(&mut el), ["read"], "after {first:?}");
            let error = el.set_interest(paused, Interest::READABLE).unwrap_err();
            assert!(matches!(error, Error::Watch { fd: FAR, .. }), "{error}");
            assert!(el.cancel(paused));
            peer.write_all(b"x").unwrap();
            assert_eq!(settle(&mut el), ["read"], "after {first:?}");
        });
    }
}

/// A paused watcher whose file is there still keeps its place.
#[test]
fn w7_a_paused_number_of_the_same_file_is_taken() {
    on_every_selector(|_, el| {
        let (_ours, _theirs) = far(FAR);
        el.watch(lend(FAR), Interest::empty(), says("paused")).unwrap();
        let taken = el.add_reader(lend(FAR), says("reader")).unwrap_err();
        assert!(matches!(taken, Error::AlreadyWatched { fd: FAR, .. }), "{taken}");
    });
}

/// The loss is known, and its callback has not run: the next owner need not wait for that.
#[test]
fn w8_the_next_owner_may_come_before_the_loss_is_told() {
    on_every_selector(|_, mut el| {
        let (ours, _theirs) = far(FAR);
        let watcher = el.watch(lend(FAR), Interest::READABLE, says("old")).unwrap();
        drop(ours);
        el.set_interest(watcher, Interest::WRITABLE).unwrap_err();
        let (_new, _peer) = far(FAR);
        reads(&el, FAR);
        assert_eq!(settle(&mut el), [&format!("report: cannot watch fd {FAR}"), "read"]);
    });
}

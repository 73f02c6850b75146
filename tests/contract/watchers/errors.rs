//! Errors of watchers: each is reported once, to the right place, and leaves the tables unchanged
//! (docs/contract.md, W7 and W9).

use std::cell::RefCell;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::{Error, EventLoop, Interest, ReportKind, SelectorKind, Watcher};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::support::descriptors::{has_room_for, is_blocking, pair, readable};
use crate::support::process::alone;
use crate::support::selector::logged;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// The other callbacks of the batch run, the source is dropped, and the report names the watcher.
#[test]
fn w9_an_error_ends_the_watcher_and_is_reported_with_its_location() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, Vec::new());
        el.set_exception_handler(|_, seen: &mut Vec<_>, report| seen.push(report.to_string()));
        let sources =
            [readable(), readable(), readable()].map(|(ours, peer)| (Rc::new(ours), peer));
        let mut line = 0;
        for (index, (source, _)) in sources.iter().enumerate() {
            line = line!() + 1;
            let watcher = el.add_reader(source.clone(), move |_, seen, _| match index {
                1 => Err(Error::from(std::io::Error::from(ErrorKind::ConnectionReset))),
                _ => Ok(seen.push("served".to_owned())),
            });
            assert!(el.set_name(watcher.unwrap(), &format!("number {index}")));
        }
        assert_eq!((tick(&mut el), tick(&mut el)), (3, 2));
        let seen = el.state();
        assert_eq!(seen.iter().filter(|text| *text == "served").count(), 4);
        let place = format!("{}:{line}:", file!());
        let report = seen.iter().find(|text| text.starts_with("watcher")).unwrap();
        assert!(
            report.starts_with(&format!("watcher \"number 1\" registered at {place}")),
            "{report}"
        );
        assert!(report.ends_with(": connection reset"), "{report}");
        assert_eq!(Rc::strong_count(&sources[1].0), 1, "the source was not dropped");
    });
}

/// An error is reported even if the callback removed or replaced itself before.
#[test]
fn w9_the_error_of_a_removed_callback_is_reported() {
    on_every_selector(|kind| {
        for replaces in [false, true] {
            let (mut el, _clock) = simulated(kind, Vec::new());
            el.set_exception_handler(|_, seen: &mut Vec<_>, report| {
                seen.push((report.kind, report.location.line(), report.error.to_string()));
            });
            let (ours, _theirs) = readable();
            let me = Rc::new(RefCell::new(None));
            let known = me.clone();
            let line = line!() + 1;
            let watcher = el.add_reader(ours, move |el, _, _| {
                let watcher: Watcher<UnixStream> = known.take().unwrap();
                if replaces {
                    el.replace(watcher, |_, _, new| Ok(new.cancel()))?;
                } else {
                    assert!(el.cancel(watcher));
                }
                Err(Error::other("late"))
            });
            *me.borrow_mut() = watcher.ok();
            el.run().unwrap();
            assert_eq!(
                el.state()[..],
                [(ReportKind::Watcher, line, "late".to_owned())],
                "{replaces}"
            );
        }
    });
}

/// Returns a descriptor on which no call works (O_PATH). Only Linux has them.
fn o_path_descriptor() -> Option<OwnedFd> {
    let is_linux = SelectorKind::available().contains(&SelectorKind::Epoll);
    let o_path = OFlags::from_bits_retain(0o10_000_000);
    is_linux.then(|| rustix::fs::open("/", o_path | OFlags::CLOEXEC, Mode::empty()).unwrap())
}

/// Checks that nothing keeps the loop alive, and that another source can be watched.
fn assert_untouched(el: &mut EventLoop<usize>) {
    el.run().unwrap();
    let (ours, _theirs) = readable();
    el.add_reader(ours, |_, calls, socket| {
        *calls += 1;
        Ok(socket.cancel())
    })
    .unwrap();
    let before = *el.state();
    el.run().unwrap();
    assert_eq!(*el.state(), before + 1);
}

#[test]
fn w7_an_fd_that_cannot_be_watched_is_an_error_to_the_caller() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let Some(file) = o_path_descriptor() else { return };
        let number = file.as_raw_fd();
        let error = el.add_reader(file, |_, _, _| panic!("called")).unwrap_err();
        let Error::Watch { operation: "watch", fd, source } = &error else { panic!("{error:?}") };
        assert_eq!((*fd, source.raw_os_error()), (number, Some(Errno::BADF.raw_os_error())));
        assert_eq!(error.to_string(), format!("cannot watch fd {number}"));
        assert_untouched(&mut el);
    });
}

/// The loop's own kernel object is treated like any other fd (P121, P22).
#[test]
fn w7_a_loop_cannot_watch_itself() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let Some(own) = el.poll_fd().map(|fd| fd.try_clone_to_owned().unwrap()) else { return };
        let before = is_blocking(&own);
        let twin = own.try_clone().unwrap();
        let error = el.add_reader(own, |_, _, _| panic!("called")).unwrap_err();
        assert!(matches!(error, Error::Watch { .. }), "{error:?}");
        assert_eq!(is_blocking(&twin), before, "O_NONBLOCK was left on");
        let remote = el.remote();
        remote.call_soon(|_, calls| *calls += 1).unwrap();
        drop(remote);
        assert_untouched(&mut el);
        assert_eq!(*el.state(), 2);
    });
}

/// A loop embedded in another one wakes it; watching in both directions is refused (P22).
#[test]
fn w7_loops_may_watch_each_other_one_way_only() {
    on_every_selector(|kind| {
        let (mut inner, _clock) = simulated(SelectorKind::available()[0], 0);
        let (mut outer, _clock) = simulated(kind, 0);
        let Some(fd) = inner.poll_fd() else { return };
        let fd = fd.try_clone_to_owned().unwrap();
        outer.add_reader(fd, |_, calls, _| Ok(*calls += 1)).unwrap();
        let (ours, _theirs) = readable();
        assert_eq!(tick(&mut outer), 0);
        inner.add_reader(ours, |_, calls, socket| Ok((*calls += 1, socket.cancel()).1)).unwrap();
        assert_eq!(tick(&mut outer), 1);
        assert_eq!(tick(&mut inner), 1);
        // A kqueue stays readable for one more poll after a level-triggered report, so the inner
        // loop gets one more tick.
        let spare = tick(&mut outer);
        assert!(spare <= usize::from(SelectorKind::available()[0] == SelectorKind::Kqueue));
        assert_eq!(tick(&mut inner), 0);
        assert_eq!(tick(&mut outer), 0);
        let Some(fd) = outer.poll_fd() else { return };
        let error = inner.add_reader(fd.try_clone_to_owned().unwrap(), |_, _, _| Ok(()));
        assert!(matches!(error, Err(Error::Watch { .. })), "{error:?}");
        assert_untouched(&mut inner);
    });
}

/// A limit of the kernel is an error to the caller, and leaves everything as before.
#[test]
fn w7_a_kernel_limit_leaves_the_tables_unchanged() {
    on_every_selector(|kind| {
        for limit in [Errno::MFILE, Errno::NOSPC, Errno::NOMEM] {
            let (mut el, log) = logged(kind, 0);
            let (ours, _theirs) = readable();
            let (source, twin) = (Rc::new(ours), pair().0);
            log.refuse_next(limit);
            let error = el.add_reader(source.clone(), |_, _, _| panic!("called")).unwrap_err();
            let Error::Watch { operation: "watch", fd, source: cause } = error else { panic!() };
            assert_eq!(
                (fd, cause.raw_os_error()),
                (source.as_raw_fd(), Some(limit.raw_os_error()))
            );
            assert_eq!(Rc::strong_count(&source), 1, "the source was not dropped");
            assert!(is_blocking(&source) && is_blocking(&twin), "O_NONBLOCK was left on");
            assert_untouched(&mut el);
        }
    });
}

/// If the second callback of an fd, or a change of interest, is refused, the first callback
/// continues.
#[test]
fn w7_a_refused_change_leaves_the_interest_unchanged() {
    on_every_selector(|kind| {
        let (mut el, log) = logged(kind, Vec::new());
        let (ours, _theirs) = readable();
        let source = Rc::new(ours);
        let reader = el
            .add_reader(source.clone(), |_, seen: &mut Vec<_>, socket| {
                Ok(seen.push(socket.interest()))
            })
            .unwrap();
        log.refuse_next(Errno::NOMEM);
        el.add_writer(source.clone(), |_, _, _| panic!("called")).unwrap_err();
        assert!(!is_blocking(&source), "the reader's socket became blocking");
        tick(&mut el);
        log.refuse_next(Errno::NOMEM);
        let error = el.set_interest(reader, READ | WRITE).unwrap_err();
        assert!(error.to_string().starts_with("cannot change the interest in fd"), "{error}");
        tick(&mut el);
        assert_eq!(el.state()[..], [READ, READ]);
        el.set_interest(reader, READ | WRITE).unwrap();
        tick(&mut el);
        assert_eq!(el.state().last(), Some(&(READ | WRITE)));
        el.set_interest(reader, Interest::empty()).unwrap();
        log.refuse_next(Errno::NOMEM);
        el.set_interest(reader, READ).unwrap_err();
        el.run().unwrap(); // The watcher is still paused.
        assert!(el.cancel(reader));
    });
}

/// select(2) cannot watch descriptors from 1024 on, and returns an error.
#[test]
fn w7_select_refuses_large_descriptor_numbers() {
    alone("watchers::errors::w7_select_refuses_large_descriptor_numbers", || {
        if !has_room_for(2048) {
            return;
        }
        let (ours, _theirs) = pair();
        let great = rustix::io::fcntl_dupfd_cloexec(ours.as_fd(), 2000).unwrap();
        let (mut el, _clock) = simulated(SelectorKind::Select, 0);
        let error = el.add_reader(great, |_, _, _| panic!("called")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(is_blocking(&ours), "O_NONBLOCK was left on");
        assert_untouched(&mut el);
        let (mut el, _clock) = simulated(SelectorKind::Poll, 0);
        let great = rustix::io::fcntl_dupfd_cloexec(ours.as_fd(), 2000).unwrap();
        el.add_writer(great, |_, calls, socket| Ok((*calls += 1, socket.cancel()).1)).unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), 1);
    });
}

/// Handles of watchers that have ended, and handles of another loop (P122).
#[test]
fn w7_a_stale_or_foreign_handle_does_nothing() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (mut other, _clock) = simulated(kind, 0);
        let (first, _peer_of_first) = readable();
        let (second, _peer_of_second) = readable();
        let ours = el.add_reader(first, |_, calls: &mut usize, _| Ok(*calls += 1)).unwrap();
        let theirs = other.add_reader(second, |_, calls: &mut usize, _| Ok(*calls += 1)).unwrap();
        assert!(!other.cancel(ours) && !other.cancel(ours) && !other.set_background(ours));
        assert!(!el.cancel(theirs) && !el.set_name(theirs, "mine"));
        let gone = |result: mainspring::Result<()>| matches!(result, Err(Error::Gone { .. }));
        assert!(gone(el.set_interest(theirs, WRITE)));
        assert!(gone(el.replace(theirs, |_, _, _| Ok(())).map(drop)));
        assert_eq!((tick(&mut el), tick(&mut other)), (1, 1));
        assert!(el.cancel(ours));
        let (third, _peer_of_third) = readable();
        el.add_reader(third, |_, calls: &mut usize, _| Ok(*calls += 10)).unwrap();
        assert!(
            !el.cancel(ours)
                && !el.cancel(ours)
                && !el.set_background(ours)
                && !el.set_foreground(ours)
        );
        assert!(gone(el.set_interest(ours, Interest::empty())));
        assert!(gone(el.replace(ours, |_, _, _| Ok(())).map(drop)));
        tick(&mut el);
        assert_eq!((*el.state(), *other.state()), (11, 1));
    });
}

/// Sizes that make no sense (P125).
#[test]
fn w7_invalid_settings_are_errors() {
    let refused = |builder: mainspring::Result<EventLoop>, name: &str| {
        let error = builder.unwrap_err();
        assert!(matches!(error, Error::Setting(_)), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    };
    on_every_selector(|kind| {
        let builder = || EventLoop::builder().selector(kind);
        refused(builder().event_capacity(0).build(), "event_capacity");
        refused(builder().event_capacity(usize::MAX).build(), "event_capacity");
        refused(builder().event_capacity(1 << 40).build(), "event_capacity");
        refused(builder().accept_batch(0).build(), "accept_batch");
        refused(builder().inbox_batch(0).build(), "inbox_batch");
        refused(builder().read_buffer(0).build(), "read_buffer");
        let greatest = builder().accept_batch(usize::MAX).inbox_batch(usize::MAX).build();
        let mut el = greatest.unwrap();
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        builder().event_capacity(1).build().unwrap().run().unwrap();
    });
}

//! W1, W5: pipes that lose their reader, on every selector.
//!
//! FreeBSD's kqueue(2) reports the write filter of such a pipe once more, drops it, and refuses to
//! add it again. The selector must hide that.

use std::io::{self, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mainspring::{EventLoop, SelectorKind, Watcher};
use mainspring_sys::{Events, Interest, Selector, Token, TriggerMode};

const TOKEN: Token = Token::new(1, 0);

fn on_every_selector(check: impl Fn(SelectorKind)) {
    for kind in SelectorKind::available() {
        println!("on {kind}");
        check(*kind);
    }
}

fn reports(selector: &mut dyn Selector) -> usize {
    let mut events = Events::with_capacity(8);
    selector.select(&mut events, Some(Duration::ZERO)).unwrap();
    events.len()
}

fn check_mode(kind: SelectorKind, mode: TriggerMode) {
    let mut selector = kind.open().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let fd = writer.as_raw_fd();
    selector.register(fd, TOKEN, Interest::WRITABLE, mode).unwrap();
    assert_eq!(reports(&mut *selector), 1);
    selector.reregister(fd, TOKEN, Interest::WRITABLE, mode).unwrap();
    drop(reader);
    let counts: Vec<usize> = (0..4).map(|_| reports(&mut *selector)).collect();
    let expected = if mode == TriggerMode::Level { [1, 1, 1, 1] } else { [1, 0, 0, 0] };
    assert_eq!(counts, expected, "{mode:?}");
    selector.reregister(fd, TOKEN, Interest::WRITABLE, mode).unwrap();
    assert_eq!(reports(&mut *selector), 1, "{mode:?}");
    for interest in [Interest::READABLE, Interest::WRITABLE] {
        let error = selector.register(fd, TOKEN, interest, mode).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{mode:?}");
    }
    selector.deregister(fd).unwrap();
    assert_eq!(reports(&mut *selector), 0, "{mode:?}");
}

#[test]
fn w1_level() {
    on_every_selector(|kind| check_mode(kind, TriggerMode::Level));
}

#[test]
fn oneshot() {
    on_every_selector(|kind| check_mode(kind, TriggerMode::Oneshot));
}

#[test]
fn edge() {
    on_every_selector(|kind| check_mode(kind, TriggerMode::Edge));
}

/// Number of calls of a writer, and the errors that were reported.
type Seen = (usize, Vec<String>);

fn with_writer(
    kind: SelectorKind,
    writer: PipeWriter,
    writes: bool,
) -> (EventLoop<Seen>, Watcher<PipeWriter>) {
    let el = EventLoop::builder().selector(kind).build_with(Seen::default()).unwrap();
    el.set_exception_handler(|_, seen: &mut Seen, report| seen.1.push(report.error.to_string()));
    let watcher = el
        .add_writer(writer, move |_, seen: &mut Seen, writer| {
            seen.0 += 1;
            if writes {
                (&**writer).write_all(b"x")?;
            }
            Ok(())
        })
        .unwrap();
    (el, watcher)
}

/// A writer that does not write is called in every tick, and removing it is not an error.
#[test]
fn w1_a_writer_is_called_in_each_tick_after_its_reader_was_closed() {
    on_every_selector(|kind| {
        let (reader, writer) = io::pipe().unwrap();
        let (mut el, watcher) = with_writer(kind, writer, false);
        drop(reader);
        for _ in 0..5 {
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(el.state().0, 5);
        assert!(el.cancel(watcher));
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!(el.state(), &(5, Vec::new()));
    });
}

/// Back-pressure: the writer waits at a full pipe when the reader is closed.
#[test]
fn w5_the_writer_of_a_full_pipe_gets_the_error() {
    on_every_selector(|kind| {
        let (reader, mut writer) = io::pipe().unwrap();
        mainspring_sys::fd::set_nonblocking(writer.as_fd(), true).unwrap();
        while writer.write(&[0; 4096]).is_ok() {}
        let (mut el, _) = with_writer(kind, writer, true);
        for _ in 0..3 {
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(el.state().0, 0);
        drop(reader);
        for _ in 0..3 {
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!((el.state().0, el.state().1.len()), (1, 1), "{:?}", el.state());
    });
}

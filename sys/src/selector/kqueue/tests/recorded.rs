//! Results of kevent(2) that were recorded on FreeBSD 13.2. The scripted kernel must give the same
//! results, and the selector must report what poll(2) reported there.

use super::profiles::current;
use super::*;
use libc::{EBADF, ENODEV, ENOENT, EPIPE};

use crate::selector::kqueue::kevent::{
    self, EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_ENABLE, EV_EOF, EV_ERROR, EV_ONESHOT,
    EV_RECEIPT, Flags, Kevent,
};

/// The file of the cases, and a number that is never open.
const FD: RawFd = 7;
const CLOSED: RawFd = 999;

const R: Filter = Filter::Read;
const W: Filter = Filter::Write;

/// One step of a case.
#[derive(Debug)]
enum Step {
    /// A change with `EV_RECEIPT`, and the errno of its receipt.
    Ask(RawFd, Filter, Flags, i32),
    /// A change without a receipt and without room, and the errno of the call.
    Blind(RawFd, Filter, Flags, i32),
    /// A call without changes, and its events: filter and flags.
    Wait(&'static [(Filter, Flags)]),
    Happen(fn(&mut FakeFile)),
    Close,
    Open(FakeFile),
    Revoke,
}

use Step::{Ask, Blind, Close, Happen, Open, Revoke, Wait};

const ADD: Flags = EV_ADD;
const LEVEL: Flags = EV_RECEIPT;
const DISPATCH: Flags = EV_RECEIPT | EV_DISPATCH;
const CLEAR: Flags = EV_RECEIPT | EV_CLEAR;
const DROPPED: Flags = EV_EOF | EV_ONESHOT;

const READABLE: FakeFile = FakeFile { readable: true, ..EMPTY };
const WRITABLE: FakeFile = FakeFile { writable: true, ..EMPTY };
const WRITABLE_PIPE: FakeFile = FakeFile { writable: true, ..PIPE };

fn reader_goes(file: &mut FakeFile) {
    (file.read_end, file.write_end) = (true, true);
}

/// All recorded exchanges with calls that the selector makes.
const EXCHANGES: &[(&str, FakeFile, &[Step])] = &[
    ("receipts end the call", READABLE, &[Ask(FD, R, ADD, 0), Wait(&[(R, LEVEL)])]),
    (
        "a filter is deleted once",
        READABLE,
        &[Ask(FD, R, ADD, 0), Ask(FD, R, EV_DELETE, 0), Ask(FD, R, EV_DELETE, ENOENT)],
    ),
    (
        "a filter that is not there",
        READABLE,
        &[Ask(FD, R, EV_ENABLE, ENOENT), Ask(FD, R, EV_DISABLE, ENOENT)],
    ),
    (
        "a number that is not open",
        READABLE,
        &[
            Ask(CLOSED, R, EV_DELETE, EBADF),
            Ask(CLOSED, R, ADD, EBADF),
            Ask(-1, R, ADD, EBADF),
            Blind(CLOSED, R, ADD, EBADF),
        ],
    ),
    (
        "asleep and awake",
        READABLE,
        &[
            Ask(FD, R, ADD | EV_DISPATCH | EV_DISABLE, 0),
            Wait(&[]),
            Ask(FD, R, EV_ENABLE, 0),
            Wait(&[(R, DISPATCH)]),
            Wait(&[]),
            Ask(FD, R, EV_DISABLE, 0),
            Ask(FD, R, EV_DELETE, 0),
        ],
    ),
    ("disabled from the beginning", READABLE, &[Ask(FD, R, ADD | EV_DISABLE, 0), Wait(&[])]),
    (
        "an edge",
        WRITABLE,
        &[
            Ask(FD, R, ADD | EV_CLEAR, 0),
            Ask(FD, W, ADD | EV_CLEAR, 0),
            Wait(&[(W, CLEAR)]),
            Wait(&[]),
            Happen(|file| file.readable = true),
            Wait(&[(R, CLEAR)]),
            Happen(|file| file.arrivals += 1),
            Wait(&[(R, CLEAR)]),
            Wait(&[]),
            Happen(reader_goes),
            Wait(&[(R, CLEAR | EV_EOF), (W, CLEAR | EV_EOF)]),
            Wait(&[]),
        ],
    ),
    (
        "closed, and the number used again",
        READABLE,
        &[
            Ask(FD, R, ADD, 0),
            Close,
            Wait(&[]),
            Ask(FD, R, EV_DELETE, EBADF),
            Open(READABLE),
            Ask(FD, R, EV_DELETE, ENOENT),
            Ask(FD, R, EV_ENABLE, ENOENT),
        ],
    ),
    (
        "the reader of a pipe goes: level",
        WRITABLE_PIPE,
        &[
            Ask(FD, W, ADD, 0),
            Wait(&[(W, LEVEL)]),
            Happen(reader_goes),
            Wait(&[(W, LEVEL | DROPPED)]),
            Wait(&[]),
            Ask(FD, W, EV_DELETE, ENOENT),
            Ask(FD, W, ADD, EPIPE),
            Ask(FD, R, ADD | EV_DISABLE, 0),
            Ask(FD, R, EV_DISABLE, 0),
            Wait(&[]),
        ],
    ),
    (
        "the reader of a pipe goes: dispatch",
        WRITABLE_PIPE,
        &[
            Ask(FD, W, ADD | EV_DISPATCH, 0),
            Wait(&[(W, DISPATCH)]),
            Happen(reader_goes),
            Wait(&[]),
            Ask(FD, W, EV_ENABLE, 0),
            Wait(&[(W, DISPATCH | DROPPED)]),
            Ask(FD, W, EV_DELETE, ENOENT),
            Ask(FD, W, ADD, EPIPE),
        ],
    ),
    (
        "the reader of a pipe goes: clear",
        WRITABLE_PIPE,
        &[
            Ask(FD, W, ADD | EV_CLEAR, 0),
            Wait(&[(W, CLEAR)]),
            Happen(reader_goes),
            Wait(&[(W, CLEAR | DROPPED)]),
            Wait(&[]),
            Ask(FD, W, EV_DELETE, ENOENT),
            Ask(FD, W, ADD, EPIPE),
        ],
    ),
    (
        "the reader of a full pipe goes",
        PIPE,
        &[
            Ask(FD, W, ADD, 0),
            Wait(&[]),
            Happen(reader_goes),
            Wait(&[(W, LEVEL | DROPPED)]),
            Wait(&[]),
        ],
    ),
    (
        "a terminal is revoked",
        WRITABLE,
        &[
            Ask(FD, R, ADD, 0),
            Ask(FD, W, ADD, 0),
            Wait(&[(W, LEVEL)]),
            Revoke,
            Wait(&[(W, LEVEL | DROPPED)]),
            Wait(&[]),
            Ask(FD, R, EV_ENABLE, 0),
        ],
    ),
    ("an idle device", NULL, &[Ask(FD, R, ADD, ENODEV), Ask(FD, W, ADD, ENODEV), Wait(&[])]),
];

#[test]
fn the_scripted_kernel_gives_the_recorded_answers() {
    on_every_kernel(|| {
        if current().name != "FreeBSD 13" {
            return;
        }
        for (name, file, steps) in EXCHANGES {
            let mut kernel = Bench::with(file.clone()).kernel;
            for (at, step) in steps.iter().enumerate() {
                perform(&mut kernel, step, &format!("{name}, step {at}: {step:?}"));
            }
        }
    });
}

fn perform(kernel: &mut Fake, step: &Step, place: &str) {
    let mut events = Vec::new();
    match step {
        Ask(fd, filter, flags, errno) => {
            let change = change(*fd, *filter, *flags | EV_RECEIPT);
            kernel.kevent(&[change], &mut events, 1, Some(Duration::ZERO)).unwrap();
            let receipt = events[0];
            let (flags, data) = (receipt.flags, kevent::errno(&receipt));
            assert_eq!((events.len(), flags, data), (1, EV_ERROR, *errno), "{place}");
        }
        Blind(fd, filter, flags, errno) => {
            let change = change(*fd, *filter, *flags);
            let error = kernel.kevent(&[change], &mut events, 0, Some(Duration::ZERO)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(*errno), "{place}");
        }
        Wait(expected) => {
            kernel.kevent(&[], &mut events, 8, Some(Duration::ZERO)).unwrap();
            let mut seen: Vec<_> = events.iter().map(filter_and_flags).collect();
            seen.sort_unstable(); // Two filters of one fd are reported in any order.
            assert_eq!(seen, *expected, "{place}");
        }
        Happen(change) => kernel.happen(FD, change),
        Close => kernel.close(FD),
        Open(file) => kernel.open(FD, file.clone()),
        Revoke => kernel.revoke(FD),
    }
}

fn change(fd: RawFd, filter: Filter, flags: Flags) -> Kevent {
    kevent::change(filter, fd as usize, Token::new(1, 1), flags)
}

fn filter_and_flags(event: &Kevent) -> (Filter, Flags) {
    (Filter::in_event(event).unwrap(), event.flags)
}

/// Result of a filter: inactive, ready, or the end with an errno.
#[derive(Debug, Clone, Copy)]
enum FilterResult {
    Nothing,
    Ready,
    End(i32),
}

use FilterResult::{End, Nothing, Ready};

/// States of files, with the results of the read and of the write filter.
const SITUATIONS: &[(&str, FilterResult, FilterResult)] = &[
    ("pipe, empty, its read end", Nothing, Ready),
    ("pipe with data", Ready, Ready),
    ("pipe, full", Nothing, Nothing),
    ("unix pair, idle", Nothing, Ready),
    ("unix or tcp, peer shut down writing, with data or without", End(0), Ready),
    ("unix or tcp, own write side shut down", Nothing, End(0)),
    ("unix, peer closed; tcp, both sides shut down; pty, slave closed", End(0), End(0)),
    ("unix or udp, own read side shut down", End(0), Ready),
    ("unix, peer shut down reading; tcp or udp, idle", Nothing, Ready),
    ("tcp, peer closed", End(0), Ready),
    ("tcp, reset", End(libc::ECONNRESET), End(libc::ECONNRESET)),
    ("tcp, refused", End(libc::ECONNREFUSED), End(libc::ECONNREFUSED)),
    ("tcp, never connected; listener, idle; fifo without a writer", Nothing, Nothing),
    ("listener with a client; log of the kernel", Ready, Nothing),
    ("listener, shut down", End(libc::ECONNABORTED), Nothing),
    ("udp with a datagram, even an empty one", Ready, Ready),
    ("fifo, its writer closed", End(0), Nothing),
    ("fifo, its reader closed, which keeps the filter", Nothing, End(0)),
];

fn file(read: FilterResult, write: FilterResult) -> FakeFile {
    let is_ready = |result| matches!(result, Ready);
    let is_end = |result| matches!(result, End(_));
    let errno = |result| if let End(errno) = result { errno } else { 0 };
    FakeFile {
        readable: is_ready(read),
        writable: is_ready(write),
        read_end: is_end(read),
        write_end: is_end(write),
        error: errno(read).max(errno(write)),
        ..EMPTY
    }
}

/// Returns the recorded readiness, as a rule: each requested direction has the result of its
/// filter, two ends are a hang-up, and an errno is an error.
fn verdict_of(requested: Interest, read: FilterResult, write: FilterResult) -> Readiness {
    let mut verdict = Readiness::empty();
    let directions = [
        (READ, read, Readiness::READABLE, Readiness::READ_CLOSED),
        (WRITE, write, Readiness::WRITABLE, Readiness::WRITE_CLOSED),
    ];
    for (bit, result, ready, closed) in directions {
        match result {
            _ if !requested.contains(bit) => {}
            Nothing => {}
            Ready => verdict |= ready,
            End(0) => verdict |= ready | closed,
            // Both a read and a write fail with it, whichever was requested.
            End(_) => verdict |= ready | closed | Readiness::ERROR,
        }
    }
    let both = Readiness::READ_CLOSED | Readiness::WRITE_CLOSED;
    let hangup = if verdict.contains(both) { Readiness::HANGUP } else { Readiness::empty() };
    (verdict | hangup).with_implied()
}

#[test]
fn w10_the_selector_gives_the_recorded_verdicts() {
    on_every_kernel(|| {
        for &(name, read, write) in SITUATIONS {
            for requested in [READ, WRITE, BOTH] {
                let expected = Some(verdict_of(requested, read, write))
                    .filter(|readiness| !readiness.is_empty());
                for mode in [TriggerMode::Level, TriggerMode::Oneshot, TriggerMode::Edge] {
                    let mut bench = Bench::with(file(read, write));
                    bench.register(7, 1, requested, mode).unwrap();
                    let seen: Vec<_> = bench.select().into_iter().map(|one| one.1).collect();
                    assert_eq!(seen, Vec::from_iter(expected), "{name}, {requested:?}, {mode:?}");
                    let again = bench.select().len();
                    let lasts = mode == TriggerMode::Level && expected.is_some();
                    assert_eq!(again, usize::from(lasts), "{name}, {requested:?}, {mode:?}");
                }
            }
        }
    });
}

/// Recorded results that are spelled out, without the rule above.
#[test]
fn w10_some_recorded_verdicts_spelled_out() {
    on_every_kernel(|| {
        let all = Readiness::READABLE | Readiness::WRITABLE;
        let refused = End(libc::ECONNREFUSED);
        let cases = [
            (WRITE, refused, all | Readiness::ERROR | Readiness::WRITE_CLOSED),
            (
                READ,
                refused,
                all | Readiness::ERROR | Readiness::READ_CLOSED | Readiness::WRITE_CLOSED,
            ),
            (READ, End(0), Readiness::READABLE | Readiness::READ_CLOSED),
            (WRITE, End(0), Readiness::WRITABLE | Readiness::WRITE_CLOSED),
        ];
        for (requested, end, expected) in cases {
            let mut bench = Bench::with(file(end, end));
            bench.register(7, 1, requested, TriggerMode::Level).unwrap();
            let seen = bench.select()[0].1;
            assert_eq!(seen, expected, "{requested:?}, {end:?}");
        }
    });
}

//! Descriptors that a loop opens, and loops without a free descriptor (P94; docs/contract.md, W11).

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Command, Stdio};

use mainspring::{Error, EventLoop, EventLoopBuilder, SelectorKind, Signal, WakeupKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::descriptors::{census, readable};
use crate::support::on_every_selector;
use crate::support::process::alone;
use crate::support::ticks::tick;

/// Runs `check` for each combination of selector and wakeup that can be built.
fn on_every_pair(mut check: impl FnMut(SelectorKind, WakeupKind)) {
    on_every_selector(|kind| {
        for wakeup in WakeupKind::available() {
            let made = EventLoop::builder().selector(kind).wakeup(*wakeup).build();
            if made.is_ok() {
                println!("with {wakeup}");
                check(kind, *wakeup);
            }
        }
    });
}

fn builder((kind, wakeup): (SelectorKind, WakeupKind)) -> EventLoopBuilder {
    EventLoop::builder().selector(kind).wakeup(wakeup)
}

/// Returns the descriptors from 3 to 99 that a child process inherits.
fn inherited() -> BTreeSet<RawFd> {
    let script = "for fd in $(seq 3 99); do if (: <&$fd) 2>/dev/null; then echo $fd; fi; done";
    let output = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

/// Wakeups for threads and for signals, of each kind, and the selector's own object. The last is
/// never read, so it may be blocking.
#[test]
fn w11_descriptors_of_the_loop_are_cloexec_and_non_blocking() {
    alone(
        "watchers::loop_descriptors::w11_descriptors_of_the_loop_are_cloexec_and_non_blocking",
        || {
            let open_file = std::fs::File::open("/dev/null").unwrap();
            rustix::io::fcntl_setfd(&open_file, rustix::io::FdFlags::empty()).unwrap();
            let at_first = inherited();
            assert!(at_first.contains(&open_file.as_raw_fd()), "the inherited descriptor is found");
            on_every_pair(|kind, wakeup| {
                let before = census();
                let el = builder((kind, wakeup)).build().unwrap();
                el.add_signal_handler(Signal::USR1, |_, ()| {}).unwrap();
                let ours: BTreeSet<_> = census().difference(&before).copied().collect();
                assert!(ours.len() >= 2, "{ours:?}");
                assert_eq!(inherited(), at_first);
                let selector = el.poll_fd().map(|fd| fd.as_raw_fd());
                for fd in ours.iter().filter(|fd| Some(**fd) != selector) {
                    assert!(mainspring_sys::fd::is_nonblocking(*fd).unwrap(), "{fd} waits");
                }
                drop(el);
                assert_eq!(census(), before);
            });
        },
    );
}

/// A loop that is dropped with watchers, signals and remotes leaves no descriptor open.
#[test]
fn w11_a_dropped_loop_leaves_no_descriptor() {
    alone("watchers::loop_descriptors::w11_a_dropped_loop_leaves_no_descriptor", || {
        on_every_pair(|kind, wakeup| {
            let before = census();
            for _ in 0..10 {
                let mut el = builder((kind, wakeup)).build_with(0).unwrap();
                let (ours, theirs) = readable();
                el.add_reader(ours, |_, calls: &mut i32, _| Ok(*calls += 1)).unwrap();
                el.add_writer(theirs, |_, calls: &mut i32, _| Ok(*calls += 1)).unwrap();
                el.add_signal_handler(Signal::USR1, |_, _| {}).unwrap();
                let remote = el.remote();
                remote.call_soon(|_, calls| *calls += 1).unwrap();
                tick(&mut el);
                assert_eq!(*el.state(), 3);
                drop((el, remote));
            }
            assert_eq!(census(), before);
        });
    });
}

/// Runs `make` with no free descriptor, then with one, and so on, until it succeeds. Returns the
/// errors.
fn errors_until_success<T>(mut make: impl FnMut() -> mainspring::Result<T>) -> Vec<Error> {
    let (before, limits) = (census(), getrlimit(Resource::Nofile));
    let mut errors = Vec::new();
    let free = (0..1024).filter(|fd| !before.contains(fd));
    for lowest_closed in free {
        let current = Some(lowest_closed as u64);
        setrlimit(Resource::Nofile, Rlimit { current, ..limits }).unwrap();
        let made = make();
        setrlimit(Resource::Nofile, limits).unwrap();
        match made {
            Ok(made) => {
                drop(made);
                break;
            }
            Err(error) => errors.push(error),
        }
        assert_eq!(census(), before, "a descriptor was left open");
    }
    errors
}

fn part(error: &Error) -> &'static str {
    match error {
        Error::Create { part, source } => {
            assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
            part
        }
        other => panic!("{other:?}"),
    }
}

/// Each step of building a loop that needs a descriptor fails in turn, and the error names the
/// part.
#[test]
fn w11_p94_the_error_of_a_loop_without_descriptors_names_the_part() {
    alone(
        "watchers::loop_descriptors::w11_p94_the_error_of_a_loop_without_descriptors_names_the_part",
        || {
            on_every_pair(|kind, wakeup| {
                let before = census();
                let errors = errors_until_success(|| builder((kind, wakeup)).build());
                let mut parts: Vec<_> = errors.iter().map(part).collect();
                parts.dedup();
                let has_object = builder((kind, wakeup)).build().unwrap().poll_fd().is_some();
                let mut expected = vec!["selector", "wakeup"];
                expected.retain(|part| match *part {
                    "selector" => has_object,
                    _ => wakeup != WakeupKind::UserEvent,
                });
                assert_eq!(parts, expected);
                assert_eq!(census(), before);
            });
        },
    );
}

/// The first signal handler needs a wakeup. If that fails, the loop is unchanged.
#[test]
fn w11_p94_a_signal_handler_without_descriptors_is_an_error() {
    alone(
        "watchers::loop_descriptors::w11_p94_a_signal_handler_without_descriptors_is_an_error",
        || {
            on_every_selector(|kind| {
                let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
                let handle = el.handle().clone();
                let errors = errors_until_success(|| {
                    handle.add_signal_handler(Signal::USR1, |_, calls| *calls += 1)?;
                    assert!(!handle.is_closed());
                    Ok(())
                });
                assert!(!errors.is_empty());
                assert!(
                    errors.iter().all(|error| part(error) == "wakeup for signals"),
                    "{errors:?}"
                );
                Signal::USR1.raise().unwrap();
                assert_eq!((tick(&mut el), *el.state()), (1, 1));
            });
        },
    );
}

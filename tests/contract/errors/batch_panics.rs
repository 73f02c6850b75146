//! Panic in the middle of a batch (P97; docs/contract.md, Q8). Of five callbacks the third panics.
//! The others run exactly once, in this run or the next, and the loop stays usable.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, Handle, PanicPolicy, SelectorKind};

use crate::support::process::alone_as;
use crate::support::{Source, loopback, on_every_selector};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Callbacks that ran, and the reports.
#[derive(Debug, Default)]
struct Seen {
    ran: Vec<usize>,
    reports: Vec<String>,
    /// Peers of the watched sources; kept open until the end of the test.
    peers: Vec<UnixStream>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Soon,
    Timer,
    Interval,
    Watcher,
    Prepare,
    Check,
}

const FORMS: [Form; 6] =
    [Form::Soon, Form::Timer, Form::Interval, Form::Watcher, Form::Prepare, Form::Check];

fn enter(seen: &mut Seen, i: usize) {
    seen.ran.push(i);
    assert!(i != 3, "the third panics");
}

fn add(el: &mut EventLoop<Seen>, form: Form, i: usize, alive: &Rc<()>) {
    let kept = alive.clone();
    let run = move |seen: &mut Seen| {
        let _ = &kept;
        enter(seen, i);
    };
    let second = Duration::from_secs(1);
    match form {
        Form::Soon => Some(el.call_soon(move |_, seen| run(seen))),
        Form::Timer => Some(el.call_later(second, move |_, seen| run(seen)).into()),
        Form::Prepare => el.on_prepare(move |_, seen| run(seen)).ok(),
        Form::Check => el.on_check(move |_, seen| run(seen)).ok(),
        Form::Interval => el.call_every(second, move |_, seen| run(seen)).ok().map(Handle::from),
        Form::Watcher => {
            let (source, mut peer) = Source::pair(alive);
            peer.write_all(b"x").unwrap();
            el.state_mut().peers.push(peer);
            el.add_reader(source, move |_, seen, _| Ok(run(seen))).ok().map(Handle::from)
        }
    }
    .expect("an open loop");
}

/// Returns a loop with five due callbacks, and the `Rc` that all of them share.
fn five_callbacks(
    kind: SelectorKind,
    policy: PanicPolicy,
    form: Form,
) -> (EventLoop<Seen>, Rc<()>) {
    let clock = SimClock::new();
    let builder = EventLoop::builder()
        .selector(loopback::selector(kind))
        .clock(clock.clone())
        .panic_policy(policy);
    let mut el = builder.build_with(Seen::default()).unwrap();
    let alive = Rc::new(());
    (1..=5).for_each(|i| add(&mut el, form, i, &alive));
    clock.advance(Duration::from_millis(1500));
    el.set_exception_handler(|_, seen, report| seen.reports.push(report.to_string()));
    (el, alive)
}

/// Returns the expected count of `alive` when only the third callback has been removed.
fn left(form: Form) -> usize {
    match form {
        Form::Soon | Form::Timer => 1,
        Form::Watcher => 1 + 4 * 2,
        Form::Interval | Form::Prepare | Form::Check => 1 + 4,
    }
}

#[test]
fn q8_p97_a_panic_that_propagates_keeps_the_rest_of_the_batch() {
    on_every_selector(|kind| {
        for form in FORMS {
            let (mut el, alive) = five_callbacks(kind, PanicPolicy::Propagate, form);
            let turn = catch_unwind(AssertUnwindSafe(|| el.tick(NOW)));
            assert!(turn.is_err(), "{form:?}");
            assert_eq!(el.current(), None, "no callback runs: {form:?}");
            el.tick(NOW).unwrap();
            let ran = |i| el.state().ran.iter().filter(|seen| **seen == i).count();
            assert_eq!(ran(3), 1, "{form:?}");
            assert!((1..=5).all(|i| ran(i) >= 1), "{form:?}: {:?}", el.state());
            if matches!(form, Form::Soon | Form::Timer | Form::Interval) {
                assert_eq!(el.state().ran, [1, 2, 3, 4, 5], "{form:?}");
            }
            assert_eq!(Rc::strong_count(&alive), left(form), "{form:?}");
            assert_eq!(el.missed_ticks(), 0, "{form:?}");
            assert!(el.state().reports.is_empty());
        }
    });
}

#[test]
fn q8_p97_a_panic_that_is_reported_ends_only_its_callback() {
    on_every_selector(|kind| {
        for form in FORMS {
            let (mut el, alive) = five_callbacks(kind, PanicPolicy::Report, form);
            el.tick(NOW).unwrap();
            let seen = el.state();
            let mut ran = seen.ran.clone();
            ran.sort_unstable(); // The order of fds within a tick is not defined.
            assert_eq!(ran, [1, 2, 3, 4, 5], "{form:?}");
            assert_eq!(seen.reports.len(), 1, "{form:?}");
            assert!(seen.reports[0].contains("batch_panics.rs"), "{seen:?}");
            assert!(seen.reports[0].ends_with("the third panics"), "{seen:?}");
            assert_eq!(Rc::strong_count(&alive), left(form), "{form:?}");
            assert_eq!(el.missed_ticks(), 0);
        }
    });
}

#[test]
fn q8_p97_missed_ticks_are_reset_when_the_interval_panics() {
    for policy in [PanicPolicy::Propagate, PanicPolicy::Report] {
        let (mut el, clock) = crate::support::simulated(SelectorKind::Poll, ());
        el.set_panic_policy(policy);
        el.set_exception_handler(|_, (), _| {});
        let every = el.call_every(Duration::from_secs(1), |el, ()| {
            assert_eq!(el.missed_ticks(), 0, "the loop was busy");
        });
        clock.advance(Duration::from_secs(5));
        let _ = catch_unwind(AssertUnwindSafe(|| el.tick(NOW)));
        assert_eq!(el.missed_ticks(), 0, "{policy:?}");
        assert!(!el.cancel(every.unwrap()), "{policy:?}");
    }
}

/// A change of interest made before the panic still applies to the rest of the batch, which runs in
/// the next tick.
#[test]
fn q8_p97_a_watcher_paused_before_the_panic_stays_paused_after_it() {
    on_every_selector(|kind| {
        let (mut el, _) = crate::support::simulated(kind, (Vec::new(), Vec::new()));
        let peers: Vec<UnixStream> = (0..4).map(|i| add_pausing(&mut el, i)).collect();
        let turn = catch_unwind(AssertUnwindSafe(|| el.tick(NOW)));
        assert!(turn.is_err());
        // The first callback paused all others and panicked. The second tick finds them in the
        // deque.
        el.tick(NOW).unwrap();
        assert_eq!(el.state().1.len(), 1, "a paused watcher was called");
        drop(peers);
    });
}

type Watchers = (Vec<mainspring::Watcher<UnixStream>>, Vec<usize>);

fn add_pausing(el: &mut EventLoop<Watchers>, i: usize) -> UnixStream {
    let (stream, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(b"x").unwrap();
    let watcher = el.add_reader(stream, move |el, (watchers, ran): &mut Watchers, _| {
        ran.push(i);
        for watcher in &*watchers {
            el.set_interest(*watcher, mainspring::Interest::empty())?;
        }
        panic!("the first panics")
    });
    el.state_mut().0.push(watcher.unwrap());
    peer
}

#[test]
fn q8_p97_an_error_and_a_panic_in_one_batch_do_not_abort() {
    let (mut el, alive) = five_callbacks(SelectorKind::Poll, PanicPolicy::Report, Form::Soon);
    el.call_soon(|_, _| Err(Error::other("an error")));
    el.tick(NOW).unwrap();
    assert_eq!((el.state().reports.len(), Rc::strong_count(&alive)), (2, 1));
}

#[test]
fn q8_p97_the_abort_policy_ends_the_process() {
    let name = "errors::batch_panics::q8_p97_the_abort_policy_ends_the_process";
    let check = || {
        let (mut el, _) = five_callbacks(SelectorKind::Poll, PanicPolicy::Abort, Form::Soon);
        let _ = catch_unwind(AssertUnwindSafe(|| el.tick(NOW)));
        println!("survived");
    };
    let Some(output) = alone_as(name, check, |child| child) else { return };
    assert_eq!(output.status.signal(), Some(mainspring::Signal::ABRT.raw()));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("survived"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the third panics"));
}

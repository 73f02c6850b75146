//! Reports of slow callbacks in debug mode, with the source location of their registration
//! (docs/contract.md, E10).

use std::cell::RefCell;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, ReportKind};

use crate::support::process::alone_as;

/// Reports: kind, duration, line and name.
type Reports = Vec<(ReportKind, Duration, u32, Option<String>)>;

const MILLI: Duration = Duration::from_millis(1);

/// Returns a loop that records its reports. `debug` sets the debug mode; `None` leaves it to the
/// environment.
fn loop_with_reports(debug: Option<bool>) -> (EventLoop<Reports>, SimClock) {
    let clock = SimClock::new();
    let builder = EventLoop::builder().clock(clock.clone());
    let builder = match debug {
        Some(debug) => builder.debug(debug),
        None => builder,
    };
    let el = builder.build_with(Reports::new()).unwrap();
    el.set_exception_handler(|_, reports: &mut Reports, report| {
        let Error::Slow(took) = report.error else { panic!("{report}") };
        let name = report.name.as_ref().map(ToString::to_string);
        reports.push((report.kind, took, report.location.line(), name));
    });
    (el, clock)
}

#[test]
fn e10_a_slow_callback_is_reported_with_its_location_and_name() {
    let (mut el, clock) = loop_with_reports(Some(true));
    let (busy, busier) = (clock.clone(), clock.clone());
    let soon = el.call_soon(move |_, _| busy.advance(100 * MILLI));
    let soon_line = line!() - 1;
    el.set_name(soon, "busy");
    let every = el.call_every(10 * MILLI, move |el, _| {
        busier.advance(250 * MILLI);
        el.stop();
    });
    let every_line = line!() - 4;
    el.run_forever().unwrap();
    let busy = (ReportKind::Soon, 100 * MILLI, soon_line, Some("busy".to_owned()));
    assert_eq!(*el.state(), [busy, (ReportKind::Timer, 250 * MILLI, every_line, None)]);
    assert!(el.cancel(every.unwrap()), "a slow callback stays registered");
}

thread_local! {
    static CLOCK: RefCell<Option<SimClock>> = const { RefCell::new(None) };
}

/// A slow closure from another thread is reported with the location of the `call_soon` that sent
/// it.
#[test]
fn e10_a_slow_closure_of_another_thread_is_reported_with_its_location() {
    let (mut el, clock) = loop_with_reports(Some(true));
    let remote = el.remote().background();
    CLOCK.set(Some(clock)); // The closure is `Send`, so it cannot own the clock.
    let advance = |millis| CLOCK.with_borrow(|clock| clock.as_ref().unwrap().advance(millis));
    let line = line!() + 1;
    remote.call_soon(move |_, _| advance(100 * MILLI)).unwrap();
    remote.call_soon(|_, _| {}).unwrap();
    remote.call_soon(move |_, _| advance(300 * MILLI)).unwrap();
    assert_eq!(el.tick(None).unwrap(), 3);
    let slow = |millis, line| (ReportKind::Soon, millis * MILLI, line, None);
    assert_eq!(*el.state(), [slow(100, line), slow(300, line + 2)]);
}

#[test]
fn e10_a_callback_below_the_limit_is_not_reported() {
    let (mut el, clock) = loop_with_reports(Some(true));
    el.call_soon(move |_, _| clock.advance(100 * MILLI - Duration::from_nanos(1)));
    el.run().unwrap();
    assert_eq!(*el.state(), []);
}

#[test]
fn e10_the_builder_sets_the_limit() {
    let clock = SimClock::new();
    let builder = EventLoop::builder().clock(clock.clone()).debug(true);
    let mut el = builder.slow_callback_duration(MILLI).build_with(0).unwrap();
    el.set_exception_handler(|_, reports, _| *reports += 1);
    el.call_soon(move |_, _| clock.advance(MILLI));
    el.run().unwrap();
    assert_eq!(*el.state(), 1);
}

#[test]
fn e10_callbacks_are_timed_in_debug_mode_only() {
    let (mut el, clock) = loop_with_reports(Some(false));
    el.call_soon(move |_, _| clock.advance(1000 * MILLI));
    el.run().unwrap();
    assert_eq!(*el.state(), []);
}

#[test]
fn e10_the_environment_enables_debug_mode_if_the_program_does_not_choose() {
    let reports = |value| {
        let body = || {
            let count = |debug| {
                let (mut el, clock) = loop_with_reports(debug);
                el.call_soon(move |_, _| clock.advance(1000 * MILLI));
                el.run().unwrap();
                el.state().len()
            };
            println!("reports: {:?}", [None, Some(false), Some(true)].map(count));
        };
        let name = concat!(
            "errors::slow_callbacks::",
            "e10_the_environment_enables_debug_mode_if_the_program_does_not_choose"
        );
        let output = alone_as(name, body, |mut child| {
            child.env("MAINSPRING_DEBUG", value);
            child
        })?;
        Some(String::from_utf8(output.stdout).unwrap())
    };
    for (value, unchosen) in [("1", 1), ("0", 0), ("", 0)] {
        let Some(text) = reports(value) else { return };
        let expected = format!("reports: {:?}", [unchosen, 0, 1]);
        assert!(text.contains(&expected), "MAINSPRING_DEBUG={value}: {text}");
    }
}

/// The default handler prints one line to standard error with the callback, its location and the
/// error.
#[test]
fn w9_the_default_handler_prints_one_line() {
    let body = || {
        let mut el = EventLoop::new().unwrap();
        let handle = el.call_soon(|_, _| Err(Error::other("no luck")));
        el.set_name(handle, "lottery");
        el.run().unwrap();
    };
    let name = "errors::slow_callbacks::w9_the_default_handler_prints_one_line";
    let Some(output) = alone_as(name, body, |child| child) else { return };
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("mainspring: ")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].starts_with("mainspring: callback \"lottery\" registered at "), "{text}");
    assert!(lines[0].contains("slow_callbacks.rs:") && lines[0].ends_with(": no luck"), "{text}");
}

//! Panics in user-supplied parts other than callbacks: wakers, streams, errors, clocks and
//! selectors (P98; docs/contract.md, Q8).

use std::cell::Cell;
use std::future::{Future, pending};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use mainspring::net::TransportStream;
use mainspring::selector::{Events, Selector, Token};
use mainspring::{
    Clock, Error, EventLoop, MonotonicClock, PanicPolicy, ReportKind, Result, SelectorKind,
    Shutdown, sleep,
};
use rustix::event::PollFlags;

use crate::support::descriptors::{readable, wait_for};
use crate::support::on_every_selector;
use crate::support::selector::{Call, Wrapped, Wrapper};

const POLICIES: [PanicPolicy; 2] = [PanicPolicy::Propagate, PanicPolicy::Report];
type Reports = Vec<(ReportKind, String)>;

fn loop_with_reports(kind: SelectorKind, policy: PanicPolicy) -> EventLoop<Reports> {
    let builder = EventLoop::builder().selector(kind).panic_policy(policy);
    let el = builder.build_with(Reports::new()).unwrap();
    note(&el);
    el
}

fn note(el: &EventLoop<Reports>) {
    el.set_exception_handler(|_, reports, report| {
        reports.push((report.kind, report.error.to_string()));
    });
}

fn on_each(mut check: impl FnMut(SelectorKind, PanicPolicy)) {
    on_every_selector(|kind| POLICIES.into_iter().for_each(|policy| check(kind, policy)));
}

/// Runs the loop once. Returns true if it unwinds.
fn unwinds(el: &mut EventLoop<Reports>) -> bool {
    catch_unwind(AssertUnwindSafe(|| el.run().unwrap())).is_err()
}

/// Waker of another executor. Counts its wakes; if `panics` is set, each wake panics.
struct Other {
    panics: bool,
    wakes: AtomicUsize,
}

impl Wake for Other {
    fn wake(self: Arc<Other>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics, "in wake");
    }
}

fn others() -> [Arc<Other>; 3] {
    [false, true, false].map(|panics| Arc::new(Other { panics, wakes: AtomicUsize::new(0) }))
}

fn poll_with<F: Future>(future: std::pin::Pin<&mut F>, other: &Arc<Other>) {
    let waker = Waker::from(other.clone());
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

/// Three tasks of another executor wait for one event of this loop. The waker of the second one
/// panics.
#[test]
fn q8_p98_a_panicking_waker_does_not_stop_other_wakes() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let others = others();
        let shutdown = Shutdown::new();
        let mut waits = [(); 3].map(|()| Box::pin(shutdown.started()));
        for (wait, other) in waits.iter_mut().zip(&others) {
            poll_with(wait.as_mut(), other);
        }
        let begun = shutdown.clone();
        el.call_soon(move |_, _| begun.begin(Duration::from_secs(1)));
        assert_eq!(unwinds(&mut el), policy == PanicPolicy::Propagate);
        assert!(others.iter().all(|other| other.wakes.load(Ordering::Relaxed) == 1));
        check_waker_report(&el, policy);
    });
}

#[test]
fn q8_p98_a_panicking_waker_at_the_end_of_a_task_does_not_lose_the_batch() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let others = others();
        let mut tasks = [(); 3].map(|()| Box::pin(el.spawn(async {})));
        for (task, other) in tasks.iter_mut().zip(&others) {
            poll_with(task.as_mut(), other);
        }
        assert_eq!(unwinds(&mut el), policy == PanicPolicy::Propagate);
        assert!(others.iter().all(|other| other.wakes.load(Ordering::Relaxed) == 1));
        check_waker_report(&el, policy);
        assert!(tasks.iter().all(|task| task.is_finished()));
    });
}

fn check_waker_report(el: &EventLoop<Reports>, policy: PanicPolicy) {
    match policy {
        PanicPolicy::Propagate => assert_eq!(el.state(), &[]),
        _ => assert_eq!(el.state(), &[(ReportKind::Waker, "panicked: in wake".to_owned())]),
    }
}

/// A due timer wakes the waker of another executor.
#[test]
fn q8_p98_a_panicking_waker_at_a_deadline_does_not_lose_timers() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let others = others();
        let mut sleeps: Vec<_> = Vec::new();
        el.run_until_complete(async {
            for other in &others {
                let mut sleep = Box::pin(sleep(Duration::from_millis(1)));
                poll_with(sleep.as_mut(), other);
                sleeps.push(sleep);
            }
        })
        .unwrap();
        el.call_later(Duration::from_millis(2), |_, reports| {
            reports.push((ReportKind::Timer, String::new()))
        });
        let mut unwound = 0;
        while !el.state().iter().any(|(kind, _)| *kind == ReportKind::Timer) {
            unwound += usize::from(unwinds(&mut el));
        }
        assert_eq!(unwound, usize::from(policy == PanicPolicy::Propagate));
        assert!(others.iter().all(|other| other.wakes.load(Ordering::Relaxed) == 1));
    });
}

/// Stream that panics when read.
#[derive(Debug)]
struct PanickingStream(UnixStream);

impl TransportStream for PanickingStream {
    fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        panic!("in read")
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        TransportStream::write(&self.0, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        TransportStream::write_vectored(&self.0, slices)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn s3_p98_a_panicking_stream_costs_one_connection() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let (ours, mut theirs) = readable();
        el.attach(PanickingStream(ours), |_, _, _, _| Ok(())).unwrap();
        match policy {
            PanicPolicy::Propagate => assert!(unwinds(&mut el)),
            _ => {
                assert!(!unwinds(&mut el));
                assert_eq!(el.state(), &[(ReportKind::Stream, "panicked: in read".to_owned())]);
            }
        }
        el.run().unwrap(); // Nothing keeps the loop alive.
        wait_for(&theirs, PollFlags::HUP); // A child of another test may have a copy.
        assert!(theirs.write_all(b"x").is_err(), "closed");
    });
}

/// Error that panics when dropped.
#[derive(Debug)]
struct PanickingError;

impl std::fmt::Display for PanickingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("panics on drop")
    }
}

impl std::error::Error for PanickingError {}

impl Drop for PanickingError {
    fn drop(&mut self) {
        panic!("in drop of the error");
    }
}

#[test]
fn w9_p98_an_error_that_panics_on_drop_is_reported_first() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        el.call_soon(|_, _| Err::<(), _>(Error::other(PanickingError)));
        assert_eq!(unwinds(&mut el), policy == PanicPolicy::Propagate);
        let texts: Vec<&str> = el.state().iter().map(|(_, text)| &**text).collect();
        match policy {
            PanicPolicy::Propagate => assert_eq!(texts, ["panics on drop"]),
            _ => assert_eq!(texts, ["panics on drop", "panicked: in drop of the error"]),
        }
    });
}

#[test]
fn f1_a_panic_of_the_main_future_propagates_to_the_caller() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let main = async { panic!("in main") };
        let ran = catch_unwind(AssertUnwindSafe(|| el.run_until_complete(main)));
        assert!(ran.is_err());
        assert_eq!(el.run_until_complete(async { 42 }).unwrap(), 42);
        assert_eq!(el.state(), &[]);
    });
}

/// Clock that panics once, in `max_wait`, which the loop calls before it sleeps.
#[derive(Debug)]
struct PanickingClock(Rc<Cell<bool>>);

impl Clock for PanickingClock {
    fn now(&self) -> Instant {
        MonotonicClock.now()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        assert!(!self.0.take(), "in the clock");
        wanted
    }
}

/// Selector that panics once, in `select` or `deregister`.
#[derive(Debug)]
struct PanickingSelector {
    real: Box<dyn Selector>,
    panics_at: Rc<Cell<&'static str>>,
}

impl PanickingSelector {
    fn at(&self, method: &'static str) {
        if self.panics_at.get() == method {
            self.panics_at.set("");
            panic!("in the selector");
        }
    }
}

impl Wrapper for PanickingSelector {
    fn real(&self) -> &dyn Selector {
        &*self.real
    }

    fn real_mut(&mut self) -> &mut dyn Selector {
        &mut *self.real
    }

    fn on_change(&mut self, change: Call, _: Option<Token>) -> io::Result<()> {
        if matches!(change, Call::Deregister(_)) {
            self.at("deregister");
        }
        Ok(())
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.at("select");
        self.real.select(events, timeout)
    }
}

impl Drop for PanickingSelector {
    fn drop(&mut self) {
        self.panics_at.set("gone");
    }
}

fn panicking_selector(
    kind: SelectorKind,
    policy: PanicPolicy,
) -> (EventLoop<Reports>, Rc<Cell<&'static str>>) {
    let panics_at = Rc::new(Cell::new(""));
    let real = kind.open().unwrap();
    let selector: Box<dyn Selector> =
        Box::new(Wrapped(PanickingSelector { real, panics_at: panics_at.clone() }));
    let builder = EventLoop::builder().selector(selector).panic_policy(policy);
    let el = builder.build_with(Reports::new()).unwrap();
    note(&el);
    (el, panics_at)
}

/// Checks that a panic in a part of the loop ends one run, and that the next run works.
fn ends_one_run(el: &mut EventLoop<Reports>, policy: PanicPolicy) {
    el.call_later(Duration::from_millis(1), |_, reports| {
        reports.push((ReportKind::Timer, String::new()))
    });
    let ran: std::thread::Result<Result<()>> = catch_unwind(AssertUnwindSafe(|| el.run()));
    match (policy, ran) {
        (PanicPolicy::Propagate, Err(_)) | (_, Ok(Err(Error::Panicked(_)))) => {}
        (_, ran) => panic!("{policy:?}: {ran:?}"),
    }
    assert_eq!(el.state(), &[]);
    el.run().unwrap();
    assert_eq!(el.state(), &[(ReportKind::Timer, String::new())]);
}

#[test]
fn q8_a_panicking_clock_or_selector_ends_one_run() {
    on_each(|kind, policy| {
        let panics = Rc::new(Cell::new(false));
        let builder = EventLoop::builder().selector(kind).clock(PanickingClock(panics.clone()));
        let mut el = builder.panic_policy(policy).build_with(Reports::new()).unwrap();
        panics.set(true);
        ends_one_run(&mut el, policy);
        let (mut el, panics_at) = panicking_selector(kind, policy);
        panics_at.set("select");
        ends_one_run(&mut el, policy);
    });
}

#[test]
fn q8_a_selector_that_panics_during_close_leaves_no_source_open() {
    on_each(|kind, policy| {
        let (mut el, panics_at) = panicking_selector(kind, policy);
        let alive = Rc::new(());
        for _ in 0..3 {
            let (source, _) = crate::support::Source::pair(&alive);
            el.add_reader(source, |_, _, _| Ok(())).unwrap();
        }
        panics_at.set("deregister");
        let closed = catch_unwind(AssertUnwindSafe(|| el.close()));
        assert_eq!(closed.is_err(), policy == PanicPolicy::Propagate);
        assert_eq!(Rc::strong_count(&alive), 1);
    });
}

/// Handles of all kinds may outlive the loop; the selector must not.
#[test]
fn q8_handles_that_outlive_the_loop_do_not_keep_its_selector() {
    on_every_selector(|kind| {
        let (mut el, panics_at) = panicking_selector(kind, PanicPolicy::Propagate);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let conn = el.attach(ours, |_, _, _, _| Ok(())).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = el.serve(listener, |_, _, _, _| Ok(())).unwrap();
        let task = el.spawn(pending::<()>());
        let handle = el.handle().clone();
        el.tick(Some(Duration::ZERO)).unwrap();
        drop(el);
        assert_eq!(panics_at.get(), "gone");
        conn.write(b"x");
        conn.abort();
        server.close();
        assert!(handle.next_deadline().is_none() && task.is_finished());
        drop((conn, server, task, handle));
    });
}

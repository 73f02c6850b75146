//! Panics of user code: the panic policy applies wherever the loop runs such code, and the loop
//! stays consistent (docs/contract.md, Q8 and Q9).

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainspring::net::{Protocol, Transport};
use mainspring::{
    Error, EventLoop, LoopHandle, PanicPolicy, ReportKind, Result, SelectorKind, Signal,
};

use crate::support::descriptors::readable;
use crate::support::on_every_selector;

const NOW: Option<Duration> = Some(Duration::ZERO);
const POLICIES: [PanicPolicy; 2] = [PanicPolicy::Propagate, PanicPolicy::Report];

/// Reports, and the names of the callbacks that ran.
#[derive(Debug, Default)]
struct Seen {
    reports: Vec<(ReportKind, String)>,
    ran: Vec<&'static str>,
}

fn loop_with_reports(kind: SelectorKind, policy: PanicPolicy) -> EventLoop<Seen> {
    let builder = EventLoop::builder().selector(kind).panic_policy(policy);
    let el = builder.build_with(Seen::default()).unwrap();
    el.set_exception_handler(|_, seen, report| {
        seen.reports.push((report.kind, report.error.to_string()));
    });
    el
}

/// Counts its drops; each drop panics.
#[derive(Debug)]
struct PanicsOnDrop(Arc<AtomicUsize>);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("in drop");
    }
}

/// Runs the loop until nothing is alive. Returns the number of panics that propagated out of `run`.
fn run(el: &mut EventLoop<Seen>) -> usize {
    let mut panics = 0;
    while let Err(_panic) = catch_unwind(AssertUnwindSafe(|| el.run().unwrap())) {
        panics += 1;
        assert!(panics < 10, "at most one panic for each run");
    }
    panics
}

/// Checks that `count` panics propagated out of `run`, or were reported as `kind`, as `policy`
/// demands.
fn assert_policy_followed(
    el: &mut EventLoop<Seen>,
    policy: PanicPolicy,
    kind: ReportKind,
    count: usize,
) {
    let panics = run(el);
    let reports: Vec<ReportKind> = el.state().reports.iter().map(|(kind, _)| *kind).collect();
    match policy {
        PanicPolicy::Propagate => assert_eq!((panics, reports.len()), (count, 0)),
        _ => assert_eq!((panics, reports), (0, vec![kind; count])),
    }
}

fn on_each(mut check: impl FnMut(SelectorKind, PanicPolicy)) {
    on_every_selector(|kind| {
        for policy in POLICIES {
            println!("{policy:?}");
            check(kind, policy);
        }
    });
}

/// Returns true at the end of the stream. If the other side closed with unread input, the end is a
/// reset.
fn is_closed(peer: &mut impl Read) -> bool {
    match peer.read(&mut [0; 8]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn q8_p97_an_exception_handler_that_panics_is_kept() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        el.set_exception_handler(|_, seen, report| {
            seen.reports.push((report.kind, report.error.to_string()));
            assert_ne!(report.error.to_string(), "one", "in the handler");
        });
        for name in ["one", "two", "three"] {
            el.call_soon(move |_, _| Err::<(), _>(Error::other(name)));
        }
        el.call_later(Duration::from_millis(1), |_, seen| seen.ran.push("timer"));
        assert_eq!(run(&mut el), usize::from(policy == PanicPolicy::Propagate));
        let seen = el.state();
        let texts: Vec<&str> = seen.reports.iter().map(|(_, text)| &**text).collect();
        assert_eq!((texts, &*seen.ran), (vec!["one", "two", "three"], &["timer"][..]));
    });
}

#[test]
fn q8_p97_an_exception_handler_that_replaces_itself_and_panics_is_replaced() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        el.set_exception_handler(|el, _, _| {
            el.set_exception_handler(|_, seen, _| seen.ran.push("second"));
            panic!("in the handler");
        });
        for _ in 0..2 {
            el.call_soon(|_, _| Err::<(), _>(Error::other("an error")));
        }
        run(&mut el);
        assert_eq!(el.state().ran, ["second"]);
    });
}

/// Failures of tasks are reported together. If the handler panics at one of them, the others are
/// reported later.
#[test]
fn f8_a_handler_that_panics_at_one_failure_gets_the_others() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        el.set_exception_handler(|_, seen, report| {
            seen.reports.push((report.kind, report.error.to_string()));
            assert_ne!(seen.reports.len(), 1, "in the handler");
        });
        for _ in 0..3 {
            el.spawn(async { Err::<(), _>(Error::other("an error")) }).detach();
        }
        run(&mut el);
        assert_eq!(el.state().reports.len(), 3);
    });
}

/// Captures that panic when they are dropped, in a repeating callback that ends in one of three
/// ways.
#[test]
fn q9_captures_that_panic_on_drop_follow_the_policy() {
    on_each(|kind, policy| {
        for ends in ["error", "cancels itself", "interval"] {
            let mut el = loop_with_reports(kind, policy);
            let drops = Arc::new(AtomicUsize::new(0));
            let panics_on_drop = PanicsOnDrop(drops.clone());
            let (ours, _theirs) = readable();
            match ends {
                "interval" => drop(el.call_every(Duration::from_millis(1), move |el, _| {
                    let _ = &panics_on_drop;
                    el.cancel(el.current().unwrap());
                })),
                _ => drop(el.add_reader(ours, move |_, _, stream| {
                    let _ = &panics_on_drop;
                    stream.cancel();
                    if ends == "error" { Err(Error::other("an error")) } else { Ok(()) }
                })),
            }
            el.call_soon(|_, seen| seen.ran.push("neighbour"));
            let panics = run(&mut el);
            let seen = el.state();
            let mut reports: Vec<&str> = seen.reports.iter().map(|(_, text)| &**text).collect();
            if ends == "error" {
                assert_eq!(reports.remove(0), "an error");
            }
            match policy {
                PanicPolicy::Propagate => assert_eq!((panics, reports.len()), (1, 0), "{ends}"),
                _ => assert_eq!((panics, &*reports), (0, &["panicked: in drop"][..]), "{ends}"),
            }
            assert_eq!(
                (drops.load(Ordering::Relaxed), &*seen.ran),
                (1, &["neighbour"][..]),
                "{ends}"
            );
        }
    });
}

/// A second panic during unwinding would make Rust abort.
#[test]
fn q8_p97_captures_that_panic_on_drop_after_a_panic_do_not_abort() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let drops = Arc::new(AtomicUsize::new(0));
        let (ours, _theirs) = readable();
        let panics_on_drop = PanicsOnDrop(drops.clone());
        el.add_reader(ours, move |_, _, _| {
            let _ = &panics_on_drop;
            panic!("in the callback")
        })
        .unwrap();
        run(&mut el);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        let texts: Vec<&str> = el.state().reports.iter().map(|(_, text)| &**text).collect();
        match policy {
            PanicPolicy::Propagate => assert_eq!(texts, ["panicked: in drop"]),
            _ => assert_eq!(texts, ["panicked: in the callback", "panicked: in drop"]),
        }
    });
}

#[test]
fn q4_cancelling_captures_that_panic_on_drop_follows_the_policy() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let panics_on_drop = PanicsOnDrop(drops.clone());
            let cancelled = el.call_later(Duration::from_secs(9), move |_, _| drop(panics_on_drop));
            el.call_soon(move |el, seen: &mut Seen| {
                assert!(el.cancel(cancelled));
                seen.ran.push("caller");
            });
        }
        assert_policy_followed(
            &mut el,
            policy,
            match policy {
                PanicPolicy::Propagate => ReportKind::Soon,
                _ => ReportKind::Timer,
            },
            2,
        );
        let ran = if policy == PanicPolicy::Propagate { 0 } else { 2 };
        assert_eq!((drops.load(Ordering::Relaxed), el.state().ran.len()), (2, ran));
    });
}

/// Panic payload of a user-defined type that panics when dropped.
#[test]
fn q8_p97_a_payload_that_panics_on_drop_does_not_unwind_further() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("in drop of the payload");
        }
    }
    on_every_selector(|kind| {
        let mut el = loop_with_reports(kind, PanicPolicy::Report);
        el.call_soon(|_, _| panic_any(Payload));
        el.spawn(async { panic_any(Payload) }).detach();
        el.call_soon(|_, seen| seen.ran.push("neighbour"));
        assert_eq!(run(&mut el), 0);
        assert_eq!((el.state().reports.len(), &*el.state().ran), (2, &["neighbour"][..]));
    });
}

/// Makes a closure capture a value.
fn keep<T>(_: &T) {}

/// Registers one callback, source or task of each kind, each of which owns a `PanicsOnDrop`.
fn register_one_of_each(
    el: &mut EventLoop<Seen>,
    drops: &Arc<AtomicUsize>,
    signal: Signal,
) -> (UnixStream, UnixStream) {
    let panics_on_drop = || PanicsOnDrop(drops.clone());
    let (reader, reader_peer) = UnixStream::pair().unwrap();
    let (stream, stream_peer) = UnixStream::pair().unwrap();
    let (soon, later, watcher, handler, hook) =
        (panics_on_drop(), panics_on_drop(), panics_on_drop(), panics_on_drop(), panics_on_drop());
    let (interval, task, protocol, sent) =
        (panics_on_drop(), panics_on_drop(), panics_on_drop(), panics_on_drop());
    el.remote().background().call_soon(move |_, _| drop(sent)).unwrap();
    el.add_reader(reader, move |_, _, _| Ok(keep(&watcher))).unwrap();
    el.add_signal_handler(signal, move |_, _| keep(&handler)).unwrap();
    el.call_soon(move |_, _| drop(soon));
    el.call_later(Duration::from_secs(9), move |_, _| drop(later));
    el.on_check(move |_, _| keep(&hook)).unwrap();
    el.call_every(Duration::from_secs(9), move |_, _| keep(&interval)).unwrap();
    el.spawn(async move {
        std::future::pending::<()>().await;
        drop(task);
    })
    .detach();
    el.attach(stream, move |_, _, _, _| Ok(keep(&protocol))).unwrap();
    (reader_peer, stream_peer)
}

#[test]
fn q8_close_drops_everything_although_each_drop_panics() {
    let unused = Signal::TTIN; // No other test of this process handles this signal.
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let drops = Arc::new(AtomicUsize::new(0));
        let reports = Rc::new(RefCell::new(Vec::new()));
        let noted = reports.clone();
        el.set_exception_handler(move |_, _, report| noted.borrow_mut().push(report.kind));
        let peers = register_one_of_each(&mut el, &drops, unused);
        assert_ne!(has_handler(unused), Some(false));
        let closed = catch_unwind(AssertUnwindSafe(|| el.close()));
        assert_eq!(drops.load(Ordering::Relaxed), 9);
        // A panic in a task belongs to the task under either policy, so it is always reported.
        match policy {
            PanicPolicy::Propagate => assert!(closed.is_err() && reports.borrow().len() == 8),
            _ => assert!(closed.is_ok() && reports.borrow().len() == 9, "{reports:?}"),
        }
        assert_ne!(has_handler(unused), Some(true), "the disposition is restored");
        for mut peer in [peers.0, peers.1] {
            assert!(is_closed(&mut peer));
        }
        el.close();
        assert!(matches!(el.run(), Err(Error::Closed)));
        drop(el);
    });
}

/// Returns true if the process has a handler for `signal`; `None` if the system does not show that.
fn has_handler(signal: Signal) -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
    Some(caught >> (signal.raw() - 1) & 1 == 1)
}

#[test]
fn q8_a_loop_dropped_during_a_panic_does_not_abort() {
    on_each(|kind, policy| {
        let drops = Arc::new(AtomicUsize::new(0));
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut el = loop_with_reports(kind, policy);
            let _peers = register_one_of_each(&mut el, &drops, Signal::TTOU);
            panic!("outside the loop");
        }));
        let text = unwound.unwrap_err();
        assert_eq!(
            (drops.load(Ordering::Relaxed), text.downcast_ref()),
            (9, Some(&"outside the loop"))
        );
    });
}

/// Protocol that records its connections and sends nothing.
struct RecordsConnections;

impl Protocol<Seen> for RecordsConnections {
    fn connection_made(
        &mut self,
        _: &LoopHandle<Seen>,
        seen: &mut Seen,
        _: &Transport,
    ) -> Result<()> {
        seen.ran.push("made");
        Ok(())
    }

    fn data_received(
        &mut self,
        _: &LoopHandle<Seen>,
        _: &mut Seen,
        _: &Transport,
        _: &[u8],
    ) -> Result<()> {
        Ok(())
    }
}

#[test]
fn s4_a_factory_that_panics_once_costs_one_connection() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut made = 0;
        let server = el
            .serve_with(listener, move || {
                made += 1;
                assert_ne!(made, 1, "in the factory");
                RecordsConnections
            })
            .unwrap();
        let mut panics = 0;
        let mut clients = Vec::new();
        for accepted in 1..=3 {
            clients.push(TcpStream::connect(address).unwrap());
            for _ in 0..1000 {
                panics += usize::from(catch_unwind(AssertUnwindSafe(|| el.tick(NOW))).is_err());
                if server.accepted() == accepted && el.state().ran.len() as u64 + 1 == accepted {
                    break;
                }
                std::thread::yield_now();
            }
        }
        assert_eq!((server.accepted(), server.connections()), (3, 2));
        assert!(is_closed(&mut clients[0]), "that client is disconnected");
        assert_eq!(server.local_addr().unwrap().as_inet(), Some(address));
        match policy {
            PanicPolicy::Propagate => assert_eq!((panics, el.state().reports.len()), (1, 0)),
            _ => assert_eq!((panics, el.state().reports[0].0), (0, ReportKind::Stream)),
        }
    });
}

/// Stream that panics when dropped.
struct StreamPanicsOnDrop(
    UnixStream,
    #[expect(dead_code, reason = "its drop panics")] PanicsOnDrop,
);

impl AsFd for StreamPanicsOnDrop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[test]
fn w3_a_source_that_panics_on_drop_is_closed_and_deregistered() {
    on_each(|kind, policy| {
        let mut el = loop_with_reports(kind, policy);
        let drops = Arc::new(AtomicUsize::new(0));
        let (ours, mut theirs) = readable();
        let fragile = StreamPanicsOnDrop(ours, PanicsOnDrop(drops.clone()));
        el.add_reader(fragile, |_, _, stream| Ok(stream.cancel())).unwrap();
        assert_policy_followed(&mut el, policy, ReportKind::Watcher, 1);
        assert_eq!((drops.load(Ordering::Relaxed), is_closed(&mut theirs)), (1, true));
    });
}

#[test]
fn s3_p97_a_protocol_that_panics_costs_one_connection() {
    struct Panics(&'static str);
    impl Panics {
        fn at(&self, method: &str) -> Result<()> {
            assert_ne!(self.0, method);
            Ok(())
        }
    }
    impl Protocol<Seen> for Panics {
        fn connection_made(
            &mut self,
            _: &LoopHandle<Seen>,
            _: &mut Seen,
            _: &Transport,
        ) -> Result<()> {
            self.at("made")
        }
        fn data_received(
            &mut self,
            _: &LoopHandle<Seen>,
            _: &mut Seen,
            _: &Transport,
            _: &[u8],
        ) -> Result<()> {
            self.at("data")
        }
        fn eof_received(
            &mut self,
            _: &LoopHandle<Seen>,
            _: &mut Seen,
            conn: &Transport,
        ) -> Result<()> {
            conn.close();
            self.at("eof")
        }
        fn connection_lost(
            &mut self,
            _: &LoopHandle<Seen>,
            _: &mut Seen,
            _: Option<&Error>,
        ) -> Result<()> {
            self.at("lost")
        }
    }
    on_each(|kind, policy| {
        for method in ["made", "data", "eof", "lost"] {
            let mut el = loop_with_reports(kind, policy);
            let (ours, mut theirs) = readable();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            el.attach_with(ours, Panics(method)).unwrap();
            assert_policy_followed(&mut el, policy, ReportKind::Stream, 1);
            assert!(is_closed(&mut theirs), "{method}");
        }
    });
}

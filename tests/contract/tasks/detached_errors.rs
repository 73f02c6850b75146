//! Errors that a detached task reports, and the definition of a disconnect (docs/contract.md, F8).

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{Protocol, TcpStream, Transport};
use mainspring::{CancelScope, Error, EventLoop, LoopHandle, Result, SelectorKind, spawn, timeout};
use rustix::net::sockopt::set_socket_linger;

use crate::support::descriptors::{reset_connection, tcp_pair};
use crate::support::{on_every_selector, simulated};

type Reports = Rc<RefCell<Vec<String>>>;

/// Returns a loop that collects the texts of its reports.
fn loop_with_reports(kind: SelectorKind, disconnects: bool) -> (EventLoop, Reports) {
    let el = EventLoop::builder().selector(kind).report_disconnects(disconnects).build().unwrap();
    let reports = Reports::default();
    let noted = reports.clone();
    el.set_exception_handler(move |_, (), report| noted.borrow_mut().push(report.error.chain()));
    (el, reports)
}

#[derive(Debug, thiserror::Error)]
enum OwnError {
    #[error("an enum of the user")]
    Variant,
}

/// Like `anyhow::Error`: does not implement `Error`, and `{:#}` shows the causes.
struct Chained;

impl fmt::Display for Chained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() { "outer: inner" } else { "outer" })
    }
}

#[test]
fn f8_every_error_with_display_is_reported() {
    on_every_selector(|kind| {
        let (mut el, reports) = loop_with_reports(kind, false);
        el.spawn(async { Err::<(), _>(OwnError::Variant) }).detach();
        el.spawn(async { Err::<u32, _>(Error::other("instead of a value")) }).detach();
        el.spawn(async { Err::<Vec<u8>, _>(Chained) }).detach();
        el.spawn(async { Err::<(), _>("a text") }).detach();
        el.spawn(async { Err::<(), Rc<str>>("of this thread".into()) }).detach();
        el.spawn(async { Err::<u8, Box<dyn std::error::Error>>(OwnError::Variant.into()) })
            .detach();
        el.spawn(async { Ok::<Result<()>, OwnError>(Err(Error::other("inside"))) }).detach();
        el.spawn(timeout(Duration::from_secs(9), async { Err::<(), _>(Error::other("limited")) }))
            .detach();
        el.spawn(async { Some(Err::<u8, _>("in an option")) }).detach();
        el.spawn(async { 42 }).detach();
        el.spawn(async { Some(String::from("a text is no failure")) }).detach();
        el.spawn(async { panic!("a panic") }).detach();
        el.run().unwrap();
        let expected = [
            "an enum of the user",
            "instead of a value",
            "outer: inner",
            "a text",
            "of this thread",
            "an enum of the user",
            "inside",
            "limited",
            "in an option",
            "panicked: a panic",
        ];
        assert_eq!(*reports.borrow(), expected);
    });
}

#[test]
fn f8_success_and_discarded_errors_are_not_reported() {
    on_every_selector(|kind| {
        let (mut el, reports) = loop_with_reports(kind, false);
        el.spawn(async { Ok::<u32, OwnError>(7) }).detach();
        el.spawn(async { Err::<(), _>(OwnError::Variant) }).detach_discarding();
        el.spawn(async { vec![1] }).detach_discarding();
        let scope = CancelScope::new();
        el.spawn(scope.run(std::future::pending::<()>())).detach();
        scope.cancel("by the user");
        el.run().unwrap();
        assert_eq!(*reports.borrow(), [""; 0]);
        el.spawn(async { panic!("not discarded") }).detach_discarding();
        el.run().unwrap();
        assert_eq!(*reports.borrow(), ["panicked: not discarded"]);
    });
}

/// The function that classifies the output is stored in the joiner's place; names, wakers and
/// callbacks move it to the side table.
#[test]
fn f8_names_wakers_and_callbacks_do_not_hide_the_error() {
    on_every_selector(|kind| {
        let (mut el, reports) = loop_with_reports(kind, false);
        for awaited in [false, true] {
            let task = el.spawn(async { Err::<(), _>(OwnError::Variant) }).named("named");
            if awaited {
                el.tick(Some(Duration::ZERO)).unwrap(); // The task is done before it is detached.
            }
            task.detach();
        }
        let late = el.spawn(async {
            mainspring::yield_now().await;
            Err::<(), _>(OwnError::Variant)
        });
        el.set_name(late.handle(), "named before");
        late.detach();
        let handle = {
            let task = el.spawn(async {
                mainspring::yield_now().await;
                Err::<(), _>(OwnError::Variant)
            });
            let handle = task.handle();
            task.detach();
            handle
        };
        el.set_name(handle, "named after");
        el.run().unwrap();
        assert_eq!(*reports.borrow(), ["an enum of the user"; 4]);
    });
}

#[test]
fn f8_a_panicking_display_of_an_error_is_reported() {
    struct Unshowable;
    impl fmt::Display for Unshowable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display")
        }
    }
    on_every_selector(|kind| {
        let (mut el, reports) = loop_with_reports(kind, false);
        el.spawn(async { Err::<(), _>(Unshowable) }).detach();
        el.run().unwrap();
        assert_eq!(*reports.borrow(), ["panicked: in Display"]);
    });
}

/// Runs two tasks and a protocol, with clients that reset their connections.
fn meet_resets(el: &mut EventLoop) {
    let conn = TcpStream::from_std(reset_connection()).unwrap();
    el.spawn(async move {
        conn.read_chunk().await?;
        Ok::<(), Error>(())
    })
    .detach();
    let conn = TcpStream::from_std(reset_connection()).unwrap();
    el.spawn(async move {
        let read = conn.read_chunk().await.map(drop);
        read.map_err(|error| -> Box<dyn std::error::Error> { error.into() })
    })
    .detach();
    el.attach(reset_connection(), |_, (), _, _| Ok(())).unwrap();
    el.run().unwrap();
}

#[test]
fn f8_s3_a_disconnect_is_reported_on_request_only() {
    on_every_selector(|kind| {
        let (mut el, reports) = loop_with_reports(kind, false);
        meet_resets(&mut el);
        assert_eq!(*reports.borrow(), [""; 0]);
        let (mut el, reports) = loop_with_reports(kind, true);
        meet_resets(&mut el);
        let reports = reports.borrow();
        assert_eq!(reports.len(), 3, "{reports:?}");
        assert!(reports.iter().all(|report| report.contains("reset")), "{reports:?}");
    });
}

/// Protocol that returns this error of the system.
struct Returning(i32);

impl Protocol<()> for Returning {
    fn data_received(
        &mut self,
        _: &LoopHandle,
        (): &mut (),
        _: &Transport,
        _: &[u8],
    ) -> Result<()> {
        Err(io::Error::from_raw_os_error(self.0).into())
    }
}

/// The same rule applies to tasks and protocols. An error that is no disconnect is reported.
#[test]
fn f8_s3_the_same_errors_are_disconnects_for_tasks_and_protocols() {
    use rustix::io::Errno;
    let errors = [
        (Errno::CONNRESET, true),
        (Errno::PIPE, true),
        (Errno::CONNABORTED, true),
        (Errno::TIMEDOUT, true),
        (Errno::NOSPC, false),
        (Errno::HOSTUNREACH, false),
    ];
    on_every_selector(|kind| {
        for (errno, is_disconnect) in errors {
            let number = errno.raw_os_error();
            let (mut el, reports) = loop_with_reports(kind, false);
            el.spawn(async move { Err::<(), _>(io::Error::from_raw_os_error(number)) }).detach();
            el.run().unwrap();
            assert_eq!(reports.borrow().len(), usize::from(!is_disconnect), "task {errno:?}");
            let (ours, theirs) = tcp_pair();
            io::Write::write_all(&mut &theirs, b"x").unwrap();
            el.attach_with(ours, Returning(number)).unwrap();
            el.run().unwrap();
            assert_eq!(reports.borrow().len(), 2 * usize::from(!is_disconnect), "both {errno:?}");
            set_socket_linger(&theirs, None).unwrap();
        }
        let limit = Error::from(io::Error::from(ErrorKind::TimedOut));
        assert!(!limit.is_disconnect(), "a timeout of the user is no disconnect");
    });
}

#[test]
fn f8_a_remote_task_reports_when_it_is_detached() {
    on_every_selector(|kind| {
        let (mut el, reports) = loop_with_reports(kind, false);
        let remote = el.remote();
        let thread = std::thread::spawn(move || {
            remote.spawn(async { Err::<u8, _>(OwnError::Variant) }).unwrap().detach();
        });
        thread.join().unwrap(); // Detached before the loop runs it.
        el.run().unwrap();
        assert_eq!(*reports.borrow(), ["an enum of the user"]);
    });
}

/// A task spawned inside another task, as in servers.
#[test]
fn f8_a_task_spawned_by_a_task_reports_its_own_line() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        el.set_exception_handler(|_, lines, report| lines.push(report.location.line()));
        let line = line!() + 2;
        el.run_until_complete(async {
            spawn(async { Err::<(), _>(OwnError::Variant) }).detach();
            mainspring::yield_now().await;
            mainspring::yield_now().await;
        })
        .unwrap();
        assert_eq!(*el.state(), [line]);
    });
}

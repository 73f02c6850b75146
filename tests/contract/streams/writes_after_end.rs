//! Writes after the end of a connection, and errors that name the operation (docs/contract.md, S2
//! and S3).

use std::io::{IoSlice, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use mainspring::net::Transport;
use mainspring::{Error, EventLoop, ReportKind, SelectorKind};

use crate::support::descriptors::{hang_up, reset_connection};
use crate::support::on_every_selector;
use crate::support::ticks::tick;

type Reports = Vec<(ReportKind, u32, String)>;

fn loop_with_reports(kind: SelectorKind, debug: bool) -> EventLoop<Reports> {
    let builder = EventLoop::builder().selector(kind).debug(debug);
    let el = builder.build_with(Reports::new()).unwrap();
    el.set_exception_handler(|_, reports: &mut Reports, report| {
        reports.push((report.kind, report.location.line(), report.error.chain()));
    });
    el
}

fn attached(el: &EventLoop<Reports>) -> (Transport, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (el.attach(ours, |_, _, _, _| Ok(())).unwrap(), theirs)
}

fn is_refused(conn: &Transport) -> bool {
    matches!(conn.try_write(b"late"), Err(Error::WriteClosed { bytes: 4, .. }))
}

#[test]
fn s3_try_write_after_the_end_is_an_error() {
    on_every_selector(|kind| {
        for end in ["close", "shutdown_write", "abort", "the peer's", "the loop's"] {
            let mut el = loop_with_reports(kind, false);
            let (conn, mut theirs) = attached(&el);
            conn.try_write(b"early").unwrap();
            match end {
                "close" => conn.close(),
                "shutdown_write" => conn.shutdown_write(),
                "abort" => conn.abort(),
                "the loop's" => el.close(),
                _ => {
                    theirs.shutdown(std::net::Shutdown::Both).unwrap();
                    tick(&mut el);
                }
            }
            assert!(is_refused(&conn), "{end}");
            el.tick(Some(std::time::Duration::ZERO)).ok();
            assert!(is_refused(&conn), "{end}, one tick later");
            drop(el);
            let mut got = Vec::new();
            if end != "the peer's" {
                theirs.read_to_end(&mut got).unwrap();
                assert_eq!(got, b"early", "{end}");
            }
        }
    });
}

#[test]
fn s3_debug_mode_reports_a_late_write_with_its_line() {
    on_every_selector(|kind| {
        let mut el = loop_with_reports(kind, true);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let fd = ours.as_raw_fd();
        let conn = el.attach(ours, |_, _, _, _| Ok(())).unwrap();
        conn.write(b"early");
        conn.close();
        conn.write(b""); // Loses nothing.
        let line = line!() + 1;
        conn.write(b"late");
        conn.write_vectored(&[IoSlice::new(b"also "), IoSlice::new(b"late")]);
        let _ = conn.try_write(b"looked at");
        tick(&mut el);
        let text = |bytes: u8| {
            format!("cannot write {bytes} bytes to fd {fd}: the connection is closed for writing")
        };
        let expected = [(ReportKind::Write, line, text(4)), (ReportKind::Write, line + 1, text(9))];
        assert_eq!(*el.state(), expected);

        let mut el = loop_with_reports(kind, false);
        let (conn, _theirs) = attached(&el);
        conn.close();
        conn.write(b"late");
        tick(&mut el);
        assert_eq!(*el.state(), []);
    });
}

/// The peer may close at any time, so this is no mistake of the writer.
#[test]
fn s3_a_write_after_the_peers_end_is_not_reported() {
    on_every_selector(|kind| {
        let mut el = loop_with_reports(kind, true);
        let (conn, theirs) = attached(&el);
        hang_up(theirs);
        conn.write(b"lost");
        tick(&mut el);
        tick(&mut el);
        assert!(is_refused(&conn));
        let before = el.state().len();
        conn.write(b"late");
        tick(&mut el);
        assert_eq!(el.state().len(), before, "{:?}", el.state());
    });
}

#[test]
fn s2_the_error_of_a_stream_names_the_operation() {
    on_every_selector(|kind| {
        let mut el = loop_with_reports(kind, true);
        let reset = reset_connection();
        let fd = reset.as_raw_fd();
        el.attach(reset, |_, _, _, _| Ok(())).unwrap();
        el.run().unwrap();
        let text = el.state()[0].2.clone();
        assert!(text.starts_with(&format!("cannot read from fd {fd}: ")), "{text}");

        let mut el = loop_with_reports(kind, true);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fd = ours.as_raw_fd();
        let conn = el.attach(ours, |_, _, _, _| Ok(())).unwrap();
        hang_up(theirs);
        conn.write(b"x");
        el.run().unwrap();
        let text = el.state()[0].2.clone();
        assert!(text.starts_with(&format!("cannot write to fd {fd}: ")), "{text}");
    });
}

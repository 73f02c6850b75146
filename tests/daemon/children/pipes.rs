//! Pipes of children (docs/contract.md, C5 and C6).

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::rc::Rc;

use mainspring::net::{PipePair, Protocol, ReadOnly, Transport, WriteOnly};
use mainspring::process::Child;
use mainspring::{Error, EventLoop, Io};

use crate::children::support::{event_loop, is_reaped, on_every_watch, shell, sleeper};
use crate::support::protocol::{Callback, Record, Recorder};

/// Returns a protocol that records, and closes at the end of the stream.
fn closing_recorder() -> impl Protocol<Record> {
    Recorder::new(&Rc::new(()), |_, _, conn, callback| {
        Ok(conn.filter(|_| *callback == Callback::Eof).map_or((), Transport::close))
    })
}

/// Asserts that these bytes were received, and that the connection has ended.
#[track_caller]
fn assert_received(el: &EventLoop<Record>, bytes: &[u8], reason: Option<ErrorKind>) {
    assert_eq!((el.state().bytes().as_slice(), el.state().lost_reason()), (bytes, Some(reason)));
}

#[test]
fn c5_a_filter_is_a_transport() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Record::default());
        let mut command = Command::new("tr");
        command.args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = el.spawn_child(command, |_, _, status| status.map(drop)).unwrap();
        let pipes = PipePair::new(child.take_stdout().unwrap(), child.take_stdin().unwrap());
        let conn = el.attach_with(pipes, closing_recorder()).unwrap();
        conn.write(b"hello");
        conn.shutdown_write();
        el.run().unwrap();
        assert_received(&el, b"HELLO", None);
        assert!(child.take_stdin().is_none() && child.take_stdout().is_none());
    });
}

#[test]
fn c5_standard_error_is_a_read_only_transport() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Record::default());
        let mut command = shell("echo oops >&2");
        let mut child = el
            .spawn_child(command.stderr(Stdio::piped()), |_, _, status| status.map(drop))
            .unwrap();
        el.attach_with(ReadOnly::new(child.take_stderr().unwrap()), closing_recorder()).unwrap();
        el.run().unwrap();
        assert_received(&el, b"oops\n", None);
    });
}

#[test]
fn c5_standard_input_is_a_write_only_transport() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Record::default());
        let mut command = shell("exec wc -c");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = el.spawn_child(command, |_, _, status| status.map(drop)).unwrap();
        let mut stdout = child.take_stdout().unwrap();
        let stdin = WriteOnly::new(child.take_stdin().unwrap());
        let conn = el.attach_with(stdin, closing_recorder()).unwrap();
        conn.write(&vec![b'x'; 1 << 20]); // More than a pipe holds.
        conn.close();
        el.run().unwrap();
        let mut count = String::new();
        stdout.read_to_string(&mut count).unwrap();
        assert_eq!(count.trim(), "1048576");
        assert_received(&el, b"", None);
    });
}

#[test]
fn c5_a_child_that_closes_its_input_is_a_broken_pipe() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Record::default());
        let mut command = shell("exec head -c 1024 > /dev/null");
        let mut child =
            el.spawn_child(command.stdin(Stdio::piped()), |_, _, status| status.map(drop)).unwrap();
        let stdin = WriteOnly::new(child.take_stdin().unwrap());
        let conn = el.attach_with(stdin, closing_recorder()).unwrap();
        conn.write(&vec![b'x'; 10 << 20]);
        conn.close();
        el.run().unwrap();
        assert_received(&el, b"", Some(ErrorKind::BrokenPipe));
    });
}

#[test]
fn c5_an_idle_writer_is_notified_that_the_reader_has_gone() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, Record::default());
        let mut command = shell("exec 0<&-; exit 0");
        let mut child =
            el.spawn_child(command.stdin(Stdio::piped()), |_, _, status| status.map(drop)).unwrap();
        el.attach_with(WriteOnly::new(child.take_stdin().unwrap()), closing_recorder()).unwrap();
        el.run().unwrap();
        assert_received(&el, b"", Some(ErrorKind::BrokenPipe));
    });
}

#[test]
fn c5_pipes_work_with_futures() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let sum = el.run_until_complete(async {
            let mut command = shell("exec wc -c");
            let mut child = Child::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
            let stdin = Io::new(child.take_stdin().unwrap())?;
            let stdout = Io::new(child.take_stdout().unwrap())?;
            stdin.write_all(&vec![b'x'; 1 << 20]).await?;
            drop(stdin);
            let text = String::from_utf8(stdout.read_chunk().await?.to_vec()).unwrap();
            child.wait().await?;
            Ok::<_, mainspring::Error>(text.trim().parse::<u32>().unwrap())
        });
        assert_eq!(sum.unwrap().unwrap(), 1 << 20);
    });
}

#[test]
fn c6_output_is_collected_from_both_pipes() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let output = el.run_until_complete(async {
            let mut command = shell("cat; echo out; echo err >&2; exit 2");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            Child::spawn(command)?.output_with_limit(8).await
        });
        let output = output.unwrap().unwrap();
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
        assert_eq!(output.status.code(), Some(2));
    });
}

#[test]
fn c6_a_child_that_writes_more_than_the_limit_is_killed_and_reaped() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let (pid, output) = el
            .run_until_complete(async {
                // The broken pipe does not end it.
                let mut stubborn = shell("trap '' PIPE; while :; do echo line; done 2>/dev/null");
                let child = Child::spawn(stubborn.stdout(Stdio::piped())).unwrap();
                (child.id(), child.output_with_limit(100_000).await)
            })
            .unwrap();
        let error = output.unwrap_err();
        assert!(matches!(error, Error::OutputLimit { limit: 100_000, .. }), "{error}");
        assert!(error.to_string().contains(&pid.to_string()));
        assert!(is_reaped(pid));
    });
}

#[test]
fn c6_a_dropped_output_leaves_the_child_unless_it_is_killed_on_drop() {
    on_every_watch(|selector, kind| {
        let mut el = event_loop(selector, kind, ());
        let killed = el.run_until_complete(async {
            let child = Child::spawn(sleeper().stdout(Stdio::piped()))?.kill_on_drop(true);
            let end = child.wait();
            drop(child.output_with_limit(10));
            end.await
        });
        assert!(!killed.unwrap().unwrap().success());
    });
}

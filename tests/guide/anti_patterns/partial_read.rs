//! A read that loses input when a time limit drops it (docs/contract.md, G10).

use std::io::{self, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use mainspring::io::BufReader;
use mainspring::net::UnixStream;
use mainspring::testing::SimClock;
use mainspring::{LoopHandle, Result, timeout};

use super::stage::{Journal, MS, Run, assert_shown, play};

fn misbehaves(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    let stream = slow_client(el)?;
    el.spawn(receive(el.clone(), stream)).named("receiver").detach();
    Ok(())
}

async fn receive(el: LoopHandle<Journal>, stream: UnixStream) -> Result<()> {
    loop {
        match timeout(10 * MS, read_line(&stream)).await {
            Ok(line) => note(&el, line?).await?,
            Err(_) => send_keep_alive(&stream),
        }
    }
}

async fn read_line(stream: &UnixStream) -> io::Result<String> {
    // Dropped with this future when the time is over.
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        stream.read(&mut byte).await?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn cured(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    let stream = slow_client(el)?;
    el.spawn(receive_lines(el.clone(), stream)).named("receiver").detach();
    Ok(())
}

async fn receive_lines(el: LoopHandle<Journal>, stream: UnixStream) -> Result<()> {
    // Keeps a part of a line.
    let mut lines = BufReader::new(&stream).lines();
    loop {
        match timeout(10 * MS, lines.next_line()).await {
            Ok(line) => note(&el, line?.unwrap_or_default()).await?,
            Err(_) => send_keep_alive(&stream),
        }
    }
}

#[test]
fn g10_a_dropped_read_loses_input() {
    let [written, cured] = play("partial_read", 80 * MS, misbehaves, cured);
    assert_eq!(written.journal.lines, ["world", "night"]);
    assert_eq!(cured.journal.lines, ["hello world", "good night"]);
    assert_eq!(written.turns("receiver"), cured.turns("receiver"), "no lane shows it");
    let received = |run: &Run| format!("received {:?}", run.journal.lines);
    let lines = [("as written", received(&written)), ("cured", received(&cured))];
    assert_shown("partial_read", &lines.map(|(run, lines)| format!("{run}: {lines}")));
}

/// Returns the connection of a client that pauses within its lines.
fn slow_client(el: &LoopHandle<Journal>) -> Result<UnixStream> {
    let (ours, client) = StdStream::pair()?;
    for (time, part) in [(5, "hello "), (15, "world\n"), (35, "good "), (55, "night\n")] {
        let mut client = client.try_clone()?;
        el.call_later(time * MS, move |_, _| client.write_all(part.as_bytes()).unwrap());
    }
    // It stays.
    el.call_later(Duration::MAX, move |_, _| drop(client));
    UnixStream::from_std(ours)
}

async fn note(el: &LoopHandle<Journal>, line: String) -> Result<()> {
    el.with(move |_, journal| journal.lines.push(line)).await
}

/// Stands for other work of the connection.
fn send_keep_alive(_: &UnixStream) {}

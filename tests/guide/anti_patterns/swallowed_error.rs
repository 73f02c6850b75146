//! An error that a callback swallows (docs/contract.md, G10).

use std::io::Read;
use std::os::unix::net::UnixStream;

use mainspring::testing::SimClock;
use mainspring::{Error, LoopHandle, Result};

use super::stage::{Journal, MS, heartbeat, play, work};
use crate::support::descriptors::hang_up;

fn misbehaves(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let (stream, clock) = (leaving_client(el)?, clock.clone());
    let reader = el.add_reader(stream, move |_, _, stream| {
        let mut buffer = [0; 1024];
        if let Ok(count) = stream.read(&mut buffer) {
            handle(&buffer[..count], &clock);
        }
        Ok(())
    })?;
    el.set_name(reader, "reader");
    Ok(())
}

fn cured(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let (stream, clock) = (leaving_client(el)?, clock.clone());
    let reader = el.add_reader(stream, move |_, _, stream| {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(Error::other("the client has gone"));
        }
        handle(&buffer[..count], &clock);
        Ok(())
    })?;
    el.set_name(reader, "reader");
    Ok(())
}

#[test]
fn g10_a_swallowed_error_spins() {
    let [written, cured] = play("swallowed_error", 120 * MS, misbehaves, cured);
    assert!(written.turns("reader").len() > 90 && written.journal.lines.is_empty());
    assert!(written.is_alive("reader"));
    assert_eq!(cured.turns("reader").len(), 1);
    let [report] = &cured.journal.lines[..] else { panic!("{:?}", cured.journal.lines) };
    assert!(report.contains("\"reader\"") && report.contains("the client has gone"), "{report}");
    assert!(!cured.is_alive("reader"));
}

/// Returns the server's side of a connection to a client that leaves after 15 ms.
fn leaving_client(el: &LoopHandle<Journal>) -> Result<UnixStream> {
    let (ours, client) = UnixStream::pair()?;
    el.call_later(15 * MS, move |_, _| hang_up(client));
    Ok(ours)
}

/// Stands for the handling of input.
fn handle(_: &[u8], clock: &SimClock) {
    work(clock, MS);
}

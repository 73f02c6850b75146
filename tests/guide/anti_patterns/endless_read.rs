//! A callback that reads until the client pauses (docs/contract.md, G10).

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::testing::SimClock;
use mainspring::{LoopHandle, Result};

use super::stage::{Journal, MS, heartbeat, play, work};

fn misbehaves(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let (stream, client) = Client::connect(el, clock)?;
    let reader = el.add_reader(stream, move |_, _, stream| {
        let mut buffer = [0; 1024];
        loop {
            // Ends when the client pauses.
            let count = stream.read(&mut buffer)?;
            client.serve(&buffer[..count])?;
        }
    })?;
    el.set_name(reader, "reader");
    Ok(())
}

fn cured(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    heartbeat(el, clock)?;
    let (stream, client) = Client::connect(el, clock)?;
    let reader = el.add_reader(stream, move |_, _, stream| {
        let mut buffer = [0; 1024];
        // The loop calls again if there is more.
        let count = stream.read(&mut buffer)?;
        client.serve(&buffer[..count])
    })?;
    el.set_name(reader, "reader");
    Ok(())
}

#[test]
fn g10_reading_without_end_stops_the_loop() {
    let [written, cured] = play("endless_read", 160 * MS, misbehaves, cured);
    assert_eq!(written.turns("reader"), [(15, 115)]);
    assert_eq!(written.journal.beats, [10, 115, 120, 130, 140, 150]);
    assert_eq!(cured.turns("reader").len(), 50);
    assert_eq!(cured.end("reader"), 115);
    let late: Vec<u128> = cured.journal.beats.iter().map(|beat| beat % 10).collect();
    assert!(late.iter().all(|late| *late <= 3) && late.len() == 15, "{late:?}");
}

/// A client that sends as fast as it is served, 50 times.
struct Client {
    stream: UnixStream,
    clock: SimClock,
    left: Cell<usize>,
}

impl Client {
    /// Returns the server's side of the connection, and the client, which begins after 15 ms.
    fn connect(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<(UnixStream, Rc<Client>)> {
        let (ours, stream) = UnixStream::pair()?;
        let client = Rc::new(Client { stream, clock: clock.clone(), left: Cell::new(50) });
        let begins = client.clone();
        el.call_later(15 * MS, move |_, _| begins.send());
        Ok((ours, client))
    }

    fn send(&self) -> Result<()> {
        if self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            (&self.stream).write_all(&[0; 1024])?;
        }
        Ok(())
    }

    /// Stands for the handling of a request: 2 ms, in which the client sends the next one.
    fn serve(&self, request: &[u8]) -> Result<()> {
        assert_eq!(request.len(), 1024);
        work(&self.clock, 2 * MS);
        self.send()
    }
}

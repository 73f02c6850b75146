//! The daemon of the page.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, Recorder, Result, Watchdog};

const MS: Duration = Duration::from_millis(1);

/// Counts the frames of a message. The first byte of a frame is its length.
fn count_frames(mut message: &[u8]) -> usize {
    let mut frames = 0;
    while let [length, ..] = message {
        message = message.get(usize::from(*length)..).unwrap_or_default();
        frames += 1;
    }
    frames
}

pub fn run(tape: &Path, clock: &SimClock) -> Result<()> {
    let recorder = Recorder::black_box(tape).turns(4096);
    let mut el = EventLoop::builder().clock(clock.clone()).record(recorder).build_with(0)?;
    let (stream, mut sensor) = UnixStream::pair()?;
    let frames = el.add_reader(stream, |_, frames, stream| {
        let mut message = [0; 64];
        let length = stream.read(&mut message)?;
        *frames += count_frames(&message[..length]);
        Ok(())
    })?;
    el.set_name(frames, "frames");
    let statistics = el.call_every(10 * MS, |_, _| {})?;
    el.set_name(statistics, "statistics");

    let backup_clock = clock.clone();
    let backup = el.call_later(25 * MS, move |_, _| backup_clock.advance(40 * MS));
    el.set_name(backup, "backup");

    let mut messages = 0;
    let poll = el.call_every(10 * MS, move |_, _| {
        messages += 1;
        let message: &[u8] = if messages < 12 { &[3, 1, 2, 2, 1] } else { &[0, 1] };
        sensor.write_all(message)?;
        Ok::<(), Error>(())
    })?;
    el.set_name(poll, "sensor");
    let _watchdog = Watchdog::new(el.heartbeat()).limit(100 * MS).spawn()?;
    el.run()
}

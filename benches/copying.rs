//! Copies through one thread: CPU time per megabyte, and system calls.
//!
//! A thread writes 64 MiB to one pair of sockets, another one reads them from a second pair, and
//! the copy between the pairs is measured. `read, write` is a loop by hand over a buffer of 64 KiB;
//! the ratio is relative to it. `splice` goes through a pipe of the given size. A file is copied to
//! a pair from the page cache.
//!
//! The CPU time is that of the copying thread. On a loopback it contains the kernel's work for the
//! receiver of TCP, which a network card would leave to another machine.

mod raw;
mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use mainspring::io::copy;
use mainspring::net::{self, ConnectedSocket};
use mainspring::{EventLoop, Io};
use raw::{send_by_hand, splice_through};
use support::figures::{Spread, figure};
use support::options::{Effort, Options};
use support::run;
use support::table::Table;

const BLOCK: usize = 64 * 1024;

/// A way to copy everything from the first descriptor to the second one. Returns the number of
/// system calls that moved bytes; zero if they are not counted.
type Copy = fn(OwnedFd, OwnedFd) -> usize;

const STREAMS: [(&str, Copy); 5] = [
    ("read, write", read_and_write),
    ("splice, 64 KiB", |from, to| splice_through(from, to, BLOCK)),
    ("splice, 256 KiB", |from, to| splice_through(from, to, 4 * BLOCK)),
    ("splice, 1 MiB", |from, to| splice_through(from, to, 16 * BLOCK)),
    ("io::copy", copy_streams),
];

const FILES: [(&str, Copy); 4] = [
    ("read, write", read_and_write),
    ("sendfile, 256 KiB", send_by_hand),
    ("io::copy", copy_file),
    ("send_file", send_file),
];

fn main() {
    run("copying", run_bench, |_, _| {});
}

fn run_bench(options: &Options) {
    let bytes = if options.effort == Effort::Smoke { BLOCK } else { 1024 * BLOCK };
    let path = std::env::temp_dir().join(format!("mainspring-copying-{}", std::process::id()));
    fs::write(&path, vec![7; bytes]).expect("a temporary file can be written");
    let open = || OwnedFd::from(File::open(&path).expect("the file exists"));
    for (family, pair) in [("TCP", tcp as fn() -> (OwnedFd, OwnedFd)), ("Unix", unix)] {
        let streams = |copy| streams_round(pair, bytes, copy);
        table(options, &format!("{family} to {family}"), &STREAMS, bytes, streams);
        let files = |copy| to_sink(pair, open(), copy);
        table(options, &format!("file to {family}"), &FILES, bytes, files);
    }
    fs::remove_file(&path).expect("the file exists");
}

/// Result of a round: CPU seconds, wall seconds, system calls.
type Round = (f64, f64, usize);

fn table(
    options: &Options,
    name: &str,
    ways: &[(&str, Copy)],
    bytes: usize,
    round: impl Fn(Copy) -> Round,
) {
    options.progress(name);
    let rounds: Vec<Vec<Round>> =
        (0..options.rounds).map(|_| ways.iter().map(|(_, copy)| round(*copy)).collect()).collect();
    let megabytes = bytes as f64 / 1e6;
    let mut table = Table::new(&[name, "CPU us a MB", "ratio", "MB/s", "calls a MB"]);
    for (index, (way, _)) in ways.iter().enumerate() {
        let cpu = Spread::of(rounds.iter().map(|round| round[index].0 * 1e6 / megabytes));
        let ratio = Spread::of(rounds.iter().map(|round| round[index].0 / round[0].0));
        let rate = Spread::of(rounds.iter().map(|round| megabytes / round[index].1));
        let calls = rounds[0][index].2 as f64 / megabytes;
        let calls = if calls > 0.0 { figure(calls) } else { String::new() };
        let cells = [figure(cpu.median), ratio.to_string(), figure(rate.median), calls];
        table.row([(*way).to_owned()].into_iter().chain(cells));
    }
    table.print(options);
}

fn tcp() -> (OwnedFd, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("it is bound");
    let client = TcpStream::connect(address).expect("a connection");
    (listener.accept().expect("a connection").0.into(), client.into())
}

fn unix() -> (OwnedFd, OwnedFd) {
    let (one, other) = UnixStream::pair().expect("a pair of sockets");
    (one.into(), other.into())
}

fn streams_round(pair: fn() -> (OwnedFd, OwnedFd), bytes: usize, copy: Copy) -> Round {
    let (from, source) = pair();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut source, block) = (File::from(source), vec![7; BLOCK]);
            for _ in 0..bytes / BLOCK {
                source.write_all(&block).expect("the copy reads");
            }
        });
        to_sink(pair, from, copy)
    })
}

/// Copies to a pair with a thread that reads.
fn to_sink(pair: fn() -> (OwnedFd, OwnedFd), from: OwnedFd, copy: Copy) -> Round {
    let (to, sink) = pair();
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut sink, mut buffer) = (File::from(sink), vec![0; 4 * BLOCK]);
            while sink.read(&mut buffer).expect("the copy writes") > 0 {}
        });
        let (start, cpu) = (Instant::now(), raw::cpu_of_this_thread());
        let calls = copy(from, to);
        let cpu = raw::cpu_of_this_thread() - cpu;
        (cpu.as_secs_f64(), start.elapsed().as_secs_f64(), calls)
    })
}

fn read_and_write(from: OwnedFd, to: OwnedFd) -> usize {
    let (mut from, mut to, mut buffer) = (File::from(from), File::from(to), vec![0; BLOCK]);
    let mut calls = 1;
    loop {
        match from.read(&mut buffer).expect("the source can be read") {
            0 => return calls,
            count => to.write_all(&buffer[..count]).expect("the sink reads"),
        }
        calls += 2;
    }
}

fn run_loop(copying: impl Future<Output = io::Result<()>>) {
    let mut el = EventLoop::new().expect("a loop");
    el.run_until_complete(copying).expect("it is not stopped").expect("both ends are open");
}

/// Takes over a file.
fn file(fd: OwnedFd) -> Io<File> {
    Io::new(File::from(fd)).expect("it can be watched")
}

fn copy_streams(from: OwnedFd, to: OwnedFd) -> usize {
    run_loop(async { Ok(copy(&**stream(from), &**stream(to)).await.map(drop)?) });
    0
}

fn copy_file(from: OwnedFd, to: OwnedFd) -> usize {
    run_loop(async { Ok(copy(file(from), &**stream(to)).await.map(drop)?) });
    0
}

fn send_file(from: OwnedFd, to: OwnedFd) -> usize {
    let file = File::from(from);
    run_loop(async { stream(to).send_file(&file, 0..u64::MAX).await.map(drop) });
    0
}

/// Returns a stream of the family of the socket.
fn stream(fd: OwnedFd) -> Box<dyn std::ops::Deref<Target = ConnectedSocket>> {
    let is_unix =
        net::UnixStream::from_std(fd.as_fd().try_clone_to_owned().expect("a copy").into())
            .is_ok_and(|stream| stream.local_addr().is_ok());
    if is_unix {
        return Box::new(net::UnixStream::from_std(fd.into()).expect("it can be watched"));
    }
    Box::new(net::TcpStream::from_std(fd.into()).expect("it can be watched"))
}

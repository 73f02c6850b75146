//! Datagrams of 64 bytes over the loopback, one by one and in batches: instructions in user space
//! and system calls for each.
//!
//! A column is the number of datagrams of a batch: all of them are sent by one call, or wait when
//! the socket is read. `sendto` and `recvfrom` are calls of std, one for each datagram. `SendBatch`
//! and `DatagramBatch` are those of mainspring-sys. `facts` are the ECN codepoint and the local
//! address. With GSO and GRO a batch is one message that the kernel splits, or has merged. The last
//! rows are whole ticks of a loop.
//!
//! Counts hardly vary between runs, so this bench measures no time. The other end of the socket is
//! in the same process, and is not counted.

mod raw;
mod support;

use std::net::UdpSocket;
use std::time::Duration;

use mainspring::EventLoop;
use mainspring::net::{Address, DatagramBatch, DatagramOptions, Ecn, Outgoing};
use mainspring_sys::socket::{SendBatch, enable_datagram_features};
use support::child::{Child, is_installed, run_requests};
use support::instructions::collected;
use support::options::{Effort, Options};
use support::table::Table;
use support::{Side, run};

const LENGTH: usize = 64;
const BATCHES: [usize; 3] = [1, 4, 32];
/// Numbers of datagrams of a short and of a long run. Start and end cancel out.
const RUNS: [u64; 2] = [3200, 9600];

/// Only the function `counted_part` is counted.
const CALLGRIND: [&str; 4] = [
    "valgrind",
    "--tool=callgrind",
    "--callgrind-out-file=/dev/null",
    "--toggle-collect=*counted_part*",
];
const STRACE: [&str; 5] = ["strace", "-f", "-c", "-U", "calls,name"];
const SENDING: &[&str] = &["sendto", "sendmsg", "sendmmsg"];
const RECEIVING: &[&str] =
    &["recvfrom", "recvmsg", "recvmmsg", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl"];

/// One step sends or receives a batch.
type Step = Box<dyn FnMut()>;

/// A way to send or to receive: its name, its system calls, and a function that sets it up for
/// batches of a size.
type Way = (&'static str, &'static [&'static str], fn(usize) -> Step);

const WAYS: [Way; 12] = [
    ("send: sendto", SENDING, send_plain),
    ("send: SendBatch", SENDING, |count| send_batch(count, false)),
    ("send: SendBatch, facts", SENDING, |count| send_batch(count, true)),
    ("send: SendBatch, GSO", SENDING, send_split),
    ("send: endpoint, send_to", SENDING, endpoint_send_to),
    ("send: endpoint, send_batch", SENDING, endpoint_send_batch),
    ("receive: recvfrom", RECEIVING, receive_plain),
    ("receive: DatagramBatch", RECEIVING, |count| receive_batch(count, DatagramOptions::default())),
    ("receive: DatagramBatch, facts", RECEIVING, |count| receive_batch(count, facts())),
    ("receive: DatagramBatch, GRO", RECEIVING, receive_merged),
    ("tick: reader, recvfrom", RECEIVING, tick_of_reader),
    ("tick: endpoint", RECEIVING, tick_of_endpoint),
];

fn main() {
    run("datagrams", run_bench, work);
}

fn run_bench(options: &Options) {
    if options.effort == Effort::Smoke {
        return WAYS.iter().for_each(|(_, _, set_up)| set_up(BATCHES[1])());
    }
    let count = |tool: &[&str], what, figure: fn(&str, Way, usize) -> f64, digits| {
        if !is_installed(tool[0]) {
            return println!("skipped: {} is not installed", tool[0]);
        }
        let mut table = Table::new(&[what, "1", "4", "32"]);
        for way in WAYS {
            options.progress(&format!("{what}, {}", way.0));
            let figures = BATCHES.map(|batch| {
                let [few, many] =
                    RUNS.map(|datagrams| figure(&report(tool, way, batch, datagrams), way, batch));
                format!("{:.digits$}", (many - few) / (RUNS[1] - RUNS[0]) as f64)
            });
            table.row([way.0.to_owned()].into_iter().chain(figures));
        }
        table.print(options);
    };
    count(&CALLGRIND, "instructions for a datagram", |report, _, _| collected(report), 0);
    count(&STRACE, "system calls for a datagram", |report, way, _| calls(report, way.1), 3);
}

/// Returns the report of a tool about a worker that sends or receives this number of datagrams.
fn report(tool: &[&str], way: Way, batch: usize, datagrams: u64) -> String {
    let mut child = Child::start_under(tool, &[way.0, &batch.to_string()], Side::Mainspring);
    child.request(BATCHES[2]); // Lets memory grow.
    child.request(datagrams);
    child.end()
}

/// Returns the number of calls with one of these names in the report of strace.
fn calls(report: &str, names: &[&str]) -> f64 {
    let counts = report.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        names.contains(&name.trim()).then(|| count.parse::<f64>().ok())?
    });
    counts.sum()
}

fn work(words: &[String], _: Side) {
    let [name, batch] = words else { panic!("a way and the size of a batch: {words:?}") };
    let batch = batch.parse().expect("the size of a batch");
    let (.., set_up) = WAYS.iter().find(|way| way.0 == name).expect("the name of a way");
    let mut step = set_up(batch);
    run_requests(|datagrams| {
        (0..datagrams / batch as u64).for_each(|_| step());
        datagrams
    });
}

/// Runs the part of a step that is counted.
#[inline(never)]
fn counted_part(part: &mut dyn FnMut()) {
    part();
}

/// Returns two sockets, the second one connected to the first one, and its address.
fn sockets() -> (UdpSocket, UdpSocket, Address) {
    let [ours, theirs] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    theirs.connect(ours.local_addr().expect("it is bound")).expect("an address of the loopback");
    let to = theirs.local_addr().expect("it is bound").into();
    (ours, theirs, to)
}

/// Receives what was sent, by calls that are not counted.
fn drain(peer: &UdpSocket, count: usize) {
    for _ in 0..count {
        rustix::io::read(peer, &mut [0; LENGTH]).expect("a datagram");
    }
}

/// Sends datagrams for a step that receives, by calls that are not counted.
fn fill(peer: &UdpSocket, count: usize) {
    for _ in 0..count {
        rustix::io::write(peer, &[7; LENGTH]).expect("room for a datagram");
    }
}

fn facts() -> DatagramOptions {
    DatagramOptions { packet_info: true, ecn: true, ..DatagramOptions::default() }
}

fn send_plain(count: usize) -> Step {
    let (ours, theirs, to) = sockets();
    let to = to.as_inet().expect("an address of UDP");
    Box::new(move || {
        counted_part(&mut || {
            for _ in 0..count {
                ours.send_to(&[7; LENGTH], to).expect("room");
            }
        });
        drain(&theirs, count);
    })
}

fn send_batch(count: usize, has_facts: bool) -> Step {
    let (ours, theirs, to) = sockets();
    let ip = to.as_inet().expect("an address of UDP").ip();
    let mut batch = SendBatch::new();
    Box::new(move || {
        let plain = Outgoing::new(&[7; LENGTH]).to(&to);
        let datagram = if has_facts { plain.ecn(Ecn::Ect0).from(ip) } else { plain };
        let datagrams = [datagram; BATCHES[2]];
        counted_part(&mut || {
            batch.send(&ours, datagrams[..count].iter().copied()).expect("room");
        });
        drain(&theirs, count);
    })
}

fn send_split(count: usize) -> Step {
    let (ours, theirs, to) = sockets();
    let (mut batch, bytes) = (SendBatch::new(), vec![7; count * LENGTH]);
    Box::new(move || {
        counted_part(&mut || {
            let datagram = Outgoing::new(&bytes).to(&to).segment(LENGTH);
            batch.send(&ours, [datagram]).expect("room");
        });
        drain(&theirs, count);
    })
}

fn endpoint_send_to(count: usize) -> Step {
    let (ours, theirs, to) = sockets();
    let el = EventLoop::new().expect("a loop");
    let endpoint = el.attach_datagram(ours, |_, _, _, _| Ok(())).expect("an endpoint");
    Box::new(move || {
        _ = &el;
        counted_part(&mut || (0..count).for_each(|_| endpoint.send_to(&[7; LENGTH], &to)));
        drain(&theirs, count);
    })
}

fn endpoint_send_batch(count: usize) -> Step {
    let (ours, theirs, to) = sockets();
    let el = EventLoop::new().expect("a loop");
    let endpoint = el.attach_datagram(ours, |_, _, _, _| Ok(())).expect("an endpoint");
    Box::new(move || {
        _ = &el;
        let datagrams = [Outgoing::new(&[7; LENGTH]).to(&to); BATCHES[2]];
        counted_part(&mut || endpoint.send_batch(&datagrams[..count]));
        drain(&theirs, count);
    })
}

fn receive_plain(count: usize) -> Step {
    let (ours, theirs, _) = sockets();
    Box::new(move || {
        fill(&theirs, count);
        counted_part(&mut || {
            for _ in 0..count {
                ours.recv_from(&mut [0; LENGTH]).expect("a datagram");
            }
        });
    })
}

fn receive_batch(count: usize, options: DatagramOptions) -> Step {
    let (ours, theirs, _) = sockets();
    let features = enable_datagram_features(&ours, &options).expect("a socket");
    let mut batch = DatagramBatch::new(BATCHES[2], LENGTH);
    Box::new(move || {
        fill(&theirs, count);
        counted_part(&mut || {
            assert_eq!(batch.recv(&ours, features).expect("datagrams"), count);
            batch.iter().for_each(|datagram| assert_eq!(datagram.bytes.len(), LENGTH));
        });
    })
}

fn receive_merged(count: usize) -> Step {
    let (ours, theirs, _) = sockets();
    let options = DatagramOptions { gro: true, ..facts() };
    let features = enable_datagram_features(&ours, &options).expect("a socket");
    let (mut batch, mut sending) = (DatagramBatch::new(4, 1 << 16), SendBatch::new());
    let bytes = vec![7; count * LENGTH];
    Box::new(move || {
        sending.send(&theirs, [Outgoing::new(&bytes).segment(LENGTH)]).expect("room");
        let mut segments = 0;
        counted_part(&mut || {
            batch.recv(&ours, features).expect("datagrams");
            segments = batch.iter().map(|datagram| datagram.segments().count()).sum();
        });
        assert_eq!(segments, count);
    })
}

fn tick_of_reader(count: usize) -> Step {
    let (ours, theirs, _) = sockets();
    let el = EventLoop::with_state(0_usize).expect("a loop");
    ours.set_nonblocking(true).expect("a socket");
    el.add_reader(ours, |_, seen, ours| {
        loop {
            ours.recv_from(&mut [0; LENGTH])?; // Ends with `WouldBlock`, which is no error here.
            *seen += 1;
        }
    })
    .expect("a reader");
    tick_step(el, theirs, count)
}

fn tick_of_endpoint(count: usize) -> Step {
    let (ours, theirs, _) = sockets();
    let el = EventLoop::with_state(0_usize).expect("a loop");
    el.attach_datagram(ours, |_, seen, _, datagram| {
        *seen += usize::from(datagram.bytes.len() == LENGTH);
        Ok(())
    })
    .expect("an endpoint");
    tick_step(el, theirs, count)
}

/// Returns a step in which a tick receives `count` datagrams.
fn tick_step(mut el: EventLoop<usize>, peer: UdpSocket, count: usize) -> Step {
    Box::new(move || {
        *el.state_mut() = 0;
        fill(&peer, count);
        counted_part(&mut || _ = el.tick(Some(Duration::ZERO)).expect("a tick"));
        assert_eq!(*el.state(), count);
    })
}

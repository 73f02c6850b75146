//! The hand-written loop: epoll only. It is shared with the benches in the folder above.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use super::peer::{Peer, Works};
use crate::raw;
use crate::work::echo::listener;
use crate::work::pipes::{Chain, full_pipes, pipes};
use crate::work::post::{Inbox, Traffic, round_trips, throughput};
use crate::work::{BATCH, cpu, run_requests, since, since_for};

pub const PEER: Peer = Peer::with_version("raw", "(epoll)", WORKS);

const WORKS: Works = &[
    ("echo", echo),
    ("chain", chain),
    ("batch", batch),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
    ("dispatch", dispatch),
    ("pipes", watch_pipes),
];

fn echo(_: &[usize]) {
    raw::serve(listener().into()).expect("epoll works");
}

fn chain(_: &[usize]) {
    fn link(soon: &mut raw::SoonQueue<u64>, seen: &mut u64) {
        *seen += 1;
        soon.push(link);
    }
    let mut el = raw::Loop::new(0u64).expect("epoll works");
    el.soon.push(link);
    run_requests(|count| {
        let before = cpu();
        el.state = 0;
        while el.state < count {
            el.tick().expect("epoll works");
        }
        [since(before)]
    });
}

fn batch(_: &[usize]) {
    let mut el = raw::Loop::new(0u64).expect("epoll works");
    run_requests(|count| {
        let before = cpu();
        for _ in 0..count.div_ceil(BATCH) {
            for number in 0..BATCH {
                el.soon.push(move |_, sum| *sum = sum.wrapping_add(number));
            }
            el.tick().expect("epoll works");
        }
        [since(before)]
    });
}

/// A list behind a lock, and an eventfd to wake the loop.
fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    let wakeup = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
    let (wakeup, inbox) = (Arc::new(wakeup), Arc::new(Inbox::default()));
    let (waking, queue) = (Arc::clone(&wakeup), Arc::clone(&inbox));
    let mut el = raw::Loop::new(0u64).expect("epoll works");
    let (fd, mut taken) = (wakeup.as_raw_fd(), Vec::new());
    let receive = move |sum: &mut u64| {
        read(&wakeup, &mut [0; 8]).expect("the eventfd was written");
        inbox.take(&mut taken);
        taken.drain(..).for_each(|message| message.receive(sum));
    };
    el.add_reader(fd, receive).expect("an eventfd can be watched");
    let thread = traffic.start(move |message| {
        if queue.push(message) {
            write(&waking, &1u64.to_ne_bytes()).expect("an eventfd can be written");
        }
    });
    while el.state < traffic.count {
        el.tick().expect("epoll works");
    }
    thread
}

fn dispatch(sizes: &[usize]) {
    let (readers, _writers) = full_pipes(sizes[0]);
    let mut el = raw::Loop::new(0u64).expect("epoll works");
    for reader in &readers {
        el.add_reader(reader.as_raw_fd(), |seen| *seen += 1).expect("a pipe can be watched");
    }
    run_requests(|count| {
        let before = cpu();
        el.state = 0;
        while el.state < count {
            el.tick().expect("epoll works");
        }
        [since_for(before, count, el.state)]
    });
}

fn watch_pipes(sizes: &[usize]) {
    let (readers, writers) = pipes(sizes[0]);
    let mut el = raw::Loop::new(Chain::new(writers)).expect("epoll works");
    for (index, reader) in readers.into_iter().enumerate() {
        let fd = reader.as_raw_fd();
        let pass_on = move |chain: &mut Chain| chain.pass_on(index, &reader);
        el.add_reader(fd, pass_on).expect("a pipe can be watched");
    }
    run_requests(|events| {
        let before = cpu();
        el.state.start(sizes[1], events);
        while !el.state.is_at_end() {
            el.tick().expect("epoll works");
        }
        [since(before)]
    });
}

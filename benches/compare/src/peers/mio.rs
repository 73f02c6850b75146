//! mio: edge-triggered events, without a loop above them.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::peer::{Peer, Works};
use crate::work::echo::{BUFFER, Echo, listener};
use crate::work::pipes::{Chain, pipes};
use crate::work::post::{Inbox, Traffic, round_trips, throughput};
use crate::work::{cpu, run_requests, since};

pub const PEER: Peer = Peer::rust("mio", WORKS);

const WORKS: Works = &[
    ("echo", echo),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
    ("pipes", watch_pipes),
];

const EVENTS: usize = 1024;
const LISTENER: Token = Token(usize::MAX);

fn echo(_: &[usize]) {
    let mut poll = Poll::new().expect("a selector");
    let mut listener = TcpListener::from_std(listener());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).expect("a source");
    let (mut connections, mut free) = (Vec::new(), Vec::new());
    let (mut events, mut buffer) = (Events::with_capacity(EVENTS), vec![0; BUFFER]);
    loop {
        poll.poll(&mut events, None).expect("the selector works");
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections, &mut free);
                continue;
            }
            let Token(slot) = event.token();
            let Some(connection) = &mut connections[slot] else { continue };
            if !serve(connection, event, &mut buffer) {
                connections[slot] = None; // Closing the socket deregisters it.
                free.push(slot);
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Vec<Option<(TcpStream, Echo)>>,
    free: &mut Vec<usize>,
) {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("accept: {error}"),
        };
        let slot = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(slot), both).expect("a source");
        connections[slot] = Some((stream, Echo::default()));
    }
}

/// Serves an event, and returns true if the connection stays open. An edge is reported once, so
/// this reads until the socket is empty.
fn serve((stream, echo): &mut (TcpStream, Echo), event: &Event, buffer: &mut [u8]) -> bool {
    if event.is_writable() {
        if echo.writable(&*stream).is_err() {
            return false;
        }
        echo.interest(); // Resumes reading if the queue is short: no new edge will come.
    }
    loop {
        match echo.readable(&*stream, buffer) {
            Err(_) => return false,
            Ok(more) if !more && !event.is_read_closed() => break,
            Ok(_) if echo.interest().0 => {}
            Ok(_) => break,
        }
    }
    echo.interest() != (false, false)
}

/// A list behind a lock, and a waker of mio.
fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    let mut poll = Poll::new().expect("a selector");
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).expect("a waker"));
    let inbox = Arc::new(Inbox::default());
    let (queue, waking) = (Arc::clone(&inbox), Arc::clone(&waker));
    let thread = traffic.start(move |message| {
        if queue.push(message) {
            waking.wake().expect("the selector is there");
        }
    });
    let (mut events, mut taken, mut sum) = (Events::with_capacity(EVENTS), Vec::new(), 0);
    while sum < traffic.count {
        poll.poll(&mut events, None).expect("the selector works");
        inbox.take(&mut taken);
        taken.drain(..).for_each(|message| message.receive(&mut sum));
    }
    thread
}

fn watch_pipes(sizes: &[usize]) {
    let (readers, writers) = pipes(sizes[0]);
    let (mut poll, chain) = (Poll::new().expect("a selector"), Chain::new(writers));
    for (index, reader) in readers.iter().enumerate() {
        let fd = reader.as_raw_fd();
        let (mut source, token) = (SourceFd(&fd), Token(index));
        poll.registry().register(&mut source, token, Interest::READABLE).expect("a source");
    }
    let mut events = Events::with_capacity(EVENTS);
    run_requests(|count| {
        let before = cpu();
        chain.start(sizes[1], count);
        while !chain.is_at_end() {
            poll.poll(&mut events, None).expect("the selector works");
            for event in &events {
                let Token(index) = event.token();
                chain.pass_on(index, &readers[index]);
            }
        }
        [since(before)]
    });
}

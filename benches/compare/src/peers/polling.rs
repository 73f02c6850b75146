//! polling: a level-triggered poller.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use polling::{Event, Events, PollMode, Poller};

use super::peer::{Peer, Works};
use crate::work::echo::{BUFFER, Backlog, Echo, listener};
use crate::work::pipes::{Chain, full_pipes, pipes};
use crate::work::post::{Inbox, Traffic, round_trips, throughput};
use crate::work::{cpu, run_requests, since, since_for};

pub const PEER: Peer = Peer::rust("polling", WORKS);

const WORKS: Works = &[
    ("echo", echo),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
    ("dispatch", dispatch),
    ("pipes", watch_pipes),
];

/// Key of the listener. The key of a connection is its index.
const LISTENER: usize = usize::MAX - 1;

/// Interest in reading and in writing.
type BothInterests = (bool, bool);

/// Adds a source. The caller must delete it before it is closed.
fn add(poller: &Poller, source: &impl AsRawFd, interest: Event) {
    // SAFETY: all sources here are deleted before they are closed, or live until the process ends.
    unsafe { poller.add_with_mode(source, interest, PollMode::Level) }.expect("a source");
}

struct Server {
    poller: Poller,
    listener: TcpListener,
    /// Connections with their current interest; `None` if the slot is free.
    connections: Vec<Option<(TcpStream, Echo, BothInterests)>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    tick: u64,
    backlog: Backlog,
}

fn echo(_: &[usize]) {
    let (poller, listener) = (Poller::new().expect("a poller"), listener());
    add(&poller, &listener, Event::readable(LISTENER));
    let (connections, free, buffer) = (Vec::new(), Vec::new(), vec![0; BUFFER]);
    let (tick, backlog) = (0, Backlog::default());
    let mut server = Server { poller, listener, connections, free, buffer, tick, backlog };
    let mut events = Events::new();
    loop {
        events.clear();
        server.poller.wait(&mut events, None).expect("the poller works");
        server.tick += 1;
        for event in events.iter() {
            match event.key {
                LISTENER => server.accept(),
                slot => server.serve(slot, event),
            }
        }
    }
}

impl Server {
    fn accept(&mut self) {
        for _ in 0..self.backlog.batch(self.tick) {
            let Ok((stream, _)) = self.listener.accept() else { return };
            stream.set_nonblocking(true).expect("an option of a socket");
            let slot = self.free.pop().unwrap_or(self.connections.len());
            add(&self.poller, &stream, Event::readable(slot));
            if slot == self.connections.len() {
                self.connections.push(None);
            }
            self.connections[slot] = Some((stream, Echo::default(), (true, false)));
        }
    }

    fn serve(&mut self, slot: usize, event: Event) {
        let Some((stream, echo, interest)) = &mut self.connections[slot] else { return };
        let mut lives = true;
        if event.readable {
            lives = echo.readable(&*stream, &mut self.buffer).is_ok();
        }
        if event.writable {
            lives = lives && echo.writable(&*stream).is_ok();
        }
        let wanted = echo.interest();
        if !lives || wanted == (false, false) {
            self.poller.delete(&*stream).expect("a source");
            self.connections[slot] = None;
            self.free.push(slot);
        } else if wanted != *interest {
            *interest = wanted;
            let event = Event::new(slot, wanted.0, wanted.1);
            self.poller.modify_with_mode(&*stream, event, PollMode::Level).expect("a source");
        }
    }
}

/// A list behind a lock, and a notification of the poller.
fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    let poller = Arc::new(Poller::new().expect("a poller"));
    let inbox = Arc::new(Inbox::default());
    let (queue, notified) = (Arc::clone(&inbox), Arc::clone(&poller));
    let thread = traffic.start(move |message| {
        if queue.push(message) {
            notified.notify().expect("the poller is there");
        }
    });
    let (mut events, mut taken, mut sum) = (Events::new(), Vec::new(), 0);
    while sum < traffic.count {
        events.clear();
        poller.wait(&mut events, None).expect("the poller works");
        inbox.take(&mut taken);
        taken.drain(..).for_each(|message| message.receive(&mut sum));
    }
    thread
}

fn dispatch(sizes: &[usize]) {
    let (poller, mut events) = (Poller::new().expect("a poller"), Events::new());
    let (readers, _writers) = full_pipes(sizes[0]);
    for (index, reader) in readers.iter().enumerate() {
        add(&poller, reader, Event::readable(index));
    }
    run_requests(|count| {
        let (before, mut seen) = (cpu(), 0);
        while seen < count {
            events.clear();
            poller.wait(&mut events, None).expect("the poller works");
            events.iter().for_each(|event| seen += u64::from(event.readable));
        }
        [since_for(before, count, seen)]
    });
}

fn watch_pipes(sizes: &[usize]) {
    let (poller, mut events) = (Poller::new().expect("a poller"), Events::new());
    let (readers, writers) = pipes(sizes[0]);
    for (index, reader) in readers.iter().enumerate() {
        add(&poller, reader, Event::readable(index));
    }
    let chain = Chain::new(writers);
    run_requests(|count| {
        let before = cpu();
        chain.start(sizes[1], count);
        while !chain.is_at_end() {
            events.clear();
            poller.wait(&mut events, None).expect("the poller works");
            events.iter().for_each(|event| chain.pass_on(event.key, &readers[event.key]));
        }
        [since(before)]
    });
}

//! Memory of idle connections, and memory given back by a connection that was busy
//! (docs/contract.md, S2, G8).
//!
//! A counting allocator wraps the system's. It counts for each thread, because tests run in
//! parallel.
// `Ok(*calls += 1)` keeps a callback that only counts on one line.
#![allow(clippy::unit_arg)]
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mainspring::net::{Address, ListenOptions, Protocol, Server, Transport, listen};
use mainspring::{EventLoop, LoopHandle, Result, SelectorKind};

use support::descriptors::has_room_for;
use support::process::alone;

/// The fixtures of the contract.
#[allow(dead_code, unused_imports)]
#[path = "contract/support/mod.rs"]
mod support;

thread_local! {
    /// Bytes in use by this thread.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Fails while the thread ends, because its count is gone.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

struct Counting;

// SAFETY: every call is passed to the system's allocator unchanged, and so is its result. Counting
// uses a constant-initialised thread-local without a destructor, so it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same for `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the block was allocated by `System`, like all blocks here, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn settle(el: &mut EventLoop) {
    for _ in 0..100_000 {
        if el.tick(Some(Duration::ZERO)).unwrap() == 0 {
            return;
        }
    }
    panic!("the loop does not become idle");
}

/// Returns the selector kinds that support enough descriptors for these tests. select(2) ends at
/// 1024.
fn kinds() -> impl Iterator<Item = SelectorKind> {
    SelectorKind::available().iter().copied().filter(|kind| *kind != SelectorKind::Select)
}

/// Connects clients until the server has `wanted` connections.
fn connect(el: &mut EventLoop, server: &Server, clients: &mut Vec<TcpStream>, wanted: usize) {
    let address = server.local_addr().unwrap().as_inet().unwrap();
    while server.connections() < wanted {
        clients.push(TcpStream::connect(address).unwrap());
        settle(el);
    }
}

/// Number of connections that are measured, after the first few.
const MANY: usize = 1000;

fn measure(name: &str, serve: impl Fn(&EventLoop, std::os::fd::OwnedFd) -> Server) -> usize {
    const FEW: usize = 24;
    let mut worst = 0;
    for kind in kinds() {
        let mut el = EventLoop::builder().await_lines(false).selector(kind).build().unwrap();
        let any = Address::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = serve(&el, listen(&any, &ListenOptions::default()).unwrap());
        let mut clients = Vec::with_capacity(MANY);
        // The first connections also pay for shared memory, above all the read buffer.
        connect(&mut el, &server, &mut clients, FEW);
        clients[0].write_all(b"x").unwrap();
        settle(&mut el);
        let before = HELD.get();
        connect(&mut el, &server, &mut clients, MANY);
        let each = (HELD.get() - before) as usize / (MANY - FEW);
        println!("{name}: {each} bytes for an idle connection on {kind}");
        worst = worst.max(each);
        drop(clients);
        while server.connections() > 0 {
            el.tick(None).unwrap(); // The network may deliver the ends later.
        }
    }
    worst
}

/// Protocol without fields.
struct Listening;

impl Protocol<()> for Listening {
    fn data_received(&mut self, _: &LoopHandle, _: &mut (), _: &Transport, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// P117.
#[test]
fn g8_p117_an_idle_connection_costs_less_than_500_bytes() {
    if !has_room_for(5 * MANY as u64) {
        return;
    }
    let closure = measure("serve", |el, fd| el.serve(fd, |_, _, _, _| Ok(())).unwrap());
    let protocol = measure("serve_with", |el, fd| el.serve_with(fd, || Listening).unwrap());
    assert!(closure <= 500 && protocol <= 500, "{closure} and {protocol} bytes");
}

/// Number of entries in the measurements of the guide. Tables grow to powers of two, so that each
/// is full.
const ENTRIES: usize = 1024;

/// Returns a loop on the selector of the measurements.
fn loop_on_epoll() -> EventLoop {
    EventLoop::builder().await_lines(false).selector(SelectorKind::Epoll).build().unwrap()
}

/// Returns the bytes that each entry holds which `add` registers.
fn bytes_of_each<T>(mut add: impl FnMut(&EventLoop) -> T) -> usize {
    let mut el = loop_on_epoll();
    settle(&mut el);
    let mut kept = Vec::with_capacity(ENTRIES);
    let before = HELD.get();
    kept.extend((0..ENTRIES).map(|_| add(&el)));
    (HELD.get() - before) as usize / ENTRIES
}

/// Returns the bytes of each kind, as the table of the guide names it.
fn measured() -> Vec<(&'static str, usize)> {
    const HOUR: Duration = Duration::from_secs(3600);
    drop(loop_on_epoll()); // The first loop also pays for what all loops share.
    let before = HELD.get();
    let el = loop_on_epoll();
    let of_loop = (HELD.get() - before) as usize;
    drop(el);
    let (pipe, _writer) = std::io::pipe().unwrap();
    vec![
        ("a loop, with room for 1024 events", of_loop),
        ("a callback of `call_soon`", bytes_of_each(|el| el.call_soon(|_, ()| {}))),
        ("a timer of `call_later`", bytes_of_each(|el| el.call_later(HOUR, |_, ()| {}))),
        (
            "a reader of `add_reader`",
            bytes_of_each(|el| {
                el.add_reader(pipe.try_clone().unwrap(), |_, (), _| Ok(())).unwrap()
            }),
        ),
        ("a task of 8 bytes that waits", bytes_of_each(|el| el.spawn(wait_with(7)).detach())),
        ("a task that sleeps", bytes_of_each(|el| el.spawn(mainspring::sleep(HOUR)).detach())),
    ]
}

/// Waits without end, with a number as the only value that the future keeps.
async fn wait_with(number: u64) {
    std::future::pending::<()>().await;
    println!("{number}");
}

/// The guide states the measured bytes, or at most a quarter more. They are measured in a separate
/// process: a reader's bytes depend on the numbers of the descriptors that are open.
#[test]
fn g8_the_guide_states_the_memory_of_each_kind() {
    if !SelectorKind::available().contains(&SelectorKind::Epoll) {
        return println!("skipped: the figures of the guide are of epoll");
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/guide/where_memory_lies/bytes.md");
    let page = std::fs::read_to_string(page).unwrap();
    alone("g8_the_guide_states_the_memory_of_each_kind", || {
        if !has_room_for(2 * ENTRIES as u64) {
            return;
        }
        let measured = measured();
        println!("{measured:#?}");
        for (kind, bytes) in measured {
            let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {kind} | ")));
            let stated = row.and_then(|row| row.split(' ').next()).expect(kind);
            let stated: usize = stated.replace(',', "").parse().unwrap();
            assert!(bytes <= stated && stated <= bytes * 5 / 4, "{kind}: {bytes}, not {stated}");
        }
    });
}

/// The memory of a long queue is given back when the queue is empty.
#[test]
fn s2_a_slow_connection_frees_its_queue() {
    for kind in kinds() {
        let mut el = EventLoop::builder().await_lines(false).selector(kind).build().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let conn = el.attach(ours, |_, _, _, _| Ok(())).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let text = vec![0; 10 << 20];
        settle(&mut el);
        let before = HELD.get();
        conn.write(&text);
        assert!(conn.queued() > 9 << 20);
        assert!(HELD.get() - before >= conn.queued() as isize, "the allocator counts");
        while conn.queued() > 0 {
            while theirs.read(&mut buffer).is_ok() {}
            settle(&mut el);
        }
        let kept = HELD.get() - before;
        println!("{kept} bytes kept on {kind}");
        assert!(kept <= 8 * 1024, "{kept} bytes kept on {kind}");
        conn.close();
        settle(&mut el);
    }
}

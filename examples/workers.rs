//! An echo daemon on all cores: one loop per core, nothing shared.
//!
//! ```text
//! cargo run --release --example workers -- [ADDR] [--workers N] [--handover]
//! ```
//!
//! A worker is a thread with its own loop, clients and counters, so no lock is needed. Each worker
//! has its own listener on the same address (`SO_REUSEPORT`), and Linux distributes the clients by
//! a hash of both addresses. With `--handover`, which works on all systems, the main loop accepts.
//! It sends the connections to the workers in turn, through their [`Remote`]s.
//!
//! It prints `listening on ADDR` when it is ready. On SIGINT or SIGTERM it stops accepting, gives
//! its clients at most five seconds to finish, prints the counts of each worker and exits. A second
//! signal ends it at once.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{self, SocketAddr};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mainspring::net::{ListenOptions, Server, TcpListener, Transport, listen};
use mainspring::{Error, EventLoop, LoopHandle, PanicPolicy, Remote, Result, Shutdown, Signal};

const DRAIN: Duration = Duration::from_secs(5);

/// State of a worker's loop.
#[derive(Default)]
struct Worker {
    server: Option<Server>,
    handed_over: u64,
    bytes: u64,
}

/// State of the main loop.
#[derive(Default)]
struct Daemon {
    workers: Vec<Remote<Worker>>,
    shutdown: Shutdown,
}

/// Remote of a worker, and its thread, which returns the numbers of connections and bytes.
type Started = (Remote<Worker>, JoinHandle<Result<(u64, u64)>>);

struct Options {
    address: SocketAddr,
    workers: usize,
    handover: bool,
}

fn main() -> ExitCode {
    match Options::from_args(env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workers: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut el = EventLoop::with_state(Daemon::default())?;
    let acceptor = if options.handover { Some(TcpListener::bind(options.address)?) } else { None };
    let mut address = acceptor.as_ref().map_or(Ok(options.address), TcpListener::local_addr)?;

    let (mut remotes, mut threads) = (Vec::new(), Vec::new());
    for _ in 0..options.workers {
        let listener = if options.handover { None } else { Some(share(&mut address)?) };
        let (remote, thread) = start(listener, el.remote())?;
        el.state_mut().workers.push(remote.background());
        remotes.push(remote);
        threads.push(thread);
    }
    let shutdown = el.state().shutdown.clone();
    match acceptor {
        Some(listener) => el.spawn(hand_over(listener, remotes, shutdown)).detach(),
        None => drop(remotes), // Their servers keep the workers alive.
    }
    for signal in [Signal::INT, Signal::TERM] {
        let handler = el.add_signal_handler(signal, on_signal)?;
        el.set_background(handler); // The daemon ends when its workers are gone.
    }
    println!("listening on {address}");
    io::stdout().flush()?;
    el.run()?;
    report(threads)
}

/// Returns a listener at the address, which other listeners of this user may share. The first one
/// gets its port from the kernel.
fn share(address: &mut SocketAddr) -> Result<net::TcpListener> {
    let mut options = ListenOptions::default();
    options.bind.reuse_port = true;
    let listener = net::TcpListener::from(listen(*address, &options)?);
    *address = listener.local_addr()?;
    Ok(listener)
}

/// Starts a thread with a loop. Returns once its remote is available.
fn start(listener: Option<net::TcpListener>, daemon: Remote<Daemon>) -> Result<Started> {
    let (ready, started) = channel();
    let thread = thread::Builder::new().spawn(move || {
        // A panic caused by one client must not end the others.
        let builder = EventLoop::builder().panic_policy(PanicPolicy::Report);
        let mut el = builder.build_with(Worker::default())?;
        el.state_mut().server = listener.map(|listener| el.serve(listener, echo)).transpose()?;
        let _ = ready.send(el.remote()); // The main loop is waiting for it.
        let ended = el.run();
        // A daemon without one of its workers should not continue: it ends, and its supervisor can
        // restart it.
        daemon.call_soon(drain)?;
        let Worker { server, handed_over, bytes } = el.state();
        let accepted = server.as_ref().map_or(0, Server::accepted);
        ended.map(|()| (accepted + handed_over, *bytes))
    })?;
    let Ok(remote) = started.recv() else { return Err(join(thread).unwrap_err()) };
    Ok((remote, thread))
}

/// Accepts until the shutdown begins or the listener fails. The remotes keep the workers alive, and
/// so do their clients.
async fn hand_over(from: TcpListener, to: Vec<Remote<Worker>>, shutdown: Shutdown) -> Result<()> {
    for worker in to.iter().cycle() {
        let Some(accepted) = shutdown.until_started(from.accept()).await else { break };
        let conn = accepted?.0.into_socket();
        worker.call_soon(move |el, worker| {
            worker.handed_over += 1;
            el.attach(conn, echo).map(drop)
        })?;
    }
    Ok(())
}

fn echo(_: &LoopHandle<Worker>, worker: &mut Worker, conn: &Transport, data: &[u8]) -> Result<()> {
    worker.bytes += data.len() as u64;
    conn.write(data);
    Ok(())
}

/// Handles SIGINT and SIGTERM. The first signal lets the clients finish. The second one ends them
/// at once.
fn on_signal(el: &LoopHandle<Daemon>, daemon: &mut Daemon) {
    if !daemon.shutdown.is_started() {
        return drain(el, daemon);
    }
    for worker in &daemon.workers {
        let _ = worker.stop(); // Fails if the worker has already ended.
    }
}

fn drain(_: &LoopHandle<Daemon>, daemon: &mut Daemon) {
    daemon.shutdown.begin(DRAIN);
    for worker in &daemon.workers {
        let _ = worker.call_soon(|el, worker| {
            worker.server.iter().for_each(Server::close);
            let limit = el.call_later(DRAIN, |el, _| el.stop());
            el.set_background(limit);
        });
    }
}

fn report(threads: Vec<JoinHandle<Result<(u64, u64)>>>) -> Result<()> {
    let mut total = (0, 0);
    for (number, thread) in (1..).zip(threads) {
        let (connections, bytes) = join(thread)?;
        println!("worker {number}: {connections} connections, {bytes} bytes");
        total = (total.0 + connections, total.1 + bytes);
    }
    println!("total: {} connections, {} bytes", total.0, total.1);
    Ok(())
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::other("a worker has panicked")))
}

impl Options {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Options> {
        let (mut address, mut handover) = (None, false);
        let mut workers = thread::available_parallelism()?;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--handover" => handover = true,
                "--workers" => {
                    let count = args.next().unwrap_or_default();
                    workers = count.parse().map_err(|error| bad(&arg, error))?;
                }
                _ if address.is_some() => return Err(bad(&arg, "one address is enough")),
                _ => address = Some(arg.parse().map_err(|error| bad(&arg, error))?),
            }
        }
        let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(Options { address, workers: workers.get(), handover })
    }
}

fn bad(arg: &str, why: impl Display) -> Error {
    Error::other(format!("{arg}: {why}; usage: [IP:PORT] [--workers N] [--handover]"))
}

//! The echo daemon of `echo`, written with tasks. Command line and behaviour are the same, so the
//! two can be read side by side.
//!
//! ```text
//! cargo run --release --example echo_tasks -- [ADDR] [--unix PATH] [--selector KIND]
//! ```
//!
//! It prints `listening on ADDR` when it is ready. On SIGINT or SIGTERM it stops accepting, gives
//! its clients at most five seconds to finish, prints its counts and exits. A second signal ends it
//! at once.

use std::cell::Cell;
use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{Address, ConnectedSocket, ListenOptions, TcpListener, UnixListener, listen};
use mainspring::{EventLoop, Result, Shutdown, Signal, spawn};

mod common;

use common::{Options, listen_at};

const DRAIN: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Daemon {
    shutdown: Shutdown,
    connections: Cell<u64>,
    bytes: Cell<u64>,
}

fn main() -> ExitCode {
    match Options::from_args(env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_tasks: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut builder = EventLoop::builder();
    if let Some(kind) = options.selector {
        builder = builder.selector(kind);
    }
    let mut el = builder.build()?;
    let daemon = Rc::new(Daemon::default());

    let listener = listen(&options.address, &ListenOptions::default())?;
    let mut ready = match options.address {
        Address::Inet(_) => serve_tcp(&el, &daemon, listener)?,
        Address::Unix(_) => serve_unix(&el, &daemon, listener, &options.address)?,
    };
    let mut _file = None;
    if let Some(path) = &options.unix {
        let (listener, file) = listen_at(path)?;
        _file = Some(file);
        ready += &serve_unix(&el, &daemon, listener, &path.display())?;
    }
    for signal in [Signal::INT, Signal::TERM] {
        let shutdown = daemon.shutdown.clone();
        el.add_signal_handler(signal, move |_, ()| drain(&shutdown))?;
    }
    io::stdout().write_all(ready.as_bytes())?;
    io::stdout().flush()?;
    el.run_until_complete(daemon.shutdown.finish())?;

    println!("{} connections, {} bytes", daemon.connections.get(), daemon.bytes.get());
    Ok(())
}

/// Starts accepting. Returns the line that names the address.
fn serve_tcp(el: &EventLoop, daemon: &Rc<Daemon>, listener: OwnedFd) -> Result<String> {
    let tcp = TcpListener::from_std(listener.into())?;
    let address = tcp.local_addr()?;
    let accept = async move || Ok(tcp.accept().await?.0);
    el.spawn(daemon.clone().serve(accept)).detach();
    Ok(format!("listening on {address}\n"))
}

fn serve_unix(
    el: &EventLoop,
    daemon: &Rc<Daemon>,
    listener: OwnedFd,
    address: &impl Display,
) -> Result<String> {
    let unix = UnixListener::from_std(listener.into())?;
    let accept = async move || Ok(unix.accept().await?.0);
    el.spawn(daemon.clone().serve(accept)).detach();
    Ok(format!("listening on {address}\n"))
}

impl Daemon {
    /// Accepts until the shutdown begins.
    async fn serve<C>(self: Rc<Daemon>, accept: impl AsyncFn() -> Result<C>) -> Result<()>
    where
        C: Deref<Target = ConnectedSocket> + 'static,
    {
        while let Some(conn) = self.shutdown.until_started(accept()).await {
            let (daemon, conn) = (self.clone(), conn?);
            self.connections.set(self.connections.get() + 1);
            // A client that disconnects is no error of the daemon.
            let client = async move { daemon.echo(&conn).await.ok() };
            spawn(self.shutdown.track(client)).detach();
        }
        Ok(())
    }

    async fn echo(&self, conn: &ConnectedSocket) -> io::Result<()> {
        loop {
            let chunk = conn.read_chunk().await?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.bytes.set(self.bytes.get() + chunk.len() as u64);
            conn.write_all(&chunk).await?;
        }
    }
}

/// Handles SIGINT and SIGTERM. The first signal stops accepting and starts the time limit of the
/// clients. The second one ends them at once.
fn drain(shutdown: &Shutdown) {
    shutdown.begin(if shutdown.is_started() { Duration::ZERO } else { DRAIN });
}

//! An echo daemon with callbacks, on TCP and Unix sockets.
//!
//! ```text
//! cargo run --release --example echo -- [ADDR] [--unix PATH] [--selector KIND]
//! ```
//!
//! It prints `listening on ADDR` when it is ready. On SIGINT or SIGTERM it stops accepting, gives
//! its clients at most five seconds to finish, prints its counts and exits. A second signal ends it
//! at once.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use mainspring::net::{ListenOptions, Server, listen};
use mainspring::{EventLoop, LoopHandle, Result, Signal};

mod common;

use common::{Options, listen_at};

const DRAIN: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Daemon {
    servers: Vec<Server>,
    bytes: u64,
    draining: bool,
}

fn main() -> ExitCode {
    match Options::from_args(env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut builder = EventLoop::builder();
    if let Some(kind) = options.selector {
        builder = builder.selector(kind);
    }
    let mut el = builder.build_with(Daemon::default())?;

    let tcp = serve(&el, listen(&options.address, &ListenOptions::default())?)?;
    let mut ready = format!("listening on {}\n", tcp.local_addr()?);
    el.state_mut().servers.push(tcp);

    let mut _file = None;
    if let Some(path) = &options.unix {
        let (listener, file) = listen_at(path)?;
        _file = Some(file);
        let unix = serve(&el, listener)?;
        el.state_mut().servers.push(unix);
        ready += &format!("listening on {}\n", path.display());
    }
    for signal in [Signal::INT, Signal::TERM] {
        let handler = el.add_signal_handler(signal, drain)?;
        el.set_background(handler); // The daemon ends when its servers and clients are gone.
    }
    io::stdout().write_all(ready.as_bytes())?;
    io::stdout().flush()?;
    el.run()?;

    let Daemon { servers, bytes, .. } = el.state();
    let connections: u64 = servers.iter().map(Server::accepted).sum();
    println!("{connections} connections, {bytes} bytes");
    Ok(())
}

fn serve(el: &LoopHandle<Daemon>, listener: std::os::fd::OwnedFd) -> Result<Server> {
    el.serve(listener, |_el, daemon, conn, data| {
        daemon.bytes += data.len() as u64;
        conn.write(data);
        Ok(())
    })
}

/// Handles SIGINT and SIGTERM. The first signal stops accepting and starts the time limit of the
/// clients. The second one ends them at once.
fn drain(el: &LoopHandle<Daemon>, daemon: &mut Daemon) {
    if daemon.draining {
        return daemon.servers.iter().for_each(Server::abort_clients);
    }
    daemon.draining = true;
    daemon.servers.iter().for_each(Server::close);
    let limit = el.call_later(DRAIN, |_, daemon: &mut Daemon| {
        daemon.servers.iter().for_each(Server::abort_clients);
    });
    el.set_background(limit);
}

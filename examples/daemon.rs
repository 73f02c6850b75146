//! A daemon under a service manager: activation, readiness, watchdog, reload, drain, metrics, tape.
//!
//! `cargo run --example daemon -- 127.0.0.1:8080 /etc/motd` answers HTTP requests with the text of
//! the file. HUP reloads it. On TERM it closes the listener, answers for up to five more seconds,
//! and exits; on a second TERM it exits at once. A third argument is the address of the metrics.
//! The guide's page `a_daemon_from_zero_to_systemd` builds this program step by step.

use std::io::IoSlice;
use std::net::TcpListener;
use std::time::Duration;
use std::{env, fs, mem};

use mainspring::net::Transport;
use mainspring::service::Service;
use mainspring::{Error, EventLoop, LoopHandle, Recorder, Result, Signal};

#[path = "common/metrics_page.rs"]
mod metrics_page;

struct Daemon {
    text: String,
    is_draining: bool,
}
type Handle = LoopHandle<Daemon>;

fn main() -> Result<()> {
    let service = Service::from_env()?; // First, so that no child inherits any of it.
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, file, others @ ..] = &arguments[..] else {
        return Err(Error::other("usage: daemon ADDRESS FILE [ADDRESS-OF-METRICS]"));
    };
    let listener = service.listener("http", || TcpListener::bind(address))?;
    service.store_fd("http", &listener)?; // Clients do not notice a crash.
    println!("listening on {}", listener.local_addr()?);
    let mut builder = EventLoop::builder().measure(true);
    if let Ok(folder) = env::var("RUNTIME_DIRECTORY") {
        builder = builder.record(Recorder::black_box(format!("{folder}/tape")));
    }
    let mut el = builder.build_with(Daemon { text: read(file)?, is_draining: false })?;
    if let [address] = others {
        metrics_page::spawn(TcpListener::bind(address)?, el.metrics());
    }
    let server = el.serve(listener, answer)?;
    server.set_max_connections(900); // A process has 1024 descriptors.
    server.set_idle_limit(Some(Duration::from_secs(60)));

    let file = file.clone();
    service
        .on_reload(&el, Signal::HUP, move |_, daemon| read(&file).map(|text| daemon.text = text))?;
    service.on_stop(&el, &[Signal::TERM, Signal::INT], move |el, daemon| {
        if mem::replace(&mut daemon.is_draining, true) {
            return el.stop();
        }
        server.close();
        let server = server.clone();
        let limit = el.call_later(Duration::from_secs(5), move |_, _| server.abort_clients());
        el.set_background(limit); // The loop does not wait for it.
    })?;
    service.keep_watchdog(&el)?;
    service.ready()?;
    el.run() // Until the listener is closed and the last connection has ended.
}

/// Answers a request, which ends with an empty line. The example expects it in one piece.
fn answer(_: &Handle, daemon: &mut Daemon, conn: &Transport, data: &[u8]) -> Result<()> {
    if data.ends_with(b"\r\n\r\n") {
        let (text, length) = (&daemon.text, daemon.text.len());
        let end = if daemon.is_draining { "Connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{end}\r\n");
        conn.write_vectored(&[IoSlice::new(head.as_bytes()), IoSlice::new(text.as_bytes())]);
        if daemon.is_draining {
            conn.close();
        }
    }
    Ok(())
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).map_err(|error| Error::other(format!("cannot read {file}: {error}")))
}

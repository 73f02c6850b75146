//! The numbers of a loop for Prometheus, served by a second loop on another thread.
//!
//! `cargo run --example metrics` works for a second, and prints the address of `/metrics`. The
//! numbers are readable while the first loop does not answer at all, so a stuck daemon can still be
//! seen. With `--demo` it fetches the page itself, while a callback blocks the first loop.

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use mainspring::net::{Address, ListenOptions, listen};
use mainspring::{EventLoop, Metrics, Result};

/// Formats the numbers as Prometheus reads them.
fn prometheus(metrics: &Metrics) -> String {
    let mut text = String::new();
    metrics.visit(|name, value| {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        text += &format!("# TYPE mainspring_{name} {kind}\nmainspring_{name} {value}\n");
    });
    text
}

/// Serves the numbers from a loop on this thread, and passes on its address.
fn serve(metrics: Metrics, started: Sender<SocketAddr>) -> Result<()> {
    let mut el = EventLoop::new()?;
    let anywhere: Address = "127.0.0.1:0".parse()?;
    let server =
        el.serve(listen(&anywhere, &ListenOptions::default())?, move |_, (), client, _| {
            let text = prometheus(&metrics);
            let length = text.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4";
            client.write(format!("{head}\r\nContent-Length: {length}\r\n\r\n{text}").as_bytes());
            client.close();
            Ok(())
        })?;
    let address = server.local_addr()?;
    let _ = started.send(address.as_inet().expect("an internet address")); // The daemon may end.
    el.run_forever()
}

fn run(demo: bool) -> Result<()> {
    let mut el = EventLoop::builder().measure(true).build()?;
    let (started, address) = mpsc::channel();
    let metrics = el.metrics();
    thread::spawn(move || serve(metrics, started));
    let address = address.recv().expect("the server starts");
    println!("http://{address}/metrics");
    el.call_every(Duration::from_millis(10), |_, ()| {})?;
    el.call_later(Duration::from_secs(1), |el, ()| el.stop());
    if demo {
        el.call_later(Duration::from_millis(100), move |el, ()| {
            let page = fetch(address)?; // Blocks this loop, but not the one that serves.
            page.lines().filter(|line| !line.starts_with('#')).for_each(|line| println!("{line}"));
            el.stop();
            Ok::<(), mainspring::Error>(())
        });
    }
    el.run_forever()
}

fn fetch(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

fn main() -> ExitCode {
    match run(env::args().any(|word| word == "--demo")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

//! The metrics of a loop for Prometheus, served by a second loop on another thread.
//!
//! `cargo run --example metrics` works for a second, and prints the address of `/metrics`. The
//! metrics are available even while the first loop is stuck, so a stuck daemon can still be
//! observed. With `--demo` it fetches the page itself, while a callback blocks the first loop.

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use mainspring::{EventLoop, Result};

#[path = "common/metrics_page.rs"]
mod metrics_page;

fn run(demo: bool) -> Result<()> {
    let mut el = EventLoop::builder().measure(true).build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    metrics_page::spawn(listener, el.metrics());
    println!("http://{address}/metrics");
    let (ours, mut theirs) = UnixStream::pair()?;
    el.attach(ours, |_, (), conn, data| {
        conn.write(data); // An echo, for the bytes.
        Ok(())
    })?;
    let mut rounds = if demo { 10 } else { 100 };
    el.call_every(Duration::from_millis(10), move |el, ()| {
        theirs.write_all(b"hello")?;
        rounds -= 1;
        if rounds > 0 {
            return Ok(());
        }
        if demo {
            let page = fetch(address)?; // Blocks this loop, but not the one that serves.
            page.lines().filter(|line| !line.starts_with('#')).for_each(|line| println!("{line}"));
        }
        el.stop();
        Ok::<(), mainspring::Error>(())
    })?;
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

//! The metrics of a loop as a page for Prometheus, served by a loop on another thread.
//!
//! The page is available even while the first loop is stuck.

use std::net::TcpListener;
use std::thread;

use mainspring::{EventLoop, Metrics, Result};

/// Serves the page from a new thread. A failure is printed.
pub fn spawn(listener: TcpListener, metrics: Metrics) {
    thread::spawn(move || {
        if let Err(error) = serve(listener, metrics) {
            eprintln!("the page of metrics is not served: {}", error.chain());
        }
    });
}

fn serve(listener: TcpListener, metrics: Metrics) -> Result<()> {
    let mut el = EventLoop::new()?;
    el.serve(listener, move |_, (), client, _| {
        let text = prometheus(&metrics);
        let length = text.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4";
        client.write(format!("{head}\r\nContent-Length: {length}\r\n\r\n{text}").as_bytes());
        client.close();
        Ok(())
    })?;
    el.run_forever()
}

fn prometheus(metrics: &Metrics) -> String {
    let mut text = String::new();
    metrics.visit(|name, value| {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        text += &format!("# TYPE mainspring_{name} {kind}\nmainspring_{name} {value}\n");
    });
    text
}

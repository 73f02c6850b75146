//! A proxy: each client gets its own connection to the upstream, with back-pressure both ways.
//!
//! ```text
//! cargo run --release --example proxy -- LISTEN UPSTREAM
//! ```
//!
//! It prints `listening on LISTEN` when it is ready. Each address is TCP or Unix. The end of one
//! direction is passed on while the other direction continues. On SIGINT or SIGTERM it stops
//! accepting, and exits with its last client. A second signal ends it at once.

use std::cell::{Cell, OnceCell};
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{Address, ListenOptions, Protocol, Server, Transport, listen};
use mainspring::{Error, EventLoop, Handle, LoopHandle, Result, Signal};

/// Time limit for connecting to the upstream.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

struct Proxy {
    upstream: Address,
    server: Option<Server>,
    /// Number of signals received.
    signals: u32,
}

/// A client and its connection to the upstream.
#[derive(Default)]
struct Pair {
    client: OnceCell<Transport>,
    upstream: OnceCell<Transport>,
    attempt: Cell<Option<Handle>>,
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Upstream,
}

/// Protocol of both sides: input of one side is written to the other.
struct End(Side, Rc<Pair>);

impl End {
    fn other(&self) -> Option<&Transport> {
        match self.0 {
            Side::Client => self.1.upstream.get(),
            Side::Upstream => self.1.client.get(),
        }
    }

    /// Connects to the upstream. Reading from the client is paused until the upstream can take its
    /// data.
    fn connect(&self, el: &LoopHandle<Proxy>, upstream: &Address, client: &Transport) {
        client.pause_reading();
        let (pair, client) = (self.1.clone(), client.clone());
        let attempt = el.connect(upstream.clone(), CONNECT_LIMIT, move |el, _proxy, socket| {
            let end = End(Side::Upstream, pair.clone());
            let attached = socket.and_then(|socket| el.attach_with(socket, end));
            // The error goes to the exception handler, and the client is disconnected.
            let upstream = attached.inspect_err(|_| client.abort())?;
            let _ = pair.upstream.set(upstream);
            client.resume_reading();
            Ok(())
        });
        self.1.attempt.set(Some(attempt));
    }
}

impl Protocol<Proxy> for End {
    fn connection_made(
        &mut self,
        el: &LoopHandle<Proxy>,
        proxy: &mut Proxy,
        conn: &Transport,
    ) -> Result<()> {
        if let Side::Client = self.0 {
            let _ = self.1.client.set(conn.clone());
            self.connect(el, &proxy.upstream, conn);
        }
        Ok(())
    }

    fn data_received(
        &mut self,
        _: &LoopHandle<Proxy>,
        _: &mut Proxy,
        _: &Transport,
        data: &[u8],
    ) -> Result<()> {
        if let Some(other) = self.other() {
            other.write(data);
        }
        Ok(())
    }

    /// Ends the output of the other side, after the bytes queued there. A connection closes
    /// automatically when both directions have ended.
    fn eof_received(&mut self, _: &LoopHandle<Proxy>, _: &mut Proxy, _: &Transport) -> Result<()> {
        if let Some(other) = self.other() {
            other.shutdown_write();
        }
        Ok(())
    }

    /// This side is slow, so reading from the other side pauses.
    fn pause_writing(&mut self, _: &LoopHandle<Proxy>, _: &mut Proxy, _: &Transport) -> Result<()> {
        if let Some(other) = self.other() {
            other.pause_reading();
        }
        Ok(())
    }

    fn resume_writing(
        &mut self,
        _: &LoopHandle<Proxy>,
        _: &mut Proxy,
        _: &Transport,
    ) -> Result<()> {
        if let Some(other) = self.other() {
            other.resume_reading();
        }
        Ok(())
    }

    fn connection_lost(
        &mut self,
        el: &LoopHandle<Proxy>,
        proxy: &mut Proxy,
        reason: Option<&Error>,
    ) -> Result<()> {
        if let Some(attempt) = self.1.attempt.take() {
            el.cancel(attempt);
        }
        match self.other() {
            // The bytes queued there were sent before this end, so they are delivered.
            Some(other) if reason.is_none() && proxy.signals < 2 => other.close(),
            Some(other) => other.abort(),
            None => {}
        }
        Ok(())
    }
}

fn run(local: &str, upstream: &str) -> Result<()> {
    let (local, upstream) = (parse(local)?, parse(upstream)?);
    let mut el = EventLoop::with_state(Proxy { upstream, server: None, signals: 0 })?;
    let listener = listen(&local, &ListenOptions::default())?;
    let server = el.serve_with(listener, || End(Side::Client, Rc::default()))?;
    for signal in [Signal::INT, Signal::TERM] {
        let handler = el.add_signal_handler(signal, drain)?;
        el.set_background(handler); // The proxy ends when its clients are gone.
    }
    writeln!(io::stdout(), "listening on {}", server.local_addr()?)?;
    el.state_mut().server = Some(server);
    el.run()
}

fn parse(address: &str) -> Result<Address> {
    Ok(address.parse()?)
}

fn drain(_el: &LoopHandle<Proxy>, proxy: &mut Proxy) {
    let Some(server) = &proxy.server else { return };
    server.close();
    proxy.signals += 1;
    if proxy.signals > 1 {
        server.abort_clients();
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let outcome = match &args[..] {
        [local, upstream] => run(local, upstream),
        _ => Err(Error::other("usage: proxy LISTEN UPSTREAM")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proxy: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

//! A proxy: each client gets its own connection to the upstream, with back-pressure both ways.
//!
//! ```text
//! cargo run --release --example proxy -- LISTEN UPSTREAM
//! ```
//!
//! It prints `listening on LISTEN` when it is ready. Each address is TCP or Unix. The end of one
//! direction is propagated (half-close) while the other direction continues. On SIGINT or SIGTERM
//! it stops accepting, and exits with its last client. A second signal ends it at once.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::ops::Deref;
use std::process::ExitCode;
use std::time::Duration;

use mainspring::io::copy_bidirectional;
use mainspring::net::{Address, ConnectedSocket, TcpListener, TcpStream, UnixListener, UnixStream};
use mainspring::{Error, EventLoop, Result, Shutdown, Signal, spawn};

/// Time limit for connecting to the upstream.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A TCP or Unix stream.
type Stream = Box<dyn Deref<Target = ConnectedSocket>>;

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

fn run(local: &str, upstream: &str) -> Result<()> {
    let (local, upstream): (Address, Address) = (local.parse()?, upstream.parse()?);
    let mut el = EventLoop::new()?;
    let shutdown = Shutdown::new();
    for signal in [Signal::INT, Signal::TERM] {
        let shutdown = shutdown.clone();
        // The first signal sets no limit for the clients, the second one ends them.
        el.add_signal_handler(signal, move |_, ()| {
            shutdown.begin(if shutdown.is_started() { Duration::ZERO } else { Duration::MAX });
        })?;
    }
    el.run_until_complete(async {
        match local {
            Address::Inet(local) => {
                let listener = TcpListener::bind(local)?;
                announce(listener.local_addr()?)?;
                serve(&shutdown, &upstream, async || Ok(Box::new(listener.accept().await?.0) as _))
                    .await?;
            }
            Address::Unix(local) => {
                let listener = UnixListener::bind(&local)?;
                announce(Address::Unix(local))?;
                serve(&shutdown, &upstream, async || Ok(Box::new(listener.accept().await?.0) as _))
                    .await?;
            }
        }
        shutdown.finish().await;
        Ok(())
    })?
}

fn announce(address: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "listening on {address}")
}

/// Accepts until the shutdown begins.
async fn serve(
    shutdown: &Shutdown,
    upstream: &Address,
    accept: impl AsyncFn() -> Result<Stream>,
) -> Result<()> {
    while let Some(client) = shutdown.until_started(accept()).await {
        let client = shutdown.track(pass_on(client?, upstream.clone()));
        // An error is reported, unless it means that a peer has gone or the shutdown is over.
        spawn(async { client.await.unwrap_or(Ok(())) }).detach();
    }
    Ok(())
}

/// Connects a client to the upstream, until both have ended.
async fn pass_on(client: Stream, upstream: Address) -> Result<()> {
    let upstream: Stream = match upstream {
        Address::Inet(_) => Box::new(TcpStream::connect_timeout(upstream, CONNECT_LIMIT).await?),
        Address::Unix(_) => Box::new(UnixStream::connect_timeout(upstream, CONNECT_LIMIT).await?),
    };
    copy_bidirectional(&**client, &**upstream).await?;
    Ok(())
}

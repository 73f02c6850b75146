//! An HTTP server: hyper on this loop.
//!
//! ```text
//! cargo run --release -p hyper_server -- [ADDR]
//! ```
//!
//! It prints `listening on ADDR` when it is ready, and answers `GET /`, with keep-alive. On SIGINT
//! or SIGTERM it stops accepting, gives the current requests at most five seconds to finish, and
//! exits.

use std::convert::Infallible;
use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use mainspring::hyper::LoopTimer;
use mainspring::net::{TcpListener, TcpStream};
use mainspring::{Error, EventLoop, Result, Shutdown, Signal, spawn};

const DRAIN: Duration = Duration::from_secs(5);

async fn answer(
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => (StatusCode::OK, "Hello, World!"),
        (_, "/") => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
        _ => (StatusCode::NOT_FOUND, "there is only /\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

async fn serve(conn: TcpStream, shutdown: Shutdown) {
    let mut server = http1::Builder::new();
    server.timer(LoopTimer);
    let mut serving = pin!(server.serve_connection(conn, service_fn(answer)));
    // A client that disconnects during a request is no error of the server.
    if shutdown.until_started(serving.as_mut()).await.is_none() {
        serving.as_mut().graceful_shutdown();
        let _ = serving.await;
    }
}

async fn accept(listener: TcpListener, shutdown: Shutdown) -> Result<()> {
    while let Some(accepted) = shutdown.until_started(listener.accept()).await {
        let (conn, _peer) = accepted?;
        spawn(shutdown.track(serve(conn, shutdown.clone()))).detach();
    }
    Ok(())
}

fn run(address: SocketAddr) -> Result<()> {
    let mut el = EventLoop::new()?;
    let shutdown = Shutdown::new();
    for signal in [Signal::INT, Signal::TERM] {
        let shutdown = shutdown.clone();
        el.add_signal_handler(signal, move |_, ()| shutdown.begin(DRAIN))?;
    }
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    el.spawn(accept(listener, shutdown.clone())).detach();
    el.run_until_complete(shutdown.finish()).map(drop)
}

fn main() -> ExitCode {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let parsed = address.parse().map_err(|error| Error::other(format!("{address:?}: {error}")));
    match parsed.and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hyper_server: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

//! An HTTP server: hyper on this loop.
//!
//! ```text
//! cargo run --release --features hyper --example hyper_server -- [ADDR]
//! ```
//!
//! It prints `listening on ADDR` when it is ready, and answers `GET /`, with keep-alive. SIGINT or
//! SIGTERM: it stops accepting, lets the requests under way finish for at most five seconds, and
//! exits.

use std::convert::Infallible;
use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use mainspring::hyper::LoopTimer;
use mainspring::net::{TcpListener, TcpStream};
use mainspring::{Error, EventLoop, Result};

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

async fn serve(conn: TcpStream) {
    let mut server = http1::Builder::new();
    server.timer(LoopTimer);
    // A client that goes away in the middle of a request is the client's affair.
    let _ = server.serve_connection(conn, service_fn(answer)).await;
}

fn run(address: SocketAddr) -> Result<()> {
    let mut el = EventLoop::new()?;
    el.run_until_complete(async {
        let listener = TcpListener::bind(address)?;
        println!("listening on {}", listener.local_addr()?);
        io::stdout().flush()?;
        loop {
            let (conn, _peer) = listener.accept().await?;
            conn.set_nodelay(true)?;
            mainspring::spawn(serve(conn)).detach();
        }
    })?
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

//! axum on the loop: a router behind hyper's connections.
//!
//! ```text
//! cargo run -p ecosystem --bin axum_server -- [ADDR]
//! ```
//!
//! It prints `listening on ADDR`. `GET /` returns the number of requests so far, and `GET /wait`
//! returns after 50 ms. On SIGINT or SIGTERM it finishes the current requests and exits.

use std::cell::Cell;
use std::env;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use ecosystem::Result;
use hyper::server::conn::http1;
use hyper_util::service::TowerToHyperService;
use mainspring::hyper::LoopTimer;
use mainspring::net::{TcpListener, TcpStream};
use mainspring::{Shutdown, Signal, ThreadBound, race, signal, sleep, spawn};

const DRAIN: Duration = Duration::from_secs(5);

/// Number of requests. axum requires that the state is `Send` and `Sync`.
type Requests = Arc<ThreadBound<Cell<u64>>>;

fn router() -> Router {
    let requests: Requests = Arc::new(ThreadBound::new(Cell::new(0)));
    Router::new().route("/", get(count)).route("/wait", get(wait)).with_state(requests)
}

async fn count(State(requests): State<Requests>) -> String {
    let requests = requests.get();
    requests.set(requests.get() + 1);
    format!("{} requests\n", requests.get())
}

/// axum requires that the future of a handler is `Send`, and a timer of the loop is not.
fn wait() -> ThreadBound<impl Future<Output = &'static str>> {
    ThreadBound::new(async {
        sleep(Duration::from_millis(50)).await;
        "waited\n"
    })
}

async fn serve(conn: TcpStream, router: Router, shutdown: Shutdown) {
    let mut server = http1::Builder::new();
    let service = TowerToHyperService::new(router);
    let mut serving = pin!(server.timer(LoopTimer).serve_connection(conn, service));
    if shutdown.until_started(serving.as_mut()).await.is_none() {
        serving.as_mut().graceful_shutdown();
        let _ = serving.await; // A client that disconnects is no error of the server.
    }
}

async fn accept(listener: TcpListener, shutdown: Shutdown) -> mainspring::Result<()> {
    let router = router();
    while let Some(accepted) = shutdown.until_started(listener.accept()).await {
        let (conn, _peer) = accepted?;
        spawn(shutdown.track(serve(conn, router.clone(), shutdown.clone()))).detach();
    }
    Ok(())
}

async fn run() -> Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address.parse::<std::net::SocketAddr>()?)?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    let shutdown = Shutdown::new();
    spawn(accept(listener, shutdown.clone())).detach();
    let (mut interrupt, mut terminate) = (signal(Signal::INT), signal(Signal::TERM));
    race(interrupt.recv(), terminate.recv()).await?;
    shutdown.begin(DRAIN);
    shutdown.finish().await;
    Ok(())
}

fn main() -> ExitCode {
    ecosystem::main("axum_server", run())
}

//! A shutdown that waits for a client which keeps its connection (docs/contract.md, G10).

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use mainspring::net::{TcpListener, TcpStream};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, LoopHandle, Result, Shutdown, sleep, spawn};

use super::stage::{Journal, assert_shown, play};
use crate::support::descriptors::hang_up;

const SECOND: Duration = Duration::from_secs(1);

async fn serve(stream: TcpStream, _: Shutdown) -> Result<()> {
    let mut request = [0];
    while stream.read(&mut request).await? > 0 {
        answer(&stream, &request).await?;
    }
    Ok(())
}

fn misbehaves(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    start(el, serve, Duration::MAX) // waits for the last client
}

async fn serve_cured(stream: TcpStream, shutdown: Shutdown) -> Result<()> {
    let mut request = [0];
    // A client between two requests is disconnected when the shutdown begins.
    while let Some(count) = shutdown.until_started(stream.read(&mut request)).await {
        if count? == 0 {
            break;
        }
        answer(&stream, &request).await?;
    }
    Ok(())
}

fn cured(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    start(el, serve_cured, 30 * SECOND) // for requests that run
}

#[test]
fn g10_a_shutdown_waits_for_an_idle_client() {
    let [written, cured] = play("idle_keep_alive", 100 * SECOND, misbehaves, cured);
    assert_eq!((written.end("service"), cured.end("service")), (90_000, 25_000));
    assert_eq!((written.end("client 2"), cured.end("client 2")), (30_000, 25_000));
    assert_eq!(cured.end("client 1"), 20_000);
}

/// The snapshot of the program as written, half a minute after the signal.
#[test]
fn g10_a_snapshot_has_the_client_that_is_waited_for() {
    let clock = SimClock::new();
    let builder = EventLoop::builder().clock(clock.clone()).await_lines(true);
    let mut el = builder.build_with(Journal::default()).unwrap();
    misbehaves(el.handle(), &clock).unwrap();
    el.call_later(50 * SECOND, |el, _| el.stop());
    el.run_forever().unwrap();
    let snapshot = el.snapshot();
    let waits = |name: &str| {
        let task = snapshot.entries().iter().find(|entry| entry.name() == Some(name))?;
        task.awaits().last().map(|awaited| format!("{name} waits for {awaited}"))
    };
    assert_shown("idle_keep_alive", &["client 1", "service"].map(|name| waits(name).expect(name)));
    assert!(waits("client 2").is_none(), "it has left");
}

/// Starts the service and two clients. The signal comes after 20 seconds.
fn start<F, R>(el: &LoopHandle<Journal>, serve: F, drain: Duration) -> Result<()>
where
    F: Fn(TcpStream, Shutdown) -> R + 'static,
    R: Future<Output = Result<()>> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    let shutdown = Shutdown::new();
    let signal = shutdown.clone();
    el.call_later(20 * SECOND, move |_, _| signal.begin(drain));
    el.spawn(run(listener, serve, shutdown)).named("service").detach();
    el.spawn(client(server, 5 * SECOND, 90 * SECOND)).detach();
    el.spawn(client(server, 15 * SECOND, 30 * SECOND)).detach();
    Ok(())
}

async fn run<F, R>(listener: TcpListener, serve: F, shutdown: Shutdown) -> Result<()>
where
    F: Fn(TcpStream, Shutdown) -> R,
    R: Future<Output = Result<()>> + 'static,
{
    let mut number = 0;
    while let Some(accepted) = shutdown.until_started(listener.accept()).await {
        number += 1;
        let client = spawn(shutdown.track(serve(accepted?.0, shutdown.clone())));
        client.named(&format!("client {number}")).detach();
    }
    drop(listener);
    shutdown.finish().await;
    Ok(())
}

/// Stands for an answer that takes ten seconds.
async fn answer(stream: &TcpStream, request: &[u8]) -> Result<()> {
    sleep(10 * SECOND).await;
    Ok(stream.write_all(request).await?)
}

/// Sends one request at `begin`, and keeps the connection until `end`.
async fn client(server: SocketAddr, begin: Duration, end: Duration) -> Result<()> {
    sleep(begin).await;
    let stream = TcpStream::connect(server).await?;
    stream.write_all(b"?").await?;
    stream.read(&mut [0]).await?;
    sleep(end - begin - 10 * SECOND).await;
    hang_up(&stream);
    Ok(())
}

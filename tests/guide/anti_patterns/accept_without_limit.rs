//! A server that accepts every client at once.

use std::net::SocketAddr;

use mainspring::net::{TcpListener, TcpStream};
use mainspring::testing::SimClock;
use mainspring::{LoopHandle, Result, spawn};

use super::stage::{Journal, MS, Run, play, work};

const CLIENTS: usize = 6;

fn misbehaves(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    clients(el, listener.local_addr()?);
    el.spawn(accept(listener, clock.clone())).detach();
    Ok(())
}

async fn accept(listener: TcpListener, clock: SimClock) -> Result<()> {
    for number in 1.. {
        let (stream, _) = listener.accept().await?;
        let name = format!("client {number}");
        spawn(answer(stream, clock.clone())).named(&name).detach();
    }
    Ok(())
}

fn cured(el: &LoopHandle<Journal>, clock: &SimClock) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Others wait in the kernel's backlog.
    listener.set_max_connections(2);
    clients(el, listener.local_addr()?);
    el.spawn(accept(listener, clock.clone())).detach();
    Ok(())
}

#[test]
fn accepting_without_limit_makes_every_client_late() {
    let [written, cured] = play("accept_without_limit", 100 * MS, misbehaves, cured);
    let ends = |run: &Run| -> Vec<u128> {
        (1..=CLIENTS).map(|number| run.end(&format!("client {number}"))).collect()
    };
    let (late, early) = (ends(&written), ends(&cured));
    assert_eq!((late.iter().max(), early.iter().max()), (Some(&90), Some(&90)));
    assert!(late.iter().all(|end| *end >= 65), "{late:?}");
    assert!(early.iter().filter(|end| **end <= 30).count() == 2, "{early:?}");
    assert!(early.iter().sum::<u128>() + 100 < late.iter().sum(), "{early:?} {late:?}");
}

/// Answers requests of a byte until the client leaves. An answer takes 5 ms.
async fn answer(stream: TcpStream, clock: SimClock) -> Result<()> {
    let mut request = [0];
    while stream.read(&mut request).await? > 0 {
        work(&clock, 5 * MS);
        stream.write_all(&request).await?;
    }
    Ok(())
}

/// Starts clients with three requests each, one after the other.
fn clients(el: &LoopHandle<Journal>, server: SocketAddr) {
    for _ in 0..CLIENTS {
        let client = el.spawn(async move {
            let stream = TcpStream::connect(server).await?;
            for _ in 0..3 {
                stream.write_all(b"?").await?;
                stream.read(&mut [0]).await?;
            }
            Ok::<(), mainspring::Error>(())
        });
        client.detach();
    }
}

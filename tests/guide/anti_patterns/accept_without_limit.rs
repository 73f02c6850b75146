//! A server that accepts every client at once (docs/contract.md, G10).

use std::net::{SocketAddr, TcpStream as StdStream};

use mainspring::net::{TcpListener, TcpStream};
use mainspring::testing::SimClock;
use mainspring::{EventLoop, FlagKind, LoopHandle, Result, spawn};

use super::stage::{Journal, MS, Run, assert_shown, play, work};
use crate::support::descriptors::{hang_up, has_room_for};

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
fn g10_accepting_without_limit_makes_every_client_late() {
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

/// Thirty more clients before each call of `diagnose`, which stay.
#[test]
fn g10_clients_without_limit_are_a_growing_place() {
    const MORE: usize = 30;
    if !has_room_for(1024) {
        return;
    }
    let clock = SimClock::new();
    let mut el = EventLoop::builder().clock(clock.clone()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    el.spawn(accept(listener, clock)).detach();
    let mut clients = Vec::new();
    let mut flags = Vec::new();
    for _ in 0..5 {
        assert_eq!(flags, [""; 0]);
        clients.extend((0..MORE).map(|_| StdStream::connect(server).unwrap()));
        el.run_until_stalled().unwrap();
        let diagnosis = el.diagnose();
        let growing = diagnosis.flags().iter().filter(|flag| flag.kind() == FlagKind::GrowingPlace);
        flags = growing.map(ToString::to_string).collect();
    }
    assert_eq!(flags.len(), 1, "{flags:?}");
    assert_shown("accept_without_limit", &flags);
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
            hang_up(&stream);
            Ok::<(), mainspring::Error>(())
        });
        client.detach();
    }
}

//! quinn on the loop: echoes, a close, and a peer that is lost.

use std::sync::Arc;
use std::time::Duration;

use mainspring::{EventLoop, SelectorKind};
use quinn::{ConnectionError, Runtime};
use quinn_echo::{LoopRuntime, echo};

fn run(check: impl AsyncFn(Arc<dyn Runtime>)) {
    for kind in SelectorKind::available() {
        let mut el = EventLoop::builder().selector(*kind).build().unwrap();
        el.run_until_complete(check(Arc::new(LoopRuntime))).unwrap();
    }
}

#[test]
fn streams_of_megabytes_are_echoed_at_once() {
    run(async |runtime| {
        let (server, client) = echo::endpoints(&runtime).unwrap();
        let address = server.local_addr().unwrap();
        mainspring::spawn(echo::serve(server.clone(), runtime.clone())).detach();
        let connection = echo::connect(&client, address).await.unwrap();
        let bytes: Arc<[u8]> = (0..2 << 20).map(|at: usize| (at * 7) as u8).collect();
        for _ in 0..2 {
            let count = echo::request(&connection, &runtime, bytes.clone()).await.unwrap();
            assert_eq!(count, bytes.len());
        }
        connection.close(7_u32.into(), b"done");
        assert!(matches!(connection.closed().await, ConnectionError::LocallyClosed));
        client.wait_idle().await;
        server.close(0_u32.into(), b"");
    });
}

#[test]
fn a_peer_that_is_lost_is_noticed() {
    run(async |runtime| {
        let (server, client) = echo::endpoints(&runtime).unwrap();
        let address = server.local_addr().unwrap();
        let accepting = mainspring::spawn(async move {
            let connection = server.accept().await.unwrap().await.unwrap();
            (connection, server)
        });
        let connection = echo::connect(&client, address).await.unwrap();
        let (theirs, server) = accepting.await.unwrap();
        server.close(3_u32.into(), b"gone");
        drop(theirs);
        let closed = mainspring::timeout(Duration::from_secs(60), connection.closed()).await;
        assert!(matches!(closed.unwrap(), ConnectionError::ApplicationClosed(_)));
    });
}

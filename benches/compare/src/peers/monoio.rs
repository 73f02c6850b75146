//! monoio: a runtime for one thread on io_uring, or on epoll where that is missing.

use futures::channel::oneshot;
use futures_lite::future::yield_now;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{FusionDriver, RuntimeBuilder};

use super::{Peer, Work};
use crate::work::echo::{BUFFER, listener};
use crate::work::{HOUR, TAKING_TURNS, answer, cpu, lists, memory, since};

pub const PEER: Peer = Peer::rust("monoio", WORK);

const WORK: &[(&str, Work)] = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("asleep", asleep),
    ("echo", echo),
];

/// Its type names the kernel's interfaces that are tried.
macro_rules! runtime {
    () => {
        RuntimeBuilder::<FusionDriver>::new().enable_timer().build().expect("a runtime")
    };
}

fn spawn(_: &[usize]) {
    let mut runtime = runtime!();
    answer(|count| {
        let mut tasks = Vec::with_capacity(count as usize);
        let before = cpu();
        runtime.block_on(async {
            tasks.extend((0..count).map(|_| monoio::spawn(async {})));
            for task in tasks {
                task.await;
            }
        });
        [since(before)]
    });
}

fn switch(_: &[usize]) {
    let mut runtime = runtime!();
    answer(|count| {
        let before = cpu();
        runtime.block_on(async {
            let turns = move || async move {
                for _ in 0..count / TAKING_TURNS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..TAKING_TURNS).map(|_| monoio::spawn(turns())).collect();
            for task in tasks {
                task.await;
            }
        });
        [since(before)]
    });
}

fn waiting(_: &[usize]) {
    let mut runtime = runtime!();
    answer(|count| {
        runtime.block_on(async {
            let before = memory();
            let (mut tasks, mut senders) = lists(count);
            for _ in 0..count {
                let (sender, receiver) = oneshot::channel::<()>();
                tasks.push(monoio::spawn(receiver));
                senders.push(sender);
            }
            monoio::spawn(async {}).await; // It is the last one to run.
            [memory() - before]
        })
    });
}

fn asleep(_: &[usize]) {
    let mut runtime = runtime!();
    answer(|count| {
        runtime.block_on(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(monoio::spawn(async { monoio::time::sleep(HOUR).await }));
            }
            monoio::spawn(async {}).await; // It is the last one to run.
            [memory() - before]
        })
    });
}

fn echo(_: &[usize]) {
    runtime!().block_on(async {
        let listener = TcpListener::from_std(listener()).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            monoio::spawn(serve(stream));
        }
    });
}

async fn serve(mut stream: TcpStream) {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER);
    loop {
        let (count, filled) = stream.read(buffer).await;
        let Ok(1..) = count else { return };
        let (written, returned) = stream.write_all(filled).await;
        if written.is_err() {
            return;
        }
        buffer = returned;
        buffer.clear();
    }
}

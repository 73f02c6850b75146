//! smol, on its executor for one thread.

use futures::channel::oneshot;
use smol::future::yield_now;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{Async, LocalExecutor, Timer, block_on};

use super::{Peer, Work};
use crate::work::echo::{BUFFER, listener};
use crate::work::{HOUR, TAKING_TURNS, answer, cpu, lists, memory, since};

pub const PEER: Peer = Peer::rust("smol", WORK);

const WORK: &[(&str, Work)] = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("asleep", asleep),
    ("echo", echo),
];

fn spawn(_: &[usize]) {
    let executor = LocalExecutor::new();
    answer(|count| {
        let mut tasks = Vec::with_capacity(count as usize);
        let before = cpu();
        block_on(executor.run(async {
            tasks.extend((0..count).map(|_| executor.spawn(async {})));
            for task in tasks {
                task.await;
            }
        }));
        [since(before)]
    });
}

fn switch(_: &[usize]) {
    let executor = LocalExecutor::new();
    answer(|count| {
        let before = cpu();
        block_on(executor.run(async {
            let turns = move || async move {
                for _ in 0..count / TAKING_TURNS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..TAKING_TURNS).map(|_| executor.spawn(turns())).collect();
            for task in tasks {
                task.await;
            }
        }));
        [since(before)]
    });
}

fn waiting(_: &[usize]) {
    let executor = LocalExecutor::new();
    answer(|count| {
        block_on(executor.run(async {
            let before = memory();
            let (mut tasks, mut senders) = lists(count);
            for _ in 0..count {
                let (sender, receiver) = oneshot::channel::<()>();
                tasks.push(executor.spawn(receiver));
                senders.push(sender);
            }
            executor.spawn(async {}).await; // It is the last one to run.
            [memory() - before]
        }))
    });
}

fn asleep(_: &[usize]) {
    let executor = LocalExecutor::new();
    answer(|count| {
        block_on(executor.run(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(executor.spawn(async { Timer::after(HOUR).await }));
            }
            executor.spawn(async {}).await; // It is the last one to run.
            [memory() - before]
        }))
    });
}

fn echo(_: &[usize]) {
    let executor = LocalExecutor::new();
    block_on(executor.run(async {
        let listener = Async::try_from(listener()).expect("a listener");
        let listener = TcpListener::from(listener);
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            executor.spawn(serve(stream)).detach();
        }
    }));
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

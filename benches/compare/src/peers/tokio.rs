//! tokio, on its runtime for one thread.

use futures::channel::oneshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::{Peer, Work};
use crate::work::echo::{BUFFER, listener};
use crate::work::{HOUR, TAKING_TURNS, answer, cpu, lists, memory, since};

pub const PEER: Peer = Peer::rust("tokio", WORK);

const WORK: &[(&str, Work)] = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("asleep", asleep),
    ("echo", echo),
];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn spawn(_: &[usize]) {
    let runtime = runtime();
    answer(|count| {
        let mut tasks = Vec::with_capacity(count as usize);
        let before = cpu();
        runtime.block_on(async {
            tasks.extend((0..count).map(|_| tokio::spawn(async {})));
            for task in tasks {
                task.await.expect("a task ends");
            }
        });
        [since(before)]
    });
}

fn switch(_: &[usize]) {
    let runtime = runtime();
    answer(|count| {
        let before = cpu();
        runtime.block_on(async {
            let turns = move || async move {
                for _ in 0..count / TAKING_TURNS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..TAKING_TURNS).map(|_| tokio::spawn(turns())).collect();
            for task in tasks {
                task.await.expect("a task ends");
            }
        });
        [since(before)]
    });
}

fn waiting(_: &[usize]) {
    let runtime = runtime();
    answer(|count| {
        runtime.block_on(async {
            let before = memory();
            let (mut tasks, mut senders) = lists(count);
            for _ in 0..count {
                let (sender, receiver) = oneshot::channel::<()>();
                tasks.push(tokio::spawn(receiver));
                senders.push(sender);
            }
            tokio::spawn(async {}).await.expect("a task ends"); // It is the last one to run.
            [memory() - before]
        })
    });
}

fn asleep(_: &[usize]) {
    let runtime = runtime();
    answer(|count| {
        runtime.block_on(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(tokio::spawn(async { tokio::time::sleep(HOUR).await }));
            }
            tokio::spawn(async {}).await.expect("a task ends"); // It is the last one to run.
            [memory() - before]
        })
    });
}

fn echo(_: &[usize]) {
    runtime().block_on(async {
        let listener = TcpListener::from_std(listener()).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream));
        }
    });
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

//! tokio on its runtime for one thread.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{unconstrained, yield_now};
use tokio::time::Sleep;

use super::peer::{Peer, Works};
use crate::work::children::{command, run_children, shares};
use crate::work::echo::{BUFFER, PERIOD, TIMERS, listener, post_from_threads};
use crate::work::fetches::{Fetch, REQUEST, run_fetches, server};
use crate::work::http::hello;
use crate::work::pipes::{Chain, READ_SIZE, pipes};
use crate::work::post::{Traffic, round_trips, throughput};
use crate::work::{
    HOUR, Link, YIELDING_TASKS, cpu, deadlines, link, lists, memory, near_deadlines, run_requests,
    since,
};

pub const PEER: Peer = Peer::rust("tokio", WORKS);

const WORKS: Works = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("oneshot", one_oneshot),
    ("asleep", asleep),
    ("echo", |_| echo(|_| {})),
    ("echo_posts", |_| echo(post)),
    ("echo_timers", |_| echo(tick)),
    ("timers", timers),
    ("timers_run", timers_run),
    ("rearm", rearm),
    ("chain", chain),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
    ("pipes", watch_pipes),
    ("http", http),
    ("fetches", fetches),
    ("children", children),
];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn spawn(_: &[usize]) {
    let runtime = runtime();
    run_requests(|count| {
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

fn children(sizes: &[usize]) {
    let runtime = runtime();
    run_children(|count| {
        let starts = shares(count, sizes[0]).map(|share| async move {
            for _ in 0..share {
                let mut child = tokio::process::Command::from(command()).spawn().expect("a child");
                assert!(child.wait().await.expect("its status").success());
            }
        });
        runtime.block_on(async {
            for task in starts.map(tokio::spawn).collect::<Vec<_>>() {
                task.await.expect("a task ends");
            }
        });
    });
}

fn switch(_: &[usize]) {
    let runtime = runtime();
    run_requests(|count| {
        let before = cpu();
        runtime.block_on(async {
            let turns = move || async move {
                for _ in 0..count / YIELDING_TASKS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..YIELDING_TASKS).map(|_| tokio::spawn(turns())).collect();
            for task in tasks {
                task.await.expect("a task ends");
            }
        });
        [since(before)]
    });
}

/// Tasks that wait for tokio's oneshot.
fn waiting(_: &[usize]) {
    grown(tokio::sync::oneshot::channel::<()>);
}

fn one_oneshot(_: &[usize]) {
    grown(oneshot::channel::<()>);
}

fn grown<S, R>(channel: fn() -> (S, R))
where
    R: Future<Output: Send> + Send + 'static,
{
    let runtime = runtime();
    run_requests(|count| {
        runtime.block_on(async {
            let before = memory();
            let (mut tasks, mut senders) = lists(count);
            for _ in 0..count {
                let (sender, receiver) = channel();
                tasks.push(tokio::spawn(receiver));
                senders.push(sender);
            }
            tokio::spawn(async {}).await.expect("a task ends"); // Runs after all others.
            [memory() - before]
        })
    });
}

fn asleep(_: &[usize]) {
    let runtime = runtime();
    run_requests(|count| {
        runtime.block_on(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(tokio::spawn(async { tokio::time::sleep(HOUR).await }));
            }
            tokio::spawn(async {}).await.expect("a task ends"); // Runs after all others.
            [memory() - before]
        })
    });
}

fn echo(flood: fn(&Runtime)) {
    let runtime = runtime();
    flood(&runtime);
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener()).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream));
        }
    });
}

fn post(runtime: &Runtime) {
    let handle = runtime.handle().clone();
    post_from_threads(move |under_way| {
        handle.spawn(async move { under_way.fetch_sub(1, Ordering::Relaxed) });
    });
}

fn tick(runtime: &Runtime) {
    for _ in 0..TIMERS {
        runtime.spawn(async {
            loop {
                tokio::time::sleep(PERIOD).await;
            }
        });
    }
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Returns sleeps of one task. The first poll inserts a sleep into the timers. On a slow machine a
/// sleep may already be due; it is left out. `unconstrained`, because tokio's budget allows only
/// some hundred polls.
async fn sleeps(deadlines: &[Instant]) -> Vec<Pin<Box<Sleep>>> {
    let mut sleeps = Vec::with_capacity(deadlines.len());
    let start = |context: &mut Context<'_>| {
        for deadline in deadlines {
            let mut sleep = Box::pin(tokio::time::sleep_until((*deadline).into()));
            if sleep.as_mut().poll(context).is_pending() {
                sleeps.push(sleep);
            }
        }
        Poll::Ready(())
    };
    unconstrained(poll_fn(start)).await;
    sleeps
}

fn timers(_: &[usize]) {
    let runtime = runtime();
    run_requests(|count| {
        let deadlines = deadlines(Instant::now() + HOUR, HOUR, count);
        runtime.block_on(async {
            let before = cpu();
            let sleeps = sleeps(&deadlines).await;
            let inserted = since(before);
            drop(sleeps);
            [inserted, since(before) - inserted]
        })
    });
}

fn timers_run(_: &[usize]) {
    let runtime = runtime();
    run_requests(|count| {
        let deadlines = near_deadlines(count);
        runtime.block_on(async {
            let before = cpu();
            for sleep in sleeps(&deadlines).await {
                sleep.await;
            }
            [since(before)]
        })
    });
}

fn rearm(sizes: &[usize]) {
    let runtime = runtime();
    run_requests(|count| {
        runtime.block_on(async {
            let base = Instant::now() + HOUR;
            let mut sleeps = sleeps(&vec![base; sizes[0]]).await;
            let before = cpu();
            for step in 0..count {
                let deadline = base + Duration::from_micros(step);
                sleeps[step as usize % sizes[0]].as_mut().reset(deadline.into());
            }
            yield_now().await;
            [since(before)]
        })
    });
}

/// Each link of the chain is a task.
fn chain(_: &[usize]) {
    let runtime = runtime();
    run_requests(|count| {
        let (end, ended) = oneshot::channel();
        let spawn: fn(Link) = |next| drop(tokio::spawn(link(next)));
        let before = cpu();
        runtime.block_on(async {
            spawn(Link { left: count, end, spawn });
            ended.await.unwrap_or_default();
        });
        [since(before)]
    });
}

fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    runtime().block_on(async {
        let (sender, mut receiver) = unbounded_channel();
        let thread = traffic.start(move |message| sender.send(message).expect("it is received"));
        let mut sum = 0;
        while sum < traffic.count {
            receiver.recv().await.expect("it is sent").receive(&mut sum);
        }
        thread
    })
}

fn watch_pipes(sizes: &[usize]) {
    let runtime = runtime();
    let (readers, writers) = pipes(sizes[0]);
    let chain = Arc::new(Chain::new(writers));
    for (index, reader) in readers.into_iter().enumerate() {
        let chain = Arc::clone(&chain);
        runtime.spawn(async move {
            let mut reader = Receiver::from_owned_fd(reader.into()).expect("a pipe");
            let mut bytes = [0; READ_SIZE];
            while let Ok(count @ 1..) = reader.read(&mut bytes).await {
                chain.received(index, count);
            }
        });
    }
    run_requests(|count| {
        let before = cpu();
        chain.start(sizes[1], count);
        runtime.block_on(chain.end());
        [since(before)]
    });
}

fn http(_: &[usize]) {
    runtime().block_on(async {
        let listener = TcpListener::from_std(listener()).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async {
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new());
                let serving = server.serve_connection(TokioIo::new(stream), service_fn(hello));
                serving.await.unwrap_or_default();
            });
        }
    });
}

fn fetches(sizes: &[usize]) {
    let server = server(sizes);
    let runtime = runtime();
    let fetch = move || async move {
        let mut fetch = Fetch::start();
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(REQUEST).await?;
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).await?;
            fetch.received(count);
            if count == 0 {
                return Ok::<Fetch, std::io::Error>(fetch);
            }
        }
    };
    run_fetches(|count| {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(fetch())).collect();
            let mut fetches = Vec::with_capacity(tasks.len());
            for task in tasks {
                fetches.push(task.await.expect("a task ends").expect("a fetch"));
            }
            fetches
        })
    });
}

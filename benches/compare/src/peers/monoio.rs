//! monoio: a runtime for one thread on io_uring, or on epoll if io_uring is missing.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures_lite::future::yield_now;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::{Sleep, sleep_until};
use monoio::{FusionDriver, RuntimeBuilder};

use super::peer::{Peer, Works};
use crate::work::echo::{BUFFER, listener};
use crate::work::post::{Traffic, round_trips, throughput};
use crate::work::{
    HOUR, Link, YIELDING_TASKS, cpu, deadlines, link, lists, memory, near_deadlines, run_requests,
    since,
};

pub const PEER: Peer = Peer::rust("monoio", WORKS);

const WORKS: Works = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("oneshot", waiting),
    ("asleep", asleep),
    ("echo", echo),
    ("timers", timers),
    ("timers_run", timers_run),
    ("rearm", rearm),
    ("chain", chain),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
];

/// Builds a runtime. A macro, because the name of its type is long and depends on the features.
macro_rules! runtime {
    () => {
        RuntimeBuilder::<FusionDriver>::new().enable_timer().build().expect("a runtime")
    };
}

fn spawn(_: &[usize]) {
    let mut runtime = runtime!();
    run_requests(|count| {
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
    run_requests(|count| {
        let before = cpu();
        runtime.block_on(async {
            let turns = move || async move {
                for _ in 0..count / YIELDING_TASKS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..YIELDING_TASKS).map(|_| monoio::spawn(turns())).collect();
            for task in tasks {
                task.await;
            }
        });
        [since(before)]
    });
}

fn waiting(_: &[usize]) {
    let mut runtime = runtime!();
    run_requests(|count| {
        runtime.block_on(async {
            let before = memory();
            let (mut tasks, mut senders) = lists(count);
            for _ in 0..count {
                let (sender, receiver) = oneshot::channel::<()>();
                tasks.push(monoio::spawn(receiver));
                senders.push(sender);
            }
            monoio::spawn(async {}).await; // Runs after all others.
            [memory() - before]
        })
    });
}

fn asleep(_: &[usize]) {
    let mut runtime = runtime!();
    run_requests(|count| {
        runtime.block_on(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(monoio::spawn(async { monoio::time::sleep(HOUR).await }));
            }
            monoio::spawn(async {}).await; // Runs after all others.
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

/// Returns sleeps of one task. The first poll inserts a sleep into the timers. On a slow machine a
/// sleep may already be due; it is left out.
async fn sleeps(deadlines: &[Instant]) -> Vec<Pin<Box<Sleep>>> {
    let mut sleeps = Vec::with_capacity(deadlines.len());
    let start = |context: &mut Context<'_>| {
        for deadline in deadlines {
            let mut sleep = Box::pin(sleep_until((*deadline).into()));
            if sleep.as_mut().poll(context).is_pending() {
                sleeps.push(sleep);
            }
        }
        Poll::Ready(())
    };
    poll_fn(start).await;
    sleeps
}

fn timers(_: &[usize]) {
    let mut runtime = runtime!();
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
    let mut runtime = runtime!();
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
    let mut runtime = runtime!();
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
    let mut runtime = runtime!();
    run_requests(|count| {
        let (end, ended) = oneshot::channel();
        let spawn: fn(Link) = |next| drop(monoio::spawn(link(next)));
        let before = cpu();
        runtime.block_on(async {
            spawn(Link { left: count, end, spawn });
            ended.await.unwrap_or_default();
        });
        [since(before)]
    });
}

fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    runtime!().block_on(async {
        let (sender, receiver) = async_channel::unbounded();
        let post = move |message| sender.try_send(message).expect("it is received");
        let thread = traffic.start(post);
        let mut sum = 0;
        while sum < traffic.count {
            receiver.recv().await.expect("it is sent").receive(&mut sum);
        }
        thread
    })
}

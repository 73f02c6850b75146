//! smol on its executor for one thread.

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use smol::channel::unbounded;
use smol::future::yield_now;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::{Async, LocalExecutor, Timer, block_on};

use super::peer::{Peer, Works};
use crate::work::echo::{BUFFER, listener};
use crate::work::pipes::{Chain, READ_SIZE, pipes};
use crate::work::post::{Traffic, round_trips, throughput};
use crate::work::{
    HOUR, Link, YIELDING_TASKS, cpu, deadlines, link, lists, memory, near_deadlines, process_cpu,
    run_requests, since, since_process,
};

pub const PEER: Peer = Peer::rust("smol", WORKS);

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
    ("pipes", watch_pipes),
];

fn spawn(_: &[usize]) {
    let executor = LocalExecutor::new();
    run_requests(|count| {
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
    run_requests(|count| {
        let before = cpu();
        block_on(executor.run(async {
            let turns = move || async move {
                for _ in 0..count / YIELDING_TASKS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..YIELDING_TASKS).map(|_| executor.spawn(turns())).collect();
            for task in tasks {
                task.await;
            }
        }));
        [since(before)]
    });
}

fn waiting(_: &[usize]) {
    let executor = LocalExecutor::new();
    run_requests(|count| {
        block_on(executor.run(async {
            let before = memory();
            let (mut tasks, mut senders) = lists(count);
            for _ in 0..count {
                let (sender, receiver) = oneshot::channel::<()>();
                tasks.push(executor.spawn(receiver));
                senders.push(sender);
            }
            executor.spawn(async {}).await; // Runs after all others.
            [memory() - before]
        }))
    });
}

fn asleep(_: &[usize]) {
    let executor = LocalExecutor::new();
    run_requests(|count| {
        block_on(executor.run(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(executor.spawn(async { Timer::after(HOUR).await }));
            }
            executor.spawn(async {}).await; // Runs after all others.
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

/// Returns timers of one task. The first poll inserts a timer. On a slow machine a timer may
/// already be due; it is left out.
async fn started(deadlines: &[Instant]) -> Vec<Timer> {
    let mut timers = Vec::with_capacity(deadlines.len());
    let start = |context: &mut Context<'_>| {
        for deadline in deadlines {
            let mut timer = Timer::at(*deadline);
            if Pin::new(&mut timer).poll(context).is_pending() {
                timers.push(timer);
            }
        }
        Poll::Ready(())
    };
    poll_fn(start).await;
    timers
}

fn timers(_: &[usize]) {
    let executor = LocalExecutor::new();
    run_requests(|count| {
        let deadlines = deadlines(Instant::now() + HOUR, HOUR, count);
        block_on(executor.run(async {
            let before = cpu();
            let timers = started(&deadlines).await;
            let inserted = since(before);
            drop(timers);
            [inserted, since(before) - inserted]
        }))
    });
}

fn timers_run(_: &[usize]) {
    let executor = LocalExecutor::new();
    run_requests(|count| {
        let deadlines = near_deadlines(count);
        block_on(executor.run(async {
            let before = process_cpu();
            for timer in started(&deadlines).await {
                timer.await;
            }
            [since_process(before)]
        }))
    });
}

fn rearm(sizes: &[usize]) {
    let executor = LocalExecutor::new();
    run_requests(|count| {
        block_on(executor.run(async {
            let base = Instant::now() + HOUR;
            let mut timers = started(&vec![base; sizes[0]]).await;
            let before = cpu();
            for step in 0..count {
                timers[step as usize % sizes[0]].set_at(base + Duration::from_micros(step));
            }
            yield_now().await;
            [since(before)]
        }))
    });
}

thread_local! {
    /// The executor of the chain, for its links.
    static EXECUTOR: LocalExecutor<'static> = const { LocalExecutor::new() };
}

/// Each link of the chain is a task.
fn chain(_: &[usize]) {
    run_requests(|count| {
        let (end, ended) = oneshot::channel();
        let spawn: fn(Link) = |next| EXECUTOR.with(|el| el.spawn(link(next)).detach());
        let before = cpu();
        EXECUTOR.with(|executor| {
            block_on(executor.run(async {
                spawn(Link { left: count, end, spawn });
                ended.await.unwrap_or_default();
            }));
        });
        [since(before)]
    });
}

fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    let executor = LocalExecutor::new();
    block_on(executor.run(async {
        let (sender, receiver) = unbounded();
        let post = move |message| sender.try_send(message).expect("it is received");
        let thread = traffic.start(post);
        let mut sum = 0;
        while sum < traffic.count {
            receiver.recv().await.expect("it is sent").receive(&mut sum);
        }
        thread
    }))
}

fn watch_pipes(sizes: &[usize]) {
    let executor = LocalExecutor::new();
    let (readers, writers) = pipes(sizes[0]);
    let chain = Rc::new(Chain::new(writers));
    for (index, reader) in readers.into_iter().enumerate() {
        let chain = Rc::clone(&chain);
        let pass_on = async move {
            let reader = Async::new_nonblocking(OwnedFd::from(reader)).expect("a pipe");
            let mut bytes = [0; READ_SIZE];
            let read = |fd: &OwnedFd, bytes: &mut [u8]| Ok(rustix::io::read(fd, bytes)?);
            while let Ok(count @ 1..) = reader.read_with(|fd| read(fd, &mut bytes)).await {
                chain.received(index, count);
            }
        };
        executor.spawn(pass_on).detach();
    }
    run_requests(|count| {
        let before = cpu();
        chain.start(sizes[1], count);
        block_on(executor.run(chain.end()));
        [since(before)]
    });
}

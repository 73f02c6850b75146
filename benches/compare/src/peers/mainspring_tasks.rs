//! mainspring with tasks. The file `mainspring` has the callbacks.

use std::future::{Future, poll_fn};
use std::io::Read;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_channel::unbounded;
use futures::channel::oneshot;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use mainspring::hyper::LoopTimer;
use mainspring::net::{TcpListener, TcpStream};
use mainspring::process::Child;
use mainspring::{EventLoop, Interest, Io, Sleep, promise, sleep, sleep_until, yield_now};

use super::peer::{Peer, Works};
use crate::work::children::{command, run_children, shares};
use crate::work::echo::{PERIOD, TIMERS, listener, post_from_threads};
use crate::work::fetches::{Fetch, REQUEST, run_fetches, server};
use crate::work::http::hello;
use crate::work::pipes::{Chain, READ_SIZE, pipes};
use crate::work::post::{Traffic, round_trips, throughput};
use crate::work::{
    HOUR, Link, YIELDING_TASKS, cpu, deadlines, link, lists, memory, near_deadlines, run_requests,
    since,
};

pub const PEER: Peer = Peer::with_version("mainspring-tasks", "(its tasks)", WORKS);

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
    ("children", children),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
    ("pipes", watch_pipes),
    ("http", http),
    ("fetches", fetches),
];

fn spawn(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        let mut tasks = Vec::with_capacity(count as usize);
        let before = cpu();
        el.run_until_complete(async {
            tasks.extend((0..count).map(|_| mainspring::spawn(async {})));
            for task in tasks {
                task.await.expect("a task ends");
            }
        })
        .expect("the loop runs");
        [since(before)]
    });
}

fn switch(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        let before = cpu();
        el.run_until_complete(async {
            let turns = move || async move {
                for _ in 0..count / YIELDING_TASKS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..YIELDING_TASKS).map(|_| mainspring::spawn(turns())).collect();
            for task in tasks {
                task.await.expect("a task ends");
            }
        })
        .expect("the loop runs");
        [since(before)]
    });
}

/// Tasks that wait for a promise.
fn waiting(_: &[usize]) {
    grown(promise::<()>);
}

fn one_oneshot(_: &[usize]) {
    grown(oneshot::channel::<()>);
}

fn grown<S, R: Future + 'static>(channel: fn() -> (S, R)) {
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        el.run_until_complete(async {
            let before = memory();
            let (mut tasks, mut senders) = lists(count);
            for _ in 0..count {
                let (sender, receiver) = channel();
                tasks.push(mainspring::spawn(receiver));
                senders.push(sender);
            }
            mainspring::spawn(async {}).await.expect("a task ends"); // Runs after all others.
            [memory() - before]
        })
        .expect("the loop runs")
    });
}

fn asleep(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        el.run_until_complete(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(mainspring::spawn(async { sleep(HOUR).await }));
            }
            mainspring::spawn(async {}).await.expect("a task ends"); // Runs after all others.
            [memory() - before]
        })
        .expect("the loop runs")
    });
}

/// Returns sleeps of one task. The first poll inserts a sleep into the timers.
async fn sleeps(deadlines: &[Instant]) -> Vec<Pin<Box<Sleep>>> {
    let mut sleeps = Vec::with_capacity(deadlines.len());
    let start = |context: &mut Context<'_>| {
        for deadline in deadlines {
            let mut sleep = Box::pin(sleep_until(*deadline));
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
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        let deadlines = deadlines(Instant::now() + HOUR, HOUR, count);
        el.run_until_complete(async {
            let before = cpu();
            let sleeps = sleeps(&deadlines).await;
            let inserted = since(before);
            drop(sleeps);
            [inserted, since(before) - inserted]
        })
        .expect("the loop runs")
    });
}

fn timers_run(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        let deadlines = near_deadlines(count);
        el.run_until_complete(async {
            let before = cpu();
            for sleep in sleeps(&deadlines).await {
                sleep.await;
            }
            [since(before)]
        })
        .expect("the loop runs")
    });
}

fn rearm(sizes: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        el.run_until_complete(async {
            let base = Instant::now() + HOUR;
            let mut sleeps = sleeps(&vec![base; sizes[0]]).await;
            let before = cpu();
            for step in 0..count {
                let deadline = base + Duration::from_micros(step);
                sleeps[step as usize % sizes[0]].reset(deadline);
            }
            yield_now().await;
            [since(before)]
        })
        .expect("the loop runs")
    });
}

fn children(sizes: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    run_children(|count| {
        for share in shares(count, sizes[0]) {
            let starts = async move {
                for _ in 0..share {
                    let child = Child::spawn(command()).expect("a child");
                    assert!(child.wait().await.expect("its status").success());
                }
            };
            el.spawn(starts).detach();
        }
        el.run().expect("the loop runs");
    });
}

/// Each link of the chain is a task.
fn chain(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    run_requests(|count| {
        let (end, ended) = oneshot::channel();
        let spawn: fn(Link) = |next| mainspring::spawn(link(next)).detach();
        let before = cpu();
        el.run_until_complete(async {
            spawn(Link { left: count, end, spawn });
            ended.await.unwrap_or_default();
        })
        .expect("the loop runs");
        [since(before)]
    });
}

fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    let mut el = EventLoop::new().expect("a loop");
    el.run_until_complete(async {
        let (sender, receiver) = unbounded();
        let post = move |message| sender.try_send(message).expect("it is received");
        let thread = traffic.start(post);
        let mut sum = 0;
        while sum < traffic.count {
            receiver.recv().await.expect("it is sent").receive(&mut sum);
        }
        thread
    })
    .expect("the loop runs")
}

fn watch_pipes(sizes: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    let (readers, writers) = pipes(sizes[0]);
    let chain = Rc::new(Chain::new(writers));
    for (index, reader) in readers.into_iter().enumerate() {
        let chain = Rc::clone(&chain);
        let pass_on = async move {
            let reader = Io::with_interest(reader, Interest::READABLE).expect("a pipe");
            let mut bytes = [0; READ_SIZE];
            while let Ok(count @ 1..) = reader.read_with(|mut pipe| pipe.read(&mut bytes)).await {
                if count < READ_SIZE {
                    reader.clear_readiness(Interest::READABLE);
                }
                chain.received(index, count);
            }
        };
        el.spawn(pass_on).detach();
    }
    run_requests(|count| {
        let before = cpu();
        chain.start(sizes[1], count);
        el.run_until_complete(chain.end()).expect("the loop runs");
        [since(before)]
    });
}

fn echo(flood: fn(&EventLoop)) {
    let mut el = EventLoop::new().expect("a loop");
    flood(&el);
    el.run_until_complete(async {
        let listener = TcpListener::from_std(listener()).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            mainspring::spawn(serve(stream)).detach();
        }
    })
    .expect("the loop runs")
}

fn post(el: &EventLoop) {
    let remote = el.remote();
    post_from_threads(move |under_way| {
        let arrives = async move { under_way.fetch_sub(1, Ordering::Relaxed) };
        remote.spawn(arrives).expect("the loop is open").detach();
    });
}

fn tick(el: &EventLoop) {
    for _ in 0..TIMERS {
        let ticking = async {
            loop {
                mainspring::sleep(PERIOD).await;
            }
        };
        el.spawn(ticking).detach();
    }
}

async fn serve(stream: TcpStream) {
    while let Ok(chunk) = stream.read_chunk().await {
        if chunk.is_empty() || stream.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

fn http(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    el.run_until_complete(async {
        let listener = TcpListener::from_std(listener()).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let serve = async {
                let mut server = http1::Builder::new();
                server.timer(LoopTimer);
                let serving = server.serve_connection(stream, service_fn(hello));
                serving.await.unwrap_or_default();
            };
            mainspring::spawn(serve).detach();
        }
    })
    .expect("the loop runs")
}

/// A task for each fetch.
fn fetches(sizes: &[usize]) {
    let server = server(sizes);
    let mut el = EventLoop::new().expect("a loop");
    let fetch = move || async move {
        let mut fetch = Fetch::start();
        let stream = TcpStream::connect(server).await?;
        stream.write_all(REQUEST).await?;
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).await?;
            fetch.received(count);
            if count == 0 {
                return Ok::<Fetch, mainspring::Error>(fetch);
            }
        }
    };
    run_fetches(|count| {
        let all = async {
            let tasks: Vec<_> = (0..count).map(|_| mainspring::spawn(fetch())).collect();
            let mut fetches = Vec::with_capacity(tasks.len());
            for task in tasks {
                fetches.push(task.await.expect("a task ends").expect("a fetch"));
            }
            fetches
        };
        el.run_until_complete(all).expect("the loop runs")
    });
}

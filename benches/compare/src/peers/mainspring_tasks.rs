//! mainspring: its tasks, beside its callbacks in the file `mainspring`.

use std::io::Read;
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use mainspring::hyper::LoopTimer;
use mainspring::net::{TcpListener, TcpStream};
use mainspring::{EventLoop, Interest, Io, Promise, sleep, yield_now};

use super::{Peer, Work};
use crate::work::echo::{BUFFER, listener};
use crate::work::http::hello;
use crate::work::pipes::{Chain, ROOM, pipes};
use crate::work::{HOUR, TAKING_TURNS, answer, cpu, lists, memory, since};

pub const PEER: Peer = Peer::own("mainspring-tasks", "as mainspring", WORK);

const WORK: &[(&str, Work)] = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("asleep", asleep),
    ("echo", echo),
    ("pipes", watch_pipes),
    ("http", http),
];

fn spawn(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    answer(|count| {
        let mut tasks = Vec::with_capacity(count as usize);
        let before = cpu();
        el.run_until_complete(async {
            tasks.extend((0..count).map(|_| mainspring::spawn(async {})));
            for task in tasks {
                task.await.expect("a task ends");
            }
        })
        .expect("the loop turns");
        [since(before)]
    });
}

fn switch(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    answer(|count| {
        let before = cpu();
        el.run_until_complete(async {
            let turns = move || async move {
                for _ in 0..count / TAKING_TURNS {
                    yield_now().await;
                }
            };
            let tasks: Vec<_> = (0..TAKING_TURNS).map(|_| mainspring::spawn(turns())).collect();
            for task in tasks {
                task.await.expect("a task ends");
            }
        })
        .expect("the loop turns");
        [since(before)]
    });
}

fn waiting(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    answer(|count| {
        el.run_until_complete(async {
            let before = memory();
            let (mut tasks, mut promises) = lists(count);
            for _ in 0..count {
                let (promise, promised) = Promise::<()>::new();
                tasks.push(mainspring::spawn(promised));
                promises.push(promise);
            }
            mainspring::spawn(async {}).await.expect("a task ends"); // It is the last one to run.
            [memory() - before]
        })
        .expect("the loop turns")
    });
}

fn asleep(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    answer(|count| {
        el.run_until_complete(async {
            let before = memory();
            let mut tasks = Vec::with_capacity(count as usize);
            for _ in 0..count {
                tasks.push(mainspring::spawn(async { sleep(HOUR).await }));
            }
            mainspring::spawn(async {}).await.expect("a task ends"); // It is the last one to run.
            [memory() - before]
        })
        .expect("the loop turns")
    });
}

fn watch_pipes(sizes: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    let (readers, writers) = pipes(sizes[0]);
    let chain = Rc::new(Chain::new(writers));
    for (index, reader) in readers.into_iter().enumerate() {
        let chain = Rc::clone(&chain);
        let pass_on = async move {
            let reader = Io::with_interest(reader, Interest::READABLE).expect("a pipe");
            let mut bytes = [0; ROOM];
            while let Ok(count @ 1..) = reader.read_with(|mut pipe| pipe.read(&mut bytes)).await {
                if count < ROOM {
                    reader.drained(Interest::READABLE);
                }
                chain.received(index, count);
            }
        };
        el.spawn(pass_on).detach();
    }
    answer(|count| {
        let before = cpu();
        chain.begin(sizes[1], count);
        el.run_until_complete(chain.end()).expect("the loop turns");
        [since(before)]
    });
}

fn echo(_: &[usize]) {
    let mut el = EventLoop::new().expect("a loop");
    el.run_until_complete(async {
        let listener = TcpListener::from_std(listener()).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            mainspring::spawn(serve(stream)).detach();
        }
    })
    .expect("the loop turns")
}

async fn serve(stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
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
    .expect("the loop turns")
}

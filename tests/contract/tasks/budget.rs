//! A task with awaits that all complete at once still returns to the loop (docs/contract.md, Q5).

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::{Host, TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host};
use mainspring::testing::SimClock;
use mainspring::{
    CancelScope, EventLoop, Interest, Io, Shutdown, Task, TaskGroup, WaitUntil, as_completed,
    gather, gather_all, promise, race, spawn_blocking, timeout, wait,
};

use crate::support::descriptors::pair;
use crate::support::on_every_selector;
use crate::support::ticks::tick;

/// Maximum number of awaits of this crate that complete in one poll.
const STEPS: usize = 128;
/// Number of repetitions after which a test gives up on an await that never yields.
const ENDLESS: usize = 20 * STEPS;
const SECOND: Duration = Duration::from_secs(1);

type Repeated = Pin<Box<dyn Future<Output = ()>>>;

/// Creates, for each repetition, an await that completes at once.
type Make = Box<dyn FnMut() -> Repeated>;

fn each<F: Future + 'static>(mut make: impl FnMut() -> F + 'static) -> Make {
    Box::new(move || {
        let future = make();
        Box::pin(async move { drop(future.await) })
    })
}

/// Returns `items` one by one, and then an await that never completes.
fn one_by_one<F: Future + 'static>(items: Vec<F>) -> Make {
    let mut items = items.into_iter();
    Box::new(move || match items.next() {
        Some(item) => Box::pin(async move { drop(item.await) }),
        None => Box::pin(std::future::pending()),
    })
}

fn finished_tasks(el: &mut EventLoop<()>) -> Vec<Task<()>> {
    let tasks: Vec<_> = (0..ENDLESS).map(|_| el.spawn(async {})).collect();
    tick(el);
    tasks
}

fn set_promises() -> Vec<mainspring::Promised<u32>> {
    let set = |_| {
        let (promise, promised) = promise();
        promise.set_result(1);
        promised
    };
    (0..ENDLESS).map(set).collect()
}

fn abandoned_promises() -> Vec<mainspring::Promised<u32>> {
    (0..ENDLESS).map(|_| promise().1).collect()
}

fn connects() -> Vec<(&'static str, Make)> {
    let refused = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap() // Nothing listens at that address from now on.
    };
    let (one, many) = (refused(), vec![refused(); 8]);
    vec![
        ("connect, refused", each(move || TcpStream::connect(one))),
        ("connect, no address", each(|| TcpStream::connect("nothing"))),
        ("connect_timeout", each(move || TcpStream::connect_timeout(one, SECOND))),
        (
            "connect_any",
            each(move || {
                let many = many.clone();
                async move { TcpStream::connect_any(&many, SECOND).await.map(drop) }
            }),
        ),
        ("connect_any, none", each(|| TcpStream::connect_any(&[], SECOND))),
        ("connect_host", each(|| TcpStream::connect_host("no host", SECOND))),
        ("unix connect", each(|| UnixStream::connect("/there/is/no/such/socket"))),
        ("lookup_host, address", each(|| lookup_host("127.0.0.1:1"))),
        ("lookup_host, refused", each(|| lookup_host("no host"))),
        (
            "Host::lookup",
            each(|| {
                let pool = mainspring::BlockingPool::new();
                Host::new("127.0.0.1", 1).unwrap().lookup(&pool).unwrap()
            }),
        ),
    ]
}

fn sources() -> Vec<(&'static str, Make)> {
    let udp = Rc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let (one, other) = UnixDatagram::pair().unwrap();
    let unix = Rc::new((one, other));
    let (ours, theirs) = pair();
    let io = Rc::new(Io::new(ours).unwrap());
    let (empty, wrong) = (io.clone(), io.clone());
    vec![
        (
            "UdpSocket::send_to, no address",
            each(move || {
                let udp = udp.clone();
                async move { drop(udp.send_to(b"x", "nothing").await) }
            }),
        ),
        (
            "UnixDatagram::send_to, no socket",
            each(move || {
                let unix = unix.clone();
                async move { drop(unix.0.send_to(b"x", "/there/is/no/such/socket").await) }
            }),
        ),
        (
            "Io::writable",
            each(move || {
                let (io, _open) = (io.clone(), &theirs);
                async move { drop(io.writable().await) }
            }),
        ),
        (
            "Io::write_all, nothing",
            each(move || {
                let io = empty.clone();
                async move { drop(io.write_all(b"").await) }
            }),
        ),
        (
            "Io::ready, not watched for",
            each(move || {
                let io = wrong.clone();
                async move { drop(io.ready(Interest::PRIORITY).await) }
            }),
        ),
    ]
}

fn streams() -> Vec<(&'static str, Make)> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (stream, _theirs) = (Rc::new(ours), Rc::new(theirs));
    let (reader, writer) = (stream.clone(), stream);
    vec![
        (
            "read_exact, nothing",
            each(move || {
                let (stream, _open) = (reader.clone(), _theirs.clone());
                async move { drop(stream.read_exact(&mut []).await) }
            }),
        ),
        (
            "write_all, nothing",
            each(move || {
                let stream = writer.clone();
                async move { drop(stream.write_all(b"").await) }
            }),
        ),
    ]
}

fn combinations() -> Vec<(&'static str, Make)> {
    type Tasks = [Task<mainspring::Result<()>>; 0];
    let (scope, cancelled) = (CancelScope::new(), CancelScope::new());
    cancelled.cancel("before it began");
    let shutdown = Shutdown::new();
    shutdown.begin(SECOND);
    let (started, until, tracked, finished) =
        (shutdown.clone(), shutdown.clone(), shutdown.clone(), shutdown);
    vec![
        ("timeout", each(|| timeout(SECOND, ready(1)))),
        ("race", each(|| race(ready(1), ready(2)))),
        ("CancelScope::run", each(move || scope.run(ready(1)))),
        ("CancelScope::run, cancelled", each(move || cancelled.run(std::future::pending::<()>()))),
        ("TaskGroup::run", each(|| TaskGroup::run(async |_| Ok(1)))),
        ("gather", each(|| gather(Tasks::default()))),
        ("gather_all", each(|| gather_all(Tasks::default()))),
        ("wait", each(|| wait(Tasks::default(), WaitUntil::All))),
        ("as_completed", each(|| async { as_completed(Tasks::default()).next().await.is_none() })),
        ("Shutdown::started", each(move || started.started())),
        (
            "Shutdown::until_started",
            each(move || {
                let shutdown = until.clone();
                async move { shutdown.until_started(ready(1)).await.is_none() }
            }),
        ),
        ("Shutdown::track", each(move || tracked.track(ready(1)))),
        (
            "Shutdown::finish",
            each(move || {
                let shutdown = finished.clone();
                async move { shutdown.finish().await }
            }),
        ),
    ]
}

fn awaits(el: &mut EventLoop<()>) -> Vec<(&'static str, Make)> {
    let mut awaits = vec![
        ("Task", one_by_one(finished_tasks(el))),
        ("Promised, set", one_by_one(set_promises())),
        ("Promised, abandoned", one_by_one(abandoned_promises())),
        ("spawn_blocking, refused", each(|| spawn_blocking(|| ()))),
    ];
    awaits.extend(connects());
    awaits.extend(sources());
    awaits.extend(streams());
    awaits.extend(combinations());
    awaits
}

/// Repeats the await. Returns the number of repetitions in each of four ticks.
fn repetitions(el: &mut EventLoop<()>, mut make: Make) -> Vec<usize> {
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    let repeating = el.spawn(async move {
        for _ in 0..ENDLESS {
            counter.set(counter.get() + 1);
            make().await;
        }
    });
    let ticks = (0..4).map(|_| {
        tick(el);
        count.take()
    });
    let counts = ticks.collect();
    repeating.cancel("enough was seen");
    tick(el);
    counts
}

#[test]
fn q5_awaits_that_complete_at_once_let_other_tasks_run() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(kind).clock(SimClock::new());
        let mut el = builder.build().unwrap();
        el.blocking_pool().close(Duration::ZERO).unwrap();
        for (name, make) in awaits(&mut el) {
            for (tick, count) in repetitions(&mut el, make).into_iter().enumerate() {
                assert!((1..=STEPS + 1).contains(&count), "{name}: {count} in tick {tick}");
            }
        }
    });
}

/// A signal and a timer are served although the task never waits for an event.
#[test]
fn q5_a_retry_loop_delays_others_by_at_most_two_ticks() {
    on_every_selector(|kind| {
        let clock = SimClock::new();
        let builder = EventLoop::builder().selector(kind).clock(clock.clone());
        let mut el = builder.build_with((0, 0)).unwrap();
        el.call_every(SECOND, |_, (timer, _)| *timer += 1).unwrap();
        el.add_signal_handler(mainspring::Signal::USR2, |_, (_, signal)| *signal += 1).unwrap();
        let retrying = async {
            loop {
                assert!(UnixStream::connect("/there/is/no/such/socket").await.is_err());
            }
        };
        el.spawn(retrying).detach();
        for round in 1..=5 {
            clock.advance(SECOND);
            mainspring::Signal::USR2.raise().unwrap();
            tick(&mut el);
            tick(&mut el);
            assert_eq!(*el.state(), (round, round));
        }
    });
}

/// Futures that are pending do not use up the budget, however many they are.
#[test]
fn q5_a_task_with_many_pending_futures_does_not_spin() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(kind).clock(SimClock::new());
        let mut el = builder.build().unwrap();
        let (set, waiting): (Vec<_>, Vec<_>) = (0..4 * STEPS).map(|_| promise()).unzip();
        let all = el.spawn(futures::future::join_all(waiting));
        tick(&mut el);
        tick(&mut el);
        assert_eq!(tick(&mut el), 0);
        set.into_iter().for_each(|promise| promise.set_result(1));
        let sum: u32 = el.run_until_complete(all).unwrap().unwrap().into_iter().flatten().sum();
        assert_eq!(sum as usize, 4 * STEPS);
    });
}

/// Outside a task's poll there is no limit.
#[test]
fn q5_another_executor_has_no_budget() {
    let promises = set_promises();
    let all = async {
        for promised in promises {
            assert!(promised.await.is_ok());
        }
    };
    assert_eq!(futures::FutureExt::now_or_never(all), Some(()));
}

#[test]
fn q5_the_main_future_has_a_budget() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(kind).clock(SimClock::new());
        let mut el = builder.build_with(0).unwrap();
        fn requeue(el: &mainspring::LoopHandle<usize>, ticks: &mut usize) {
            *ticks += 1;
            el.call_soon(requeue);
        }
        el.call_soon(requeue);
        el.run_until_complete(async {
            for promised in set_promises() {
                assert!(promised.await.is_ok());
            }
        })
        .unwrap();
        assert!(*el.state() >= ENDLESS / STEPS - 1, "{}", el.state());
    });
}

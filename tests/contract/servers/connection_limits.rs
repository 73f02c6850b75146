//! Limits for tasks that accept: the number of connections, and time (docs/contract.md, S8).

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::unix::net::UnixStream as StdUnix;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mainspring::net::{TcpListener, TcpStream, UnixListener};
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, Result, SelectorKind, Task, spawn, timeout};

use crate::support::network::short_dir;
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const SECOND: Duration = Duration::from_secs(1);

/// Ticks until nothing runs.
fn tick_until_idle(el: &mut EventLoop<()>) {
    let ticks = (0..1000).take_while(|_| tick(el) > 0).count();
    assert!(ticks < 1000, "the loop spins");
}

/// Asserts that the loop sleeps until its next timer. With a ready fd it would not.
fn assert_idle(el: &mut EventLoop<()>, clock: &SimClock) {
    tick_until_idle(el);
    let began = clock.elapsed();
    let timer = el.call_later(SECOND, |_, ()| {});
    let ticks = (0..10).take_while(|_| {
        el.tick(None).unwrap();
        clock.elapsed() == began
    });
    assert!(ticks.count() <= 1, "the loop spins");
    el.cancel(timer);
}

/// Streams that the tasks accepted.
type Accepted<T = TcpStream> = Rc<RefCell<Vec<T>>>;

/// Returns a listener, its address, and the list for [`accepting`].
fn tcp() -> (Rc<TcpListener>, SocketAddr, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Rc::new(listener), address, Accepted::default())
}

/// Spawns a task that accepts connections and keeps them.
fn accepting(el: &EventLoop<()>, listener: &Rc<TcpListener>, kept: &Accepted) -> Task<Result<()>> {
    let (listener, kept) = (listener.clone(), kept.clone());
    el.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            kept.borrow_mut().push(stream);
        }
    })
}

fn clients(address: SocketAddr, count: usize) -> Vec<StdStream> {
    (0..count).map(|_| StdStream::connect(address).unwrap()).collect()
}

/// Loop with one task that accepts at most `most` of `count` clients.
struct Full {
    el: EventLoop<()>,
    clock: SimClock,
    listener: Rc<TcpListener>,
    kept: Accepted,
    clients: Vec<StdStream>,
}

impl Full {
    fn new(kind: SelectorKind, most: usize, count: usize) -> Full {
        let (mut el, clock) = simulated(kind, ());
        let (listener, address, kept) = tcp();
        listener.set_max_connections(most);
        accepting(&el, &listener, &kept).detach();
        let clients = clients(address, count);
        tick_until_idle(&mut el);
        assert_eq!(listener.connections(), most);
        assert_idle(&mut el, &clock);
        Full { el, clock, listener, kept, clients }
    }

    fn take(&self) -> TcpStream {
        self.kept.borrow_mut().remove(0)
    }

    /// Asserts that no further stream gets accepted.
    fn assert_stays(&mut self, kept: usize) {
        assert_idle(&mut self.el, &self.clock);
        assert_eq!(self.kept.borrow().len(), kept);
    }

    /// Asserts that exactly one further stream gets accepted within two ticks.
    fn assert_one_more(&mut self, kept: usize) {
        tick(&mut self.el);
        tick(&mut self.el);
        assert_eq!(self.kept.borrow().len(), kept);
        self.assert_stays(kept);
    }
}

#[test]
fn s8_tasks_accept_no_more_than_the_limit_until_a_stream_is_dropped() {
    on_every_selector(|kind| {
        let mut full = Full::new(kind, 2, 5);
        full.assert_stays(2);
        for _ in 0..3 {
            drop(full.take());
            assert_eq!(full.listener.connections(), 1);
            full.assert_one_more(2);
            assert_eq!(full.listener.connections(), 2);
        }
        full.kept.borrow_mut().clear(); // The backlog is empty.
        full.assert_stays(0);
        assert_eq!(full.listener.connections(), 0);
        full.clients.iter_mut().for_each(|client| assert_eq!(client.read(&mut [0]).unwrap(), 0));
    });
}

#[test]
fn s8_a_limit_can_be_lowered_and_raised_while_tasks_accept() {
    on_every_selector(|kind| {
        let mut full = Full::new(kind, 3, 9);
        full.listener.set_max_connections(1); // Closes no stream.
        full.assert_stays(3);
        drop((full.take(), full.take()));
        full.assert_stays(1);
        full.listener.set_max_connections(2);
        full.assert_one_more(2);
        full.listener.set_max_connections(0);
        full.kept.borrow_mut().clear();
        full.assert_stays(0);
        full.listener.set_max_connections(1);
        full.assert_one_more(1);
        full.listener.set_max_connections(usize::MAX);
        tick_until_idle(&mut full.el);
        assert_eq!((full.kept.borrow().len(), full.listener.connections()), (5, 5));
    });
}

#[test]
fn s8_streams_that_were_accepted_before_the_limit_was_set_count() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (listener, address, kept) = tcp();
        accepting(&el, &listener, &kept).detach();
        let _clients = clients(address, 3);
        tick_until_idle(&mut el);
        assert_eq!(listener.connections(), 3);
        listener.set_max_connections(3);
        let _late = clients(address, 1);
        assert_idle(&mut el, &clock);
        assert_eq!(kept.borrow().len(), 3);
        drop(kept.borrow_mut().pop());
        tick_until_idle(&mut el);
        assert_eq!(kept.borrow().len(), 3);
    });
}

#[test]
fn s8_halves_count_as_one_stream_until_both_are_dropped() {
    on_every_selector(|kind| {
        let mut full = Full::new(kind, 1, 3);
        let (reader, writer) = full.take().into_split();
        full.assert_stays(0);
        drop(writer);
        full.assert_stays(0);
        drop(reader);
        full.assert_one_more(1);
        let (reader, writer) = full.take().into_split();
        drop(reader);
        full.assert_stays(0);
        drop(writer);
        full.assert_one_more(1);
    });
}

#[test]
fn s8_a_stream_taken_out_of_the_loop_does_not_count() {
    on_every_selector(|kind| {
        let mut full = Full::new(kind, 1, 3);
        let mut client = full.clients.remove(0);
        let socket = full.take().into_socket();
        assert_eq!(full.listener.connections(), 0);
        full.assert_one_more(1);
        (&socket).write_all(b"x").unwrap(); // The socket is still open.
        client.read_exact(&mut [0]).unwrap();
        drop(socket);
        full.assert_stays(1);
    });
}

#[test]
fn s8_tasks_that_accept_from_one_listener_share_its_limit() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (listener, address, kept) = tcp();
        let tasks: Vec<_> = (0..4).map(|_| accepting(&el, &listener, &kept)).collect();
        listener.set_max_connections(2);
        tick_until_idle(&mut el); // All tasks wait for a client.
        let _clients = clients(address, 6);
        assert_idle(&mut el, &clock);
        assert_eq!((kept.borrow().len(), listener.connections()), (2, 2));
        for _ in 0..4 {
            drop(kept.borrow_mut().remove(0));
            tick(&mut el);
            tick(&mut el);
            assert_eq!((kept.borrow().len(), listener.connections()), (2, 2));
            assert_idle(&mut el, &clock);
            assert_eq!(kept.borrow().len(), 2);
        }
        assert!(tasks.iter().all(|task| !task.is_finished()));
    });
}

/// A result that is ready wins over a cancellation, so the cancelled task may get the stream too.
#[test]
fn s8_a_task_cancelled_while_it_accepts_frees_its_place() {
    on_every_selector(|kind| {
        for is_woken in [true, false] {
            let mut full = Full::new(kind, 1, 3);
            let late = Accepted::default();
            let task = accepting(&full.el, &full.listener, &late);
            full.assert_stays(1);
            let held = full.take();
            if is_woken {
                drop(held);
                task.cancel("a test");
            } else {
                task.cancel("a test");
                drop(held);
            }
            tick_until_idle(&mut full.el);
            assert!(task.is_finished());
            let accepted = full.kept.borrow().len() + late.borrow().len();
            assert_eq!((accepted, full.listener.connections()), (1, 1));
            late.borrow_mut().clear();
            full.kept.borrow_mut().clear();
            full.assert_one_more(1);
        }
    });
}

/// Accept future that the test drops.
type Accept = Pin<Box<dyn Future<Output = Result<(TcpStream, SocketAddr)>>>>;

#[test]
fn s8_a_woken_accept_that_is_dropped_leaves_its_place_to_the_next() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (listener, address, kept) = tcp();
        listener.set_max_connections(1);
        let _clients = clients(address, 2);
        let (held, _) = el.run_until_complete(listener.accept()).unwrap().unwrap();
        let own = listener.clone();
        let accept: Accept = Box::pin(async move { own.accept().await });
        let accept = Rc::new(RefCell::new(Some(accept)));
        let polled = accept.clone();
        el.spawn(poll_fn(move |cx| match polled.borrow_mut().as_mut() {
            Some(accept) => accept.as_mut().poll(cx).map(drop),
            None => Poll::Ready(()),
        }))
        .detach();
        tick_until_idle(&mut el);
        accepting(&el, &listener, &kept).detach(); // Second in the queue.
        assert_idle(&mut el, &clock);
        drop(held);
        drop(accept.take());
        tick(&mut el);
        tick(&mut el);
        assert_eq!((kept.borrow().len(), listener.connections()), (1, 1));
    });
}

#[test]
fn s8_accepts_that_time_out_at_the_limit_use_no_place() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (listener, address, _) = tcp();
        listener.set_max_connections(1);
        let _clients = clients(address, 2);
        el.run_until_complete(async {
            let (held, _) = listener.accept().await?;
            for _ in 0..10 {
                let late = timeout(SECOND, listener.accept()).await;
                assert!(matches!(late, Err(Error::TimedOut(_))));
            }
            assert_eq!(listener.connections(), 1);
            drop(held);
            timeout(SECOND, listener.accept()).await??;
            assert_eq!(listener.connections(), 0);
            Ok::<(), Error>(())
        })
        .unwrap()
        .unwrap();
    });
}

#[test]
fn s8_a_unix_listener_has_the_same_limit() {
    on_every_selector(|kind| {
        let path = short_dir().join(format!("mainspring-limit-{}-{kind}", std::process::id()));
        let (mut el, clock) = simulated(kind, ());
        let listener = Rc::new(UnixListener::bind(&path).unwrap());
        listener.set_max_connections(2);
        let kept = Accepted::default();
        let task = {
            let (listener, kept) = (listener.clone(), kept.clone());
            el.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    kept.borrow_mut().push(stream);
                }
            })
        };
        let _clients = [(); 4].map(|()| StdUnix::connect(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert_idle(&mut el, &clock);
        assert_eq!((kept.borrow().len(), listener.connections()), (2, 2));
        let (reader, writer) = kept.borrow_mut().remove(0).into_split();
        drop(writer);
        assert_idle(&mut el, &clock);
        assert_eq!(kept.borrow().len(), 1);
        drop(reader);
        tick_until_idle(&mut el);
        let socket = kept.borrow_mut().remove(0).into_socket();
        tick_until_idle(&mut el);
        assert_eq!((kept.borrow().len(), listener.connections()), (2, 2));
        drop((socket, task));
    });
}

/// Streams may outlive their listener and their loop.
#[test]
fn s8_streams_that_outlive_their_listener_close_normally() {
    on_every_selector(|kind| {
        let Full { mut el, listener, kept, mut clients, .. } = Full::new(kind, 2, 2);
        let mut streams = kept.take();
        let (second, first) = (streams.pop(), streams.pop());
        drop(listener);
        drop(first);
        tick_until_idle(&mut el);
        el.close();
        drop(el);
        drop(second);
        clients.iter_mut().for_each(|client| assert_eq!(client.read(&mut [0]).unwrap(), 0));
    });
}

/// Idle limit of a task: a timeout around each read. When it ends, the next client is accepted.
#[test]
fn s8_a_timeout_around_each_read_is_an_idle_limit() {
    async fn serve(stream: TcpStream) -> Result<()> {
        loop {
            let chunk = timeout(30 * SECOND, stream.read_chunk()).await??;
            if chunk.is_empty() {
                return Ok(());
            }
            timeout(30 * SECOND, stream.write_all(&chunk)).await??;
        }
    }
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let (listener, address, _) = tcp();
        listener.set_max_connections(1);
        let ends = Rc::new(RefCell::new(Vec::new()));
        let serving = {
            let ends = ends.clone();
            async move {
                loop {
                    let (stream, _) = listener.accept().await?;
                    let ends = ends.clone();
                    let serving = async move {
                        let end = serve(stream).await;
                        ends.borrow_mut().push(end);
                    };
                    spawn(serving).detach();
                }
            }
        };
        let serving: Task<Result<()>> = el.spawn(serving);
        let mut clients = clients(address, 2);
        tick_until_idle(&mut el);
        for _ in 0..3 {
            clock.advance(29 * SECOND);
            clients[0].write_all(b"x").unwrap();
            tick_until_idle(&mut el);
            clients[0].read_exact(&mut [0]).unwrap();
        }
        assert_eq!(ends.borrow().len(), 0);
        clock.advance(30 * SECOND);
        tick_until_idle(&mut el);
        assert!(matches!(ends.borrow()[..], [Err(Error::TimedOut(_))]));
        assert_eq!(clients[0].read(&mut [0]).unwrap(), 0);
        clients[1].write_all(b"y").unwrap(); // This client is served now.
        tick_until_idle(&mut el);
        clients[1].read_exact(&mut [0]).unwrap();
        assert!(!serving.is_finished());
    });
}

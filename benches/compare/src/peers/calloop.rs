//! calloop: callbacks for sources. An executor for futures is one of the sources.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use calloop::channel::{self, channel};
use calloop::futures::{Scheduler, executor};
use calloop::generic::{Generic, NoIoDrop};
use calloop::timer::{TimeoutAction, TimeoutFuture, Timer};
use calloop::{
    Dispatcher, EventLoop, EventSource, Interest, LoopHandle, Mode, Poll, PostAction, Readiness,
    RegistrationToken, Token, TokenFactory,
};
use futures::channel::oneshot;
use futures_lite::future::yield_now;

use super::peer::{Peer, Works};
use crate::work::echo::{BUFFER, Backlog, Echo, listener};
use crate::work::pipes::{Chain, full_pipes, pipes};
use crate::work::post::{Message, Traffic, round_trips, throughput};
use crate::work::{
    BATCH, HOUR, YIELDING_TASKS, cpu, deadlines, memory, near_deadlines, run_requests, since,
    since_for,
};

pub const PEER: Peer = Peer::rust("calloop", WORKS);

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
    ("batch", batch),
    ("post", |_| throughput(transfer)),
    ("round_trip", |_| round_trips(transfer)),
    ("dispatch", dispatch),
    ("pipes", watch_pipes),
];

/// Returns a loop. Its state counts completed futures.
fn executing() -> (EventLoop<'static, u64>, Scheduler<()>) {
    let el = EventLoop::try_new().expect("a loop");
    let (executor, scheduler) = executor().expect("an executor");
    el.handle().insert_source(executor, |(), (), ended| *ended += 1).expect("a source");
    (el, scheduler)
}

/// Tasks have no handles: the callback of the source receives their outputs.
fn spawn(_: &[usize]) {
    let (mut el, scheduler) = executing();
    run_requests(|count| {
        let before = cpu();
        for _ in 0..count {
            scheduler.schedule(async {}).expect("a task");
        }
        run_until_ended(&mut el, count);
        [since(before)]
    });
}

fn switch(_: &[usize]) {
    let (mut el, scheduler) = executing();
    run_requests(|count| {
        let before = cpu();
        for _ in 0..YIELDING_TASKS {
            let turns = async move {
                for _ in 0..count / YIELDING_TASKS {
                    yield_now().await;
                }
            };
            scheduler.schedule(turns).expect("a task");
        }
        run_until_ended(&mut el, YIELDING_TASKS);
        [since(before)]
    });
}

fn run_until_ended(el: &mut EventLoop<'static, u64>, count: u64) {
    let mut ended = 0;
    while ended < count {
        el.dispatch(None, &mut ended).expect("the loop runs");
    }
}

fn waiting(_: &[usize]) {
    let (mut el, scheduler) = executing();
    run_requests(|count| {
        let before = memory();
        let mut senders = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel::<()>();
            scheduler.schedule(async { receiver.await.unwrap_or_default() }).expect("a task");
            senders.push(sender);
        }
        scheduler.schedule(async {}).expect("a task"); // Runs after all others.
        run_until_ended(&mut el, 1);
        [memory() - before]
    });
}

fn asleep(_: &[usize]) {
    let (mut el, scheduler) = executing();
    run_requests(|count| {
        let before = memory();
        for _ in 0..count {
            let el = el.handle();
            let sleep = async move { TimeoutFuture::from_duration(&el, HOUR).await };
            scheduler.schedule(sleep).expect("a task");
        }
        scheduler.schedule(async {}).expect("a task"); // Runs after all others.
        run_until_ended(&mut el, 1);
        [memory() - before]
    });
}

/// A connection: a source that contains a generic one and changes its interest.
struct Connection {
    stream: Generic<TcpStream>,
    echo: Echo,
    buffer: Rc<RefCell<Vec<u8>>>,
}

impl EventSource for Connection {
    type Event = ();
    type Metadata = ();
    type Ret = ();
    type Error = io::Error;

    fn process_events<F: FnMut((), &mut ())>(
        &mut self,
        readiness: Readiness,
        token: Token,
        _: F,
    ) -> io::Result<PostAction> {
        let Connection { stream, echo, buffer } = self;
        let served = stream.process_events(readiness, token, |readiness, stream| {
            if readiness.readable {
                echo.readable(&**stream, &mut buffer.borrow_mut())?;
            }
            if readiness.writable {
                echo.writable(&**stream)?;
            }
            Ok(PostAction::Continue)
        });
        let (readable, writable) = self.echo.interest();
        let interest = &mut self.stream.interest;
        let is_as_before = (interest.readable, interest.writable) == (readable, writable);
        *interest = Interest { readable, writable };
        match (readable, writable) {
            _ if served.is_err() => Ok(PostAction::Remove),
            (false, false) => Ok(PostAction::Remove),
            _ if is_as_before => Ok(PostAction::Continue),
            _ => Ok(PostAction::Reregister),
        }
    }

    fn register(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.stream.register(poll, tokens)
    }

    fn reregister(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.stream.reregister(poll, tokens)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.stream.unregister(poll)
    }
}

fn echo(_: &[usize]) {
    let mut el: EventLoop<'_, ()> = EventLoop::try_new().expect("a loop");
    let listener = Generic::new(listener(), Interest::READ, Mode::Level);
    let (handle, buffer) = (el.handle(), Rc::new(RefCell::new(vec![0; BUFFER])));
    let (tick, mut backlog) = (Rc::new(Cell::new(0)), Backlog::default());
    let this_tick = Rc::clone(&tick);
    let accept = move |_, listener: &mut NoIoDrop<TcpListener>, (): &mut ()| {
        for _ in 0..backlog.batch(this_tick.get()) {
            let Ok((stream, _)) = listener.accept() else { break };
            stream.set_nonblocking(true)?;
            let stream = Generic::new(stream, Interest::READ, Mode::Level);
            let (echo, buffer) = (Echo::default(), Rc::clone(&buffer));
            let connection = Connection { stream, echo, buffer };
            handle.insert_source(connection, |(), (), ()| {}).expect("a source");
        }
        Ok(PostAction::Continue)
    };
    el.handle().insert_source(listener, accept).expect("a source");
    el.run(None, &mut (), |()| tick.set(tick.get() + 1)).expect("the loop runs");
}

/// Returns a loop with timers. Its state counts those that have run.
fn timed(deadlines: &[Instant]) -> (EventLoop<'static, u64>, Vec<RegistrationToken>) {
    let el = EventLoop::try_new().expect("a loop");
    let mut timers = Vec::with_capacity(deadlines.len());
    for deadline in deadlines {
        let run = |_, (): &mut (), ran: &mut u64| {
            *ran += 1;
            TimeoutAction::Drop
        };
        let timer = Timer::from_deadline(*deadline);
        timers.push(el.handle().insert_source(timer, run).expect("a source"));
    }
    (el, timers)
}

fn timers(_: &[usize]) {
    run_requests(|count| {
        let deadlines = deadlines(Instant::now() + HOUR, HOUR, count);
        let before = cpu();
        let (el, timers) = timed(&deadlines);
        let inserted = since(before);
        timers.into_iter().for_each(|timer| el.handle().remove(timer));
        [inserted, since(before) - inserted]
    });
}

fn timers_run(_: &[usize]) {
    run_requests(|count| {
        let deadlines = near_deadlines(count);
        let before = cpu();
        let (mut el, _timers) = timed(&deadlines);
        run_until_ended(&mut el, count);
        [since(before)]
    });
}

fn rearm(sizes: &[usize]) {
    let mut el: EventLoop<'_, ()> = EventLoop::try_new().expect("a loop");
    let base = Instant::now() + HOUR;
    let insert = |_| {
        let run = |_, (): &mut (), (): &mut ()| TimeoutAction::Drop;
        let timer = Dispatcher::new(Timer::from_deadline(base), run);
        let token = el.handle().register_dispatcher(timer.clone()).expect("a source");
        (timer, token)
    };
    let timers: Vec<_> = (0..sizes[0]).map(insert).collect();
    run_requests(|count| {
        let before = cpu();
        for step in 0..count {
            let (timer, token) = &timers[step as usize % sizes[0]];
            timer.as_source_mut().set_deadline(base + Duration::from_micros(step));
            el.handle().update(token).expect("a source");
        }
        el.dispatch(Duration::ZERO, &mut ()).expect("the loop runs");
        [since(before)]
    });
}

fn chain(_: &[usize]) {
    fn link(el: &LoopHandle<'static, u64>) {
        let next = el.clone();
        el.insert_idle(move |seen| {
            *seen += 1;
            link(&next);
        });
    }
    let mut el = EventLoop::try_new().expect("a loop");
    link(&el.handle());
    run_requests(|count| {
        let (before, mut seen) = (cpu(), 0);
        while seen < count {
            el.dispatch(Duration::ZERO, &mut seen).expect("the loop runs");
        }
        [since(before)]
    });
}

fn batch(_: &[usize]) {
    let mut el: EventLoop<'_, u64> = EventLoop::try_new().expect("a loop");
    run_requests(|count| {
        let (before, mut sum) = (cpu(), 0);
        for _ in 0..count.div_ceil(BATCH) {
            for number in 0..BATCH {
                el.handle().insert_idle(move |sum| *sum = sum.wrapping_add(number));
            }
            el.dispatch(Duration::ZERO, &mut sum).expect("the loop runs");
        }
        [since(before)]
    });
}

fn transfer(traffic: Traffic) -> JoinHandle<[u64; 2]> {
    let mut el = EventLoop::try_new().expect("a loop");
    let (sender, receiver) = channel();
    let receive = |event, (): &mut (), sum: &mut u64| match event {
        channel::Event::Msg(message) => Message::receive(message, sum),
        channel::Event::Closed => {}
    };
    el.handle().insert_source(receiver, receive).expect("a source");
    let thread = traffic.start(move |message| sender.send(message).expect("it is received"));
    let mut sum = 0;
    while sum < traffic.count {
        el.dispatch(None, &mut sum).expect("the loop runs");
    }
    thread
}

fn dispatch(sizes: &[usize]) {
    let (readers, _writers) = full_pipes(sizes[0]);
    let mut el = EventLoop::try_new().expect("a loop");
    for reader in readers {
        let count = |_, _: &mut _, seen: &mut u64| {
            *seen += 1;
            Ok(PostAction::Continue)
        };
        let reader = Generic::new(reader, Interest::READ, Mode::Level);
        el.handle().insert_source(reader, count).expect("a source");
    }
    run_requests(|count| {
        let (before, mut seen) = (cpu(), 0);
        while seen < count {
            el.dispatch(None, &mut seen).expect("the loop runs");
        }
        [since_for(before, count, seen)]
    });
}

fn watch_pipes(sizes: &[usize]) {
    let (readers, writers) = pipes(sizes[0]);
    let mut el = EventLoop::try_new().expect("a loop");
    for (index, reader) in readers.into_iter().enumerate() {
        let pass_on = move |_, reader: &mut NoIoDrop<_>, chain: &mut Chain| {
            chain.pass_on(index, reader);
            Ok(PostAction::Continue)
        };
        let reader = Generic::new(reader, Interest::READ, Mode::Level);
        el.handle().insert_source(reader, pass_on).expect("a source");
    }
    let mut chain = Chain::new(writers);
    run_requests(|count| {
        let before = cpu();
        chain.start(sizes[1], count);
        while !chain.is_at_end() {
            el.dispatch(None, &mut chain).expect("the loop runs");
        }
        [since(before)]
    });
}

//! calloop: callbacks for sources, and an executor for futures as one of the sources.

use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;

use calloop::futures::{Scheduler, executor};
use calloop::generic::Generic;
use calloop::timer::TimeoutFuture;
use calloop::{
    EventLoop, EventSource, Interest, Mode, Poll, PostAction, Readiness, Token, TokenFactory,
};
use futures::channel::oneshot;
use futures_lite::future::yield_now;

use super::{Peer, Work};
use crate::work::echo::{BUFFER, Echo, listener};
use crate::work::{HOUR, TAKING_TURNS, answer, cpu, memory, since};

pub const PEER: Peer = Peer::rust("calloop", WORK);

const WORK: &[(&str, Work)] = &[
    ("spawn", spawn),
    ("switch", switch),
    ("waiting", waiting),
    ("asleep", asleep),
    ("echo", echo),
];

/// A loop whose state is the number of futures that have ended.
fn executing() -> (EventLoop<'static, u64>, Scheduler<()>) {
    let el = EventLoop::try_new().expect("a loop");
    let (executor, scheduler) = executor().expect("an executor");
    el.handle().insert_source(executor, |(), (), ended| *ended += 1).expect("a source");
    (el, scheduler)
}

/// Its tasks have no handles: what they give goes to the source's callback.
fn spawn(_: &[usize]) {
    let (mut el, scheduler) = executing();
    answer(|count| {
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
    answer(|count| {
        let before = cpu();
        for _ in 0..TAKING_TURNS {
            let turns = async move {
                for _ in 0..count / TAKING_TURNS {
                    yield_now().await;
                }
            };
            scheduler.schedule(turns).expect("a task");
        }
        run_until_ended(&mut el, TAKING_TURNS);
        [since(before)]
    });
}

fn run_until_ended(el: &mut EventLoop<'static, u64>, count: u64) {
    let mut ended = 0;
    while ended < count {
        el.dispatch(None, &mut ended).expect("the loop turns");
    }
}

fn waiting(_: &[usize]) {
    let (mut el, scheduler) = executing();
    answer(|count| {
        let before = memory();
        let mut senders = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel::<()>();
            scheduler.schedule(async { receiver.await.unwrap_or_default() }).expect("a task");
            senders.push(sender);
        }
        scheduler.schedule(async {}).expect("a task"); // It is the last one to run.
        run_until_ended(&mut el, 1);
        [memory() - before]
    });
}

fn asleep(_: &[usize]) {
    let (mut el, scheduler) = executing();
    answer(|count| {
        let before = memory();
        for _ in 0..count {
            let el = el.handle();
            let sleep = async move { TimeoutFuture::from_duration(&el, HOUR).await };
            scheduler.schedule(sleep).expect("a task");
        }
        scheduler.schedule(async {}).expect("a task"); // It is the last one to run.
        run_until_ended(&mut el, 1);
        [memory() - before]
    });
}

/// A connection as a source of its own, made of a generic one whose interest it changes.
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
        let (readable, writable) = self.echo.wants();
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
    let accept = move |_, listener: &mut calloop::generic::NoIoDrop<_>, (): &mut ()| {
        while let Ok((stream, _)) = std::net::TcpListener::accept(listener) {
            stream.set_nonblocking(true)?;
            let stream = Generic::new(stream, Interest::READ, Mode::Level);
            let (echo, buffer) = (Echo::default(), Rc::clone(&buffer));
            let connection = Connection { stream, echo, buffer };
            handle.insert_source(connection, |(), (), ()| {}).expect("a source");
        }
        Ok(PostAction::Continue)
    };
    el.handle().insert_source(listener, accept).expect("a source");
    el.run(None, &mut (), |()| {}).expect("the loop turns");
}

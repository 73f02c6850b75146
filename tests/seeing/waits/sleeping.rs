//! Loops that sleep until an event, although no event can wake a task (docs/contract.md, O12, O13).

use std::cell::RefCell;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io::Write;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use mainspring::selector::Events;
use mainspring::{
    Clock, Error, EventLoop, Io, Result, SelectorKind, Signal, promise, signal, sleep,
    sleep_in_boot_time,
};

use crate::support::descriptors::pair;
use crate::support::selector::{Wrapped, Wrapper};
use crate::support::{loopback, on_every_selector};

/// A clock that calls a closure once, at the first sleep without an end. The loop calls `max_wait`
/// directly before it sleeps.
struct AtSleep(Action);

type Action = Rc<RefCell<Option<Box<dyn FnOnce()>>>>;

impl fmt::Debug for AtSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtSleep")
    }
}

impl Clock for AtSleep {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        let action = self.0.borrow_mut().take_if(|_| wanted.is_none());
        action.into_iter().for_each(|action| action());
        wanted
    }
}

/// Runs a loop with what `prepare` adds, and with an `Io` that no code waits for. When the loop
/// sleeps, it is stopped, and an event of the `Io` wakes it.
fn run(kind: SelectorKind, prepare: impl FnOnce(&EventLoop)) -> Result<()> {
    let at_sleep = Action::default();
    let clock = AtSleep(at_sleep.clone());
    let mut el =
        EventLoop::builder().selector(loopback::selector(kind)).clock(clock).build().unwrap();
    let (ours, mut theirs) = pair();
    let io = Io::new(ours).unwrap();
    el.run_until_complete(io.writable()).unwrap().unwrap(); // Its input is watched, too.
    prepare(&el);
    let handle = el.handle().clone();
    at_sleep.replace(Some(Box::new(move || {
        handle.stop();
        theirs.write_all(b"x").unwrap();
    })));
    let ended = el.run();
    drop(io);
    ended
}

#[test]
fn o12_a_descriptor_that_no_code_waits_for_is_no_reason_to_sleep() {
    on_every_selector(|kind| {
        let ended = run(kind, |el| el.spawn(pending::<()>()).detach());
        assert!(matches!(ended, Err(Error::Stalled(_))), "{ended:?}");
    });
}

#[test]
fn o13_a_timer_without_an_end_is_a_reason_to_sleep() {
    on_every_selector(|kind| run(kind, |el| el.spawn(sleep(Duration::MAX)).detach()).unwrap());
}

#[test]
fn o13_a_signal_that_a_task_awaits_is_a_reason_to_sleep() {
    on_every_selector(|kind| {
        let waits = async { drop(signal(Signal::USR1).recv().await) };
        run(kind, |el| el.spawn(waits).detach()).unwrap();
    });
}

/// The peer of a paused connection may reset it.
#[test]
fn o13_a_paused_connection_is_a_reason_to_sleep() {
    on_every_selector(|kind| {
        let (ours, _theirs) = pair();
        let prepare = |el: &EventLoop| {
            el.attach(ours, |_, (), _, _| Ok(())).unwrap().pause_reading();
            el.spawn(pending::<()>()).detach();
        };
        run(kind, prepare).unwrap();
    });
}

/// The last remote is dropped after it has sent a message.
#[test]
fn o13_a_message_whose_remote_is_gone_is_run() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(loopback::selector(kind));
        let mut el = builder.build_with(0).unwrap();
        let handle = el.handle().clone();
        let task = async move {
            handle.remote().call_soon(|el, calls| {
                *calls += 1;
                el.stop();
            })?;
            pending::<Result<()>>().await
        };
        el.spawn(task).detach();
        el.run().unwrap();
        assert_eq!(*el.state(), 1);
    });
}

/// The thread has ended, and its waker with it.
#[test]
fn o13_a_wake_of_a_thread_that_has_ended_is_received() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(loopback::selector(kind));
        let mut el = builder.build().unwrap();
        let mut is_woken = false;
        let woken = poll_fn(move |cx| {
            if std::mem::replace(&mut is_woken, true) {
                return Poll::Ready(7);
            }
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake()).join().unwrap();
            Poll::Pending
        });
        assert_eq!(el.run_until_complete(woken).unwrap(), 7);
    });
}

/// A selector with an event source that is not registered with the loop.
struct Custom {
    real: Box<dyn mainspring::selector::Selector>,
    at_sleep: Action,
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.real.fmt(f)
    }
}

impl Wrapper for Custom {
    fn real(&self) -> &dyn mainspring::selector::Selector {
        &*self.real
    }

    fn real_mut(&mut self) -> &mut dyn mainspring::selector::Selector {
        &mut *self.real
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> std::io::Result<()> {
        let action = self.at_sleep.take().filter(|_| timeout.is_none());
        match action {
            Some(action) => self.real.select(events, Some(Duration::ZERO)).map(|()| action()),
            None => self.real.select(events, timeout),
        }
    }
}

#[test]
fn o13_a_custom_selector_can_wake_the_loop() {
    on_every_selector(|kind| {
        let at_sleep = Action::default();
        let custom = Custom { real: loopback::open(kind), at_sleep: at_sleep.clone() };
        let selector: Box<dyn mainspring::selector::Selector> = Box::new(Wrapped(custom));
        let mut el = EventLoop::builder().selector(selector).build().unwrap();
        let (promise, promised) = promise();
        at_sleep.replace(Some(Box::new(move || promise.set_result(7))));
        assert_eq!(el.run_until_complete(promised).unwrap().unwrap(), 7);
    });
}

/// The kernel wakes the loop. No timer of the loop, and no callback, does.
#[test]
fn o13_a_timer_of_another_clock_is_a_reason_to_sleep() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        el.run_until_complete(sleep_in_boot_time(Duration::from_millis(1))).unwrap();
    });
}

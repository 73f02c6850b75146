//! calloop: callbacks for sources, and an executor for futures as one of the sources.

use calloop::EventLoop;
use calloop::futures::{Scheduler, executor};
use calloop::timer::TimeoutFuture;
use futures::channel::oneshot;
use futures_lite::future::yield_now;

use super::{Peer, Work};
use crate::work::{HOUR, TAKING_TURNS, answer, cpu, memory, since};

pub const PEER: Peer = Peer::rust("calloop", WORK);

const WORK: &[(&str, Work)] =
    &[("spawn", spawn), ("switch", switch), ("waiting", waiting), ("asleep", asleep)];

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

//! Tests of the growth of costs: four times as many registrations take at most five times as many
//! steps. The tests count steps of loops, not time.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use mainspring_sys::Signal;

use super::SimClock;
use crate::clock::Clock;
use crate::event_loop::{EventLoop, LoopHandle, Watched};
use crate::handle::Watcher;
use crate::io::Io;
use crate::step_counter::count;
use crate::structured::{CancelScope, Shutdown, TaskGroup, WaitUntil, wait};
use crate::task::{Task, spawn, yield_now};

const SECOND: Duration = Duration::from_secs(1);
const FEW: usize = 50;

fn simulated() -> EventLoop {
    EventLoop::builder().clock(SimClock::new()).build().expect("cannot create a loop")
}

/// Runs `scenario` with [`FEW`] registrations and with four times as many.
fn expect_linear(what: &str, mut scenario: impl FnMut(usize)) {
    let few = count(|| scenario(FEW));
    let many = count(|| scenario(4 * FEW));
    assert!(few >= FEW as u64 / 2, "{what}: the scenario counts too few steps");
    assert!(many <= 5 * few, "{what}: {few} steps for {FEW}, but {many} for {}", 4 * FEW);
}

/// Completes when all futures have completed.
async fn join(mut futures: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn spawn_in(scope: &CancelScope, count: usize) -> Vec<Task<()>> {
    let run = || {
        let run = scope.run(pending::<()>());
        spawn(async move { drop(run.await) })
    };
    (0..count).map(|_| run()).collect()
}

#[test]
fn the_deadline_of_a_scope_with_many_runs() {
    expect_linear("deadline", |count| {
        let outcome = simulated().run_until_complete(async {
            let scope = CancelScope::new().timeout(SECOND);
            for task in spawn_in(&scope, count) {
                task.await.unwrap();
            }
        });
        outcome.unwrap();
    });
}

#[test]
fn cancelling_a_scope_with_many_runs() {
    expect_linear("cancellation", |count| {
        let outcome = simulated().run_until_complete(async {
            let scope = CancelScope::new();
            let tasks = spawn_in(&scope, count);
            yield_now().await;
            for _ in 0..count {
                scope.cancel("again and again");
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        outcome.unwrap();
    });
}

#[test]
fn pushing_back_the_deadline_of_a_scope_with_many_runs() {
    expect_linear("pushing back", |count| {
        let clock = SimClock::new();
        let mut el = EventLoop::builder().clock(clock.clone()).build().unwrap();
        let end = clock.now() + 2 * SECOND;
        let outcome = el.run_until_complete(async {
            let scope = CancelScope::new().timeout(SECOND);
            let tasks = spawn_in(&scope, count);
            yield_now().await;
            for _ in 0..count {
                scope.set_deadline(end);
                yield_now().await;
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        outcome.unwrap();
        assert_eq!(clock.elapsed(), 2 * SECOND);
    });
}

#[test]
fn shields_of_one_task_that_end_in_any_order() {
    expect_linear("shields", |count| {
        let outcome = simulated().run_until_complete(async {
            let shield = |yields: usize| -> Pin<Box<dyn Future<Output = ()>>> {
                Box::pin(async move {
                    let scope = CancelScope::new().shielded();
                    let _ = scope.run(yield_times(yields)).await;
                })
            };
            spawn(join((1..=count).rev().map(|_| shield(1)).collect())).await
        });
        outcome.unwrap().unwrap();
    });
}

async fn yield_times(yields: usize) {
    for _ in 0..yields {
        yield_now().await;
    }
}

#[test]
fn many_groups_in_one_task() {
    expect_linear("groups", |count| {
        let group = || -> Pin<Box<dyn Future<Output = ()>>> {
            Box::pin(async {
                let body = TaskGroup::run(async |group| Ok(group.spawn(async { Ok(()) })?.await?));
                body.await.unwrap();
            })
        };
        simulated().run_until_complete(spawn_all((0..count).map(|_| group()).collect())).unwrap();
    });
}

/// Runs all futures in one spawned task.
async fn spawn_all(futures: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    spawn(join(futures)).await.unwrap();
}

#[test]
fn shutdown_with_many_tracked_futures() {
    expect_linear("shutdown", |count| {
        let outcome = simulated().run_until_complete(async {
            let shutdown = Shutdown::new();
            for _ in 0..count {
                spawn(shutdown.track(pending::<()>())).detach();
            }
            yield_now().await;
            shutdown.begin(SECOND);
            shutdown.finish().await
        });
        outcome.unwrap();
    });
}

#[test]
fn waiting_for_tasks_that_end_one_after_another() {
    expect_linear("wait", |count| {
        let outcome = simulated().run_until_complete(async {
            let task = |yields| {
                spawn(async move {
                    yield_times(yields).await;
                    Ok::<(), ()>(())
                })
            };
            let tasks: Vec<_> = (0..count).map(task).collect();
            let (done, pending) = wait(tasks, WaitUntil::All).await;
            assert_eq!((done.len(), pending.len()), (count, 0));
        });
        outcome.unwrap();
    });
}

#[test]
fn many_waiters_of_one_descriptor() {
    expect_linear("waiters", |count| {
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let outcome = simulated().run_until_complete(async {
            let io = Rc::new(Io::new(stream).unwrap());
            let reader = || {
                let io = io.clone();
                spawn(async move { io.readable().await.map(drop) })
            };
            let tasks: Vec<_> = (0..count).map(|_| reader()).collect();
            yield_now().await;
            std::io::Write::write_all(&mut peer, b"x").unwrap();
            for task in tasks {
                task.await.unwrap().unwrap();
            }
        });
        outcome.unwrap();
    });
}

#[test]
fn cancelling_hooks_and_signal_handlers() {
    expect_linear("handlers", |count| {
        let el = simulated();
        let handlers: Vec<_> = (0..count)
            .flat_map(|_| {
                [el.on_prepare(|_, ()| {}), el.add_signal_handler(Signal::USR2, |_, ()| {})]
            })
            .collect();
        for handler in handlers.into_iter().rev() {
            assert!(el.cancel(handler.unwrap()));
        }
    });
}

/// The reader replaces itself and then its replacements. The last one stops the loop.
#[test]
fn replacing_the_running_callback_often() {
    type Own = Rc<Cell<Option<Watcher<UnixStream>>>>;
    fn last(el: &LoopHandle, source: &mut Watched<UnixStream>, ran: &Cell<u32>) {
        ran.set(ran.get() + 1);
        source.cancel();
        el.stop();
    }
    let (stream, mut peer) = UnixStream::pair().unwrap();
    let (mut el, own, ran) = (simulated(), Own::default(), Rc::new(Cell::new(0)));
    let (slot, counter) = (own.clone(), ran.clone());
    let watcher = el.add_reader(stream, move |el, (), _| {
        let mut watcher = slot.get().unwrap();
        // If the replacements were a chain, passing the source along it would overflow the stack.
        for _ in 0..100_000 {
            let ran = counter.clone();
            watcher = el.replace(watcher, move |el, (), source| {
                last(el, source, &ran);
                Ok(())
            })?;
        }
        // The replacements that were replaced are dropped.
        assert_eq!(Rc::strong_count(&counter), 3);
        Ok(())
    });
    own.set(Some(watcher.unwrap()));
    std::io::Write::write_all(&mut peer, b"x").unwrap();
    el.run_forever().unwrap();
    assert_eq!(ran.get(), 1);
}

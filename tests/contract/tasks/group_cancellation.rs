//! Groups cancelled from outside: everything around a group waits for its children, and the
//! cancellation is not swallowed (docs/contract.md, F6).

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use mainspring::{
    CancelScope, Error, JoinError, Result, TaskGroup, sleep, spawn, timeout, yield_now,
};

use crate::support::task_log::{Log, SECOND, cancel_after, loop_with_log};

/// Runs a group with one child that ends at once, and one that takes three seconds to end.
async fn slow_group(log: Log) -> Result<()> {
    let _end = log.end("around");
    let own_log = log.clone();
    let group = TaskGroup::run(async move |group| {
        for (seconds, name) in [(0, "quick"), (3, "slow")] {
            let end = own_log.end(name);
            group.spawn(async move {
                let _end = end;
                let shield = CancelScope::new().shielded();
                shield.run(sleep(seconds * SECOND)).await?;
                pending::<Result<()>>().await
            })?;
        }
        let _end = own_log.end("body");
        pending::<Result<()>>().await
    });
    let outcome = group.await;
    log.note("the cancellation was swallowed");
    Ok(outcome?)
}

/// Code around a group.
type Surrounding = fn(Log) -> Pin<Box<dyn Future<Output = ()>>>;

#[test]
fn f6_everything_around_a_group_waits_for_its_children() {
    let all: [Surrounding; 6] = [
        |log| {
            Box::pin(async move {
                let scope = CancelScope::new();
                cancel_after(1, &scope);
                assert!(scope.run(slow_group(log)).await.is_err());
            })
        },
        |log| {
            Box::pin(async move {
                let scope = CancelScope::new().timeout(SECOND);
                let between = CancelScope::new();
                assert!(scope.run(between.run(slow_group(log))).await.is_err());
            })
        },
        |log| Box::pin(async move { assert!(timeout(SECOND, slow_group(log)).await.is_err()) }),
        |log| {
            Box::pin(async move {
                let task = spawn(slow_group(log));
                sleep(SECOND).await;
                assert!(task.cancel("asked to"));
                assert!(matches!(task.await, Err(JoinError::Cancelled(_))));
            })
        },
        |log| {
            Box::pin(async move {
                let outcome = TaskGroup::run(async |group| {
                    group.spawn(slow_group(log))?;
                    sleep(SECOND).await;
                    Err::<(), _>(Error::other("outer"))
                });
                assert_eq!(outcome.await.unwrap_err().errors().len(), 1);
            })
        },
        |log| {
            Box::pin(async move {
                let outcome = TaskGroup::run(async |group| {
                    let group = group.clone();
                    let ending = async move {
                        sleep(SECOND).await;
                        group.cancel("outer");
                    };
                    spawn(ending).detach();
                    slow_group(log).await
                });
                assert_eq!(outcome.await.unwrap_err().errors().len(), 1);
            })
        },
    ];
    for (i, around) in all.into_iter().enumerate() {
        println!("case {i}"); // Shown when the test fails.
        let (mut el, log) = loop_with_log();
        el.run_until_complete(around(log.clone())).unwrap();
        let mut noted = log.0.borrow().clone();
        // The order in which the children and the body end is not defined.
        noted[..2].sort();
        assert_eq!(noted, [(1, "body"), (1, "quick"), (3, "slow"), (3, "around")]);
    }
}

/// Set of futures that polls only those that were woken.
struct WokenOnly<F> {
    futures: Vec<Option<Pin<Box<F>>>>,
    woken: Arc<Woken>,
}

struct Woken(Mutex<(VecDeque<usize>, Option<Waker>)>);

struct OneOf(Arc<Woken>, usize);

impl Wake for OneOf {
    fn wake(self: Arc<OneOf>) {
        let mut woken = self.0.0.lock().unwrap();
        woken.0.push_back(self.1);
        if let Some(waker) = woken.1.take() {
            waker.wake();
        }
    }
}

impl<F: Future> Future for WokenOnly<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.woken.0.lock().unwrap().1 = Some(cx.waker().clone());
        loop {
            let Some(i) = self.woken.0.lock().unwrap().0.pop_front() else { break };
            let waker = Waker::from(Arc::new(OneOf(self.woken.clone(), i)));
            let poll = self.futures[i]
                .as_mut()
                .map(|future| future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            if poll == Some(true) {
                self.futures[i] = None;
            }
        }
        match self.futures.iter().all(Option::is_none) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

fn set_of<F: Future>(futures: impl IntoIterator<Item = F>) -> WokenOnly<F> {
    let futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let woken = ((0..futures.len()).collect(), None);
    WokenOnly { woken: Arc::new(Woken(Mutex::new(woken))), futures }
}

/// A group is notified of the cancellation even if the futures around it only poll what was woken.
#[test]
fn f6_a_group_in_a_set_of_futures_is_cancelled() {
    for by_task in [false, true] {
        let (mut el, log) = loop_with_log();
        let run = async {
            let groups = set_of([slow_group(log.clone()), slow_group(log.clone())]);
            if by_task {
                let task = spawn(groups);
                sleep(SECOND).await;
                assert!(task.cancel("asked to"));
                assert!(task.await.is_err());
            } else {
                assert!(timeout(SECOND, groups).await.is_err());
            }
        };
        el.run_until_complete(run).unwrap();
        let noted = log.0.borrow();
        assert_eq!(noted.iter().filter(|(at, what)| (*at, *what) == (3, "slow")).count(), 2);
        assert_eq!(noted.iter().filter(|(at, what)| (*at, *what) == (3, "around")).count(), 2);
        assert_eq!(noted.len(), 8, "{noted:?}");
    }
}

/// The error is returned first, and then the cancellation takes effect.
#[test]
fn f6_the_error_of_a_child_of_a_cancelled_parent_is_returned() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let inside = async {
            let outcome = TaskGroup::run(async |group| {
                let shield = CancelScope::new().shielded();
                group.spawn(async move {
                    shield
                        .run(async {
                            sleep(2 * SECOND).await;
                            Err::<(), _>(Error::other("last words"))
                        })
                        .await?
                })?;
                pending::<Result<()>>().await
            });
            assert_eq!(outcome.await.unwrap_err().errors()[0].to_string(), "last words");
            log.note("outcome");
            yield_now().await;
            log.note("the cancellation was swallowed");
        };
        assert!(timeout(SECOND, inside).await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(2, "outcome"), (2, "over")]);
}

#[test]
fn f6_nested_groups_end_from_the_inside_out() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let task = spawn({
            let log = log.clone();
            async move {
                let _end = log.end("task");
                TaskGroup::run(async |outer| {
                    let nested = log.clone();
                    outer.spawn(async move {
                        let _end = nested.end("child");
                        TaskGroup::run(async |inner| {
                            let end = nested.end("grandchild");
                            inner.spawn(async move {
                                let _end = end;
                                pending::<Result<()>>().await
                            })?;
                            Ok(())
                        })
                        .await?;
                        Ok(())
                    })?;
                    TaskGroup::run(async |inner| {
                        let end = log.end("body's child");
                        inner.spawn(async move {
                            let _end = end;
                            CancelScope::new().shielded().run(sleep(2 * SECOND)).await?;
                            pending::<Result<()>>().await
                        })?;
                        Ok(())
                    })
                    .await?;
                    Ok(())
                })
                .await
                .ok();
                log.note("the cancellation was swallowed");
            }
        });
        sleep(SECOND).await;
        task.cancel("asked to");
        assert!(task.await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(1, "grandchild"), (1, "child"), (2, "body's child"), (2, "task"), (2, "over")]);
}

/// The children have ended in the tick of the deadline, so the value is returned.
#[test]
fn f6_a_group_that_ends_in_time_returns_its_value() {
    let (mut el, _) = loop_with_log();
    let run = async {
        let group = TaskGroup::run(async |group| {
            group.spawn(async { Ok(sleep(SECOND).await) })?;
            Ok("done")
        });
        timeout(SECOND, group).await
    };
    // The child's timer is the later one: the child is spawned after the deadline was set.
    assert_eq!(el.run_until_complete(run).unwrap().unwrap().unwrap(), "done");
}

#[test]
fn f6_a_shield_around_a_group_hides_the_cancellation() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let inside = async {
            let group = TaskGroup::run(async |group| {
                let own_log = log.clone();
                group.spawn(async move {
                    sleep(3 * SECOND).await;
                    Ok(own_log.note("child"))
                })?;
                Ok(())
            });
            CancelScope::new().shielded().run(group).await.unwrap().unwrap();
            log.note("group");
            pending::<()>().await
        };
        assert!(timeout(SECOND, inside).await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(3, "child"), (3, "group"), (3, "over")]);
}

/// A cancelled task that has not begun never starts its group. In a scope that is already
/// cancelled, a group begins and ends at once.
#[test]
fn f6_a_group_in_a_cancelled_scope_ends_at_once() {
    let (mut el, log) = loop_with_log();
    let run = async {
        let task = spawn(slow_group(log.clone()));
        task.cancel("not begun");
        assert!(task.await.is_err());
        let scope = CancelScope::new();
        scope.cancel("before");
        let group = TaskGroup::run(async |group| {
            let end = log.end("child");
            group.spawn(async move {
                let _end = end;
                pending::<Result<()>>().await
            })?;
            log.note("body");
            yield_now().await;
            log.note("never");
            Ok(())
        });
        assert!(scope.run(group).await.is_err());
        log.note("over");
    };
    el.run_until_complete(run).unwrap();
    log.check(&[(0, "body"), (0, "child"), (0, "over")]);
}

/// A cancelled group that is dropped before its end leaves nothing behind, and `run` returns.
#[test]
fn f6_a_cancelled_group_that_is_dropped_leaves_nothing() {
    let (mut el, log) = loop_with_log();
    let own_log = log.clone();
    el.spawn(async move {
        let mut group = Box::pin(async move { drop(slow_group(own_log).await) });
        let begin = poll_fn(|cx| Poll::Ready(group.as_mut().poll(cx).is_pending()));
        let scope = CancelScope::new();
        assert!(scope.run(begin).await.unwrap());
        scope.cancel("while it is here");
        sleep(2 * SECOND).await;
        drop(group);
    })
    .detach();
    el.run().unwrap();
    let mut noted = log.0.borrow().clone();
    noted.sort();
    assert_eq!(noted, [(2, "around"), (2, "body"), (2, "quick"), (3, "slow")]);
}

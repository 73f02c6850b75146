//! Stopping a run, the end of `run`, and closing the loop (docs/contract.md, Q6 to Q8).

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::{Error, EventLoop, Interest, LoopHandle, Signal};

use crate::support::registrations::one_of_each;
use crate::support::{on_every_selector, simulated};

const NOW: Option<Duration> = Some(Duration::ZERO);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn q6_a_stop_before_the_run_allows_one_tick_without_sleep() {
    on_every_selector(|kind| {
        for run in [EventLoop::run, EventLoop::run_forever] {
            let (mut el, clock) = simulated(kind, 0);
            el.call_later(HOUR, |_, ran| *ran += 100); // This run does not wait for it.
            el.stop();
            assert!(el.is_stopping());
            el.call_soon(|el, ran| {
                *ran += 1;
                el.call_soon(|_, ran| *ran += 10);
            });
            run(&mut el).unwrap();
            assert_eq!((*el.state(), clock.elapsed()), (1, Duration::ZERO));
            assert!(!el.is_stopping());
            el.call_soon(|el, _| el.stop());
            run(&mut el).unwrap();
            assert_eq!(*el.state(), 11);
        }
    });
}

#[test]
fn q6_a_stop_during_the_run_finishes_the_batch() {
    on_every_selector(|kind| {
        for run in [EventLoop::run, EventLoop::run_forever] {
            let (mut el, _) = simulated(kind, Vec::new());
            el.call_soon(|el, seen: &mut Vec<_>| {
                seen.push("stops");
                el.stop();
                el.stop();
                el.call_soon(|el, seen| {
                    seen.push("later");
                    el.stop();
                });
            });
            el.call_soon(|_, seen| seen.push("same batch"));
            run(&mut el).unwrap();
            assert_eq!(*el.state(), ["stops", "same batch"]);
            run(&mut el).unwrap();
            assert_eq!(*el.state(), ["stops", "same batch", "later"]);
        }
    });
}

#[test]
fn q6_a_tick_after_a_stop_does_not_sleep_and_keeps_the_stop() {
    let (mut el, clock) = simulated(mainspring::SelectorKind::Poll, ());
    el.call_later(HOUR, |_, ()| {});
    el.stop();
    assert_eq!(el.tick(None).unwrap(), 0);
    assert!(el.is_stopping());
    el.run().unwrap();
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

/// Registers something that keeps the loop alive. The returned closure makes it stop doing so.
type Registration = fn(&LoopHandle<()>) -> Box<dyn FnOnce(&LoopHandle<()>)>;

const REGISTRATIONS: [(&str, Registration); 10] = [
    ("timer", |el| {
        let timer = el.call_later(HOUR, |_, ()| {});
        Box::new(move |el| assert!(el.disarm(timer)))
    }),
    ("interval", |el| {
        let every = el.call_every(HOUR, |_, ()| {}).unwrap();
        Box::new(move |el| assert!(el.cancel(every)))
    }),
    ("set_background", |el| {
        let every = el.call_every(HOUR, |_, ()| {}).unwrap();
        Box::new(move |el| assert!(el.set_background(every)))
    }),
    ("reader", |el| {
        let (stream, peer) = UnixStream::pair().unwrap();
        let reader = el.add_reader(stream, |_, (), _| Ok(())).unwrap();
        Box::new(move |el| {
            assert!(el.cancel(reader));
            drop(peer);
        })
    }),
    ("paused", |el| {
        let (stream, peer) = UnixStream::pair().unwrap();
        let watcher = el.watch(stream, Interest::READABLE, |_, (), _| Ok(())).unwrap();
        Box::new(move |el| {
            el.set_interest(watcher, Interest::empty()).unwrap();
            drop(peer);
        })
    }),
    ("signal", |el| {
        let handler = el.add_signal_handler(Signal::WINCH, |_, ()| {}).unwrap();
        Box::new(move |el| assert!(el.cancel(handler)))
    }),
    ("idle", |el| {
        let idle = el.on_idle(|_, ()| {}).unwrap();
        Box::new(move |el| assert!(el.cancel(idle)))
    }),
    ("a timer beyond the clock", |el| {
        let timer = el.call_later(Duration::MAX, |_, ()| {});
        Box::new(move |el| assert!(el.cancel(timer)))
    }),
    ("a timer with a deadline beyond the clock", |el| {
        let timer = el.add_timer(|_, ()| {}).unwrap();
        assert!(el.reset_after(timer, Duration::MAX));
        Box::new(move |el| assert!(el.disarm(timer)))
    }),
    ("remote", |el| {
        let remote = el.remote();
        Box::new(move |_| drop(remote.background()))
    }),
];

#[test]
fn q7_run_returns_when_nothing_could_call_back() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        el.on_prepare(|_, ()| {}).unwrap();
        let idle = el.call_later(Duration::MAX, |_, ()| {});
        assert!(el.set_background(idle));
        el.run().unwrap();
        for (name, keep) in REGISTRATIONS {
            let let_go = keep(&el);
            assert!(el.is_alive(), "{name}");
            let_go(&el);
            while name == "remote" && el.is_alive() {
                el.tick(NOW).unwrap(); // Dropping the last remote wakes the loop.
            }
            assert!(!el.is_alive(), "{name}");
            el.run().unwrap();
        }
    });
}

#[test]
fn q7_a_tick_returns_the_number_of_callbacks_that_ran() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        let cancelled = el.call_soon(|_, _| {});
        el.cancel(cancelled);
        el.call_soon(|el, _| {
            el.call_soon(|_, _| {});
        });
        assert_eq!(el.tick(None).unwrap(), 1);
        assert_eq!(el.tick(None).unwrap(), 1);
        el.call_later(2 * HOUR, |_, _| {});
        assert_eq!(el.tick(Some(HOUR)).unwrap(), 0);
        assert_eq!(clock.elapsed(), HOUR);
        assert_eq!(el.tick(None).unwrap(), 1);
    });
}

#[test]
fn q7_a_callback_may_run_another_loop() {
    on_every_selector(|kind| {
        let (other, _) = simulated(kind, 0);
        let (mut el, _) = simulated(kind, other);
        el.call_soon(|_, other| {
            other.call_soon(|el, ran| {
                *ran += 1;
                el.stop();
            });
            other.run_forever().unwrap();
        });
        el.run().unwrap();
        assert_eq!(*el.state().state(), 1);
    });
}

#[test]
fn q8_a_closed_loop_returns_closed_and_does_nothing() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let timer = el.call_later(HOUR, |_, ()| {});
        let (stream, _peer) = UnixStream::pair().unwrap();
        let watcher = el.add_reader(stream, |_, (), _| Ok(())).unwrap();
        let (remote, handle) = (el.remote(), el.handle().clone());
        el.close();
        el.close();
        assert!(el.is_closed() && remote.is_closed());
        assert!(matches!(el.run(), Err(Error::Closed)));
        assert!(matches!(el.run_forever(), Err(Error::Closed)));
        assert!(matches!(el.tick(NOW), Err(Error::Closed)));
        drop(el);
        assert!(matches!(remote.call_soon(|_, ()| {}), Err(Error::Closed)));
        assert!(matches!(remote.stop(), Err(Error::Closed)));
        assert!(matches!(handle.call_every(HOUR, |_, ()| {}), Err(Error::Closed)));
        assert!(matches!(handle.add_timer(|_, ()| {}), Err(Error::Closed)));
        assert!(matches!(handle.on_idle(|_, ()| {}), Err(Error::Closed)));
        let refused = handle.add_signal_handler(Signal::USR1, |_, ()| {});
        assert!(matches!(refused, Err(Error::Closed)));
        let (stream, _peer) = UnixStream::pair().unwrap();
        assert!(matches!(handle.add_reader(stream, |_, (), _| Ok(())), Err(Error::Closed)));
        assert!(handle.replace(watcher, |_, (), _| Ok(())).is_err());
        assert!(handle.set_interest(watcher, Interest::READABLE).is_err());
        assert!(!handle.cancel(timer) && !handle.disarm(timer) && !handle.cancel(watcher));
        assert!(!handle.reset_after(timer, HOUR) && !handle.set_background(timer));
        assert!(handle.next_deadline().is_none() && handle.missed_ticks() == 0);
        handle.stop();
    });
}

#[test]
fn q8_a_closed_loop_drops_new_callbacks_at_once() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        el.close();
        let alive = Rc::new(());
        let kept = || {
            let alive = alive.clone();
            move |_: &LoopHandle<()>, (): &mut ()| drop(alive.clone())
        };
        let soon = el.call_soon(kept());
        assert!(!el.cancel(soon) && !el.set_name(soon, "x"));
        assert!(!el.cancel(el.call_later(HOUR, kept())));
        assert!(!el.cancel(el.call_at(el.now(), kept())));
        assert!(el.on_check(kept()).is_err() && el.call_every(HOUR, kept()).is_err());
        let held = alive.clone();
        el.set_exception_handler(move |_, (), _| drop(held.clone()));
        assert_eq!(Rc::strong_count(&alive), 1);
    });
}

#[test]
fn q8_dropping_the_loop_drops_everything_once() {
    on_every_selector(|kind| {
        for (stopped, closed) in [(false, false), (false, true), (true, false), (true, true)] {
            let (mut el, _) = simulated(kind, ());
            let alive = Rc::new(());
            let all = one_of_each(&el, &alive);
            let held = alive.clone();
            el.set_exception_handler(move |_, (), _| drop(held.clone()));
            // A loop handle that outlives the loop keeps nothing alive.
            let handle = el.handle().clone();
            if stopped {
                el.stop();
            }
            if closed {
                el.close();
                assert_eq!(Rc::strong_count(&alive), 1);
            }
            drop(el);
            assert_eq!(Rc::strong_count(&alive), 1, "stopped {stopped}, closed {closed}");
            assert!(!all.iter().any(|(_, one, _)| handle.cancel(*one)));
        }
    });
}

/// Calls the loop from its `Drop`.
struct CallsOnDrop(LoopHandle<()>, Rc<RefCell<Vec<&'static str>>>);

impl Drop for CallsOnDrop {
    fn drop(&mut self) {
        assert!(self.0.is_closed());
        self.0.call_soon(|_, ()| {});
        self.0.call_later(HOUR, |_, ()| {});
        self.0.stop();
        self.1.borrow_mut().push("dropped");
    }
}

#[test]
fn q8_captures_that_own_the_loop_handle_make_no_cycle() {
    on_every_selector(|kind| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (el, _) = simulated(kind, ());
        let calls_on_drop = || CallsOnDrop(el.handle().clone(), seen.clone());
        let (soon, timer, hook) = (calls_on_drop(), calls_on_drop(), calls_on_drop());
        el.call_soon(move |_, ()| drop(soon));
        el.call_later(HOUR, move |_, ()| drop(timer));
        el.on_prepare(move |_, ()| assert!(!hook.0.is_closed())).unwrap();
        drop(el);
        assert_eq!(seen.borrow().len(), 3);
        assert_eq!(Rc::strong_count(&seen), 1);
    });
}

/// While the loop closes, the `Drop` of one callback tries to replace the callback of a watcher.
#[test]
fn q8_replace_while_the_loop_closes_leaks_nothing() {
    struct ReplacesOnDrop(
        LoopHandle<()>,
        Rc<Cell<Option<mainspring::Watcher<UnixStream>>>>,
        Rc<()>,
    );
    impl Drop for ReplacesOnDrop {
        fn drop(&mut self) {
            let alive = self.2.clone();
            let watcher = self.1.get().unwrap();
            let keep = move |_: &LoopHandle<()>, (): &mut (), _: &mut _| Ok(drop(alive.clone()));
            assert!(self.0.replace(watcher, keep).is_err());
        }
    }
    on_every_selector(|kind| {
        let (el, _) = simulated(kind, ());
        let (alive, watcher) = (Rc::new(()), Rc::new(Cell::new(None)));
        let replacement = ReplacesOnDrop(el.handle().clone(), watcher.clone(), alive.clone());
        el.call_soon(move |_, ()| drop(replacement));
        let (stream, _peer) = UnixStream::pair().unwrap();
        watcher.set(Some(el.add_reader(stream, |_, (), _| Ok(())).unwrap()));
        drop(el);
        assert_eq!(Rc::strong_count(&alive), 1);
    });
}

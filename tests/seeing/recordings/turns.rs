//! Turns and their causes (docs/contract.md, R1, R2).

use std::future::poll_fn;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use mainspring::{
    Cause, EventLoopBuilder, Handle, Interest, Io, LoopHandle, Recorder, Signal, Turn, TurnKind,
    sleep, sleep_in_boot_time, spawn, yield_now,
};

use super::{builder, callbacks, recorded};
use crate::support::descriptors::{pair, readable};
use crate::support::network::{client, listener};
use crate::support::on_every_selector;

#[test]
fn r1_turns_have_places_and_the_turn_that_queued_them() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let first = line!() + 1;
        el.call_soon(|el, ()| {
            el.call_soon(|_, ()| {});
        });
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let places: Vec<String> =
            [0, 3, 1].iter().map(|more| format!("{}:{}", file!(), first + more)).collect();
        assert_eq!(turns.iter().map(|turn| turn.place.to_string()).collect::<Vec<_>>(), places);
        assert!(turns.iter().all(|turn| turn.kind == TurnKind::Soon));
        assert_eq!(turns[2].cause, Cause::Turn(turns[0].number));
        assert_eq!((turns[0].cause, turns[1].cause), (Cause::Loop, Cause::Loop));
    });
}

#[test]
fn r1_timers_and_descriptors_are_causes() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let (ours, mut theirs) = pair();
        let fd = ours.as_raw_fd();
        theirs.write_all(b"x").unwrap();
        el.watch(ours, Interest::READABLE, |el, (), _| {
            el.current().map(|this| el.cancel(this));
            Ok(())
        })
        .unwrap();
        el.call_later(Duration::from_secs(3), |_, ()| {});
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let facts: Vec<_> = turns.iter().map(|turn| (turn.kind, turn.cause, turn.at)).collect();
        let timer = (TurnKind::Timer, Cause::Timer, Duration::from_secs(3));
        assert_eq!(facts, [(TurnKind::Watcher, Cause::Fd(fd), Duration::ZERO), timer]);
    });
}

#[test]
fn r1_timers_of_other_clocks_are_causes() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        el.call_later_in_boot_time(Duration::from_secs(1), |_, ()| {}).unwrap();
        el.spawn(sleep_in_boot_time(Duration::from_secs(2))).detach();
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let facts: Vec<_> = turns.iter().map(|turn| (turn.kind, turn.cause)).collect();
        assert!(turns.iter().all(|turn| turn.due.is_none()), "deadlines of other clocks");
        let began = (TurnKind::Task, Cause::Loop);
        assert_eq!(facts, [began, (TurnKind::Timer, Cause::Timer), (TurnKind::Task, Cause::Timer)]);
    });
}

#[test]
fn r1_tasks_have_the_turn_that_woke_them() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        el.spawn(async {
            let child = spawn(async { yield_now().await });
            child.await.unwrap();
            sleep(Duration::from_secs(1)).await;
        })
        .detach();
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let number = |at: usize| Cause::Turn(turns[at].number);
        let causes: Vec<Cause> = turns.iter().map(|turn| turn.cause).collect();
        assert_eq!(causes, [Cause::Loop, number(0), number(1), number(2), Cause::Timer]);
        assert_eq!(turns[0].key, turns[3].key);
        assert_eq!(turns[1].key, turns[2].key);
    });
}

/// A check hook runs between the sources of a tick. It has not fed what the timers feed after it.
#[test]
fn r1_a_check_hook_is_no_cause_of_timers() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let hook = el.on_check(|_, ()| {}).unwrap();
        assert!(el.set_background(hook));
        el.spawn(sleep(Duration::from_secs(1))).detach();
        el.call_later(Duration::from_secs(1), |_, ()| {});
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let facts = turns.iter().map(|turn| (turn.kind, turn.cause));
        let others: Vec<_> = facts.filter(|(kind, _)| *kind != TurnKind::Hook).collect();
        let task = |cause| (TurnKind::Task, cause);
        let timer = (TurnKind::Timer, Cause::Timer);
        assert_eq!(others, [task(Cause::Loop), timer, task(Cause::Timer)]);
    });
}

#[test]
fn r1_a_waiting_task_runs_because_of_its_descriptor() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let (ours, mut theirs) = pair();
        let fd = ours.as_raw_fd();
        el.spawn(async move {
            let io = Io::new(ours).unwrap();
            io.readable().await.unwrap();
        })
        .detach();
        el.tick(Some(Duration::ZERO)).unwrap();
        theirs.write_all(b"x").unwrap();
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        assert_eq!(turns[1].cause, Cause::Fd(fd));
        assert_eq!((turns[0].key, &turns[0].place), (turns[1].key, &turns[1].place));
    });
}

/// A new socket is writable, which some selectors report. Here the task waits for input.
#[test]
fn r1_an_event_that_no_task_waits_for_is_not_a_turn() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let (ours, _theirs) = pair();
        el.spawn(async move { Io::new(ours).unwrap().readable().await }).detach();
        for _ in 0..3 {
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(callbacks(&el.tape().unwrap()).len(), 1);
    });
}

/// The event is fed, and then another callback of the batch pauses the watcher.
#[test]
fn r1_a_callback_that_is_paused_before_its_turn_has_none() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let (ours, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        let watcher = el.watch(ours, Interest::READABLE, |_, (), _| panic!("it is paused"));
        let watcher = watcher.unwrap();
        el.call_soon(move |el, ()| el.set_interest(watcher, Interest::empty()).unwrap());
        el.tick(Some(Duration::ZERO)).unwrap();
        let turns = callbacks(&el.tape().unwrap());
        assert_eq!(turns.iter().map(|turn| turn.kind).collect::<Vec<_>>(), [TurnKind::Soon]);
    });
}

#[test]
fn r1_messages_come_from_threads() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let remote = el.remote();
        let sender = thread::spawn(move || remote.call_soon(|_, ()| {}).unwrap());
        sender.join().unwrap();
        el.run().unwrap();
        assert_eq!(callbacks(&el.tape().unwrap())[0].cause, Cause::Thread);
    });
}

#[test]
fn r1_signals_processes_and_hooks_are_kinds_of_their_own() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let handler = el.add_signal_handler(Signal::USR1, |el, ()| {
            el.current().map(|this| el.cancel(this));
        });
        el.set_background(handler.unwrap());
        el.spawn_child(&mut Command::new("true"), |_, (), _| Ok(())).unwrap();
        let hook = el.on_prepare(|_, ()| {}).unwrap();
        Signal::USR1.raise().unwrap();
        el.run().unwrap();
        el.cancel(hook);
        let turns = callbacks(&el.tape().unwrap());
        let cause = |kind| turns.iter().find(|turn| turn.kind == kind).expect("a turn").cause;
        let causes = [TurnKind::Signal, TurnKind::Child, TurnKind::Hook].map(cause);
        assert_eq!(causes, [Cause::Signal, Cause::Child, Cause::Loop]);
    });
}

#[test]
fn r1_a_stream_runs_because_of_its_descriptor() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(256), ());
        let (listener, address) = listener();
        let server = el.serve(listener, |el, (), _, _| Ok(el.stop())).unwrap();
        let mut client = client(address);
        client.write_all(b"x").unwrap();
        el.run_forever().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let is_of_stream = |turn: &Turn| {
            turn.kind == TurnKind::Stream && matches!(turn.cause, Cause::Fd(fd) if fd > 0)
        };
        assert!(turns.len() >= 2 && turns.iter().all(is_of_stream), "{turns:?}");
        drop((server, client));
    });
}

/// The code that has aborted it is no turn, and no descriptor is ready.
#[test]
fn r1_a_stream_that_was_aborted_outside_of_the_loop_runs_because_of_the_loop() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let conn = el.attach(pair().0, |_, (), _, _| Ok(())).unwrap();
        conn.abort();
        let (reader, _writer) = readable();
        el.add_reader(reader, |_, (), _| Ok(())).unwrap();
        el.tick(Some(Duration::ZERO)).unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let stream = turns.iter().find(|turn| turn.kind == TurnKind::Stream).unwrap();
        assert_eq!(stream.cause, Cause::Loop, "{turns:?}");
    });
}

#[test]
fn r1_a_task_that_a_thread_has_woken_has_the_thread_as_cause() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let mut is_sent = false;
        let woken = poll_fn(move |cx| {
            if std::mem::replace(&mut is_sent, true) {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake());
            Poll::Pending
        });
        el.spawn(woken).detach();
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        assert_eq!(turns.last().unwrap().cause, Cause::Thread);
    });
}

/// Callbacks that were queued before a panic run later, without the cause of another turn.
#[test]
fn r1_after_a_panic_no_turn_has_a_wrong_cause() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        for _ in 0..3 {
            el.call_soon(|el, ()| _ = el.call_soon(|_, ()| {}));
        }
        el.call_soon(|_, ()| std::panic::resume_unwind(Box::new(())));
        el.call_soon(|_, ()| {});
        let run = std::panic::AssertUnwindSafe(|| el.run());
        assert!(std::panic::catch_unwind(run).is_err());
        let before = el.tape().unwrap().turns().len() as u64;
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let after: Vec<_> = turns.iter().filter(|turn| turn.number >= before).collect();
        let causes: Vec<Cause> = after.iter().map(|turn| turn.cause).collect();
        assert_eq!(causes, [Cause::Loop; 4]);
    });
}

#[test]
fn r2_a_ring_holds_the_last_turns() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(16), 0);
        for _ in 0..100 {
            el.call_soon(|_, ran| *ran += 1);
        }
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let numbers: Vec<u64> = tape.turns().iter().map(|turn| turn.number).collect();
        assert_eq!(numbers, (87..102).collect::<Vec<u64>>());
    });
}

#[test]
fn r2_two_runs_of_simulated_time_have_the_same_tape() {
    on_every_selector(|kind| {
        let run = || {
            let mut el = recorded(kind, Recorder::ring(256), ());
            for seconds in [3, 1, 400_000, 2] {
                el.call_later(Duration::from_secs(seconds), |el, ()| _ = el.call_soon(|_, ()| {}));
            }
            el.run().unwrap();
            el.tape().unwrap()
        };
        let (first, second) = (run(), run());
        assert_eq!(first.turns(), second.turns());
        // 111 hours, more than a record holds.
        let times: Vec<u64> = callbacks(&first).iter().map(|turn| turn.at.as_secs()).collect();
        assert_eq!(times, [1, 1, 2, 2, 3, 3, 400_000, 400_000]);
    });
}

/// Runs one of each kind of turn, and a closure that is cancelled when its turn comes. Returns the
/// records.
fn mixed_turns(builder: EventLoopBuilder) -> Vec<Turn> {
    let mut el = builder.record(Recorder::ring(64)).build_with(None).unwrap();
    el.call_soon(|el: &LoopHandle<Option<Handle>>, last: &mut Option<Handle>| {
        el.call_later(Duration::from_secs(1), |_, _| {});
        _ = last.take().map(|last| el.cancel(last));
    });
    el.spawn(async {
        yield_now().await;
        sleep(Duration::from_secs(2)).await;
    })
    .detach();
    el.remote().call_soon(|_, _| {}).unwrap();
    el.on_check(|el, _| _ = el.current().map(|this| el.cancel(this))).unwrap();
    let (ours, theirs) = readable();
    let watcher = el.add_reader(ours, |_, _, _| panic!("it is paused")).unwrap();
    el.call_soon(move |el, _| {
        let _open = &theirs;
        el.set_interest(watcher, Interest::empty()).unwrap();
    });
    *el.state_mut() = Some(el.call_soon(|_, _| unreachable!("it is cancelled")));
    el.run_until_complete(yield_now()).unwrap();
    el.run().unwrap();
    el.tape().unwrap().turns().to_vec()
}

#[test]
fn r2_other_instruments_do_not_change_the_tape() {
    on_every_selector(|kind| {
        let only = mixed_turns(builder(kind).await_lines(false));
        let others = [
            builder(kind).await_lines(true),
            builder(kind).await_lines(false).debug(true),
            builder(kind).await_lines(true).measure(true),
        ];
        for turns in others.map(mixed_turns) {
            let facts = |turns: &[Turn]| -> Vec<_> {
                let calls = turns.iter().filter(|turn| turn.kind.is_callback());
                calls.map(|turn| (turn.kind, turn.at, turn.place.clone(), turn.key)).collect()
            };
            assert_eq!(facts(&turns), facts(&only));
        }
        let kinds: Vec<TurnKind> =
            only.iter().map(|turn| turn.kind).filter(|kind| kind.is_callback()).collect();
        for kind in [TurnKind::Soon, TurnKind::Task, TurnKind::Timer, TurnKind::Hook] {
            assert!(kinds.contains(&kind), "{kind:?} is missing in {kinds:?}");
        }
    });
}

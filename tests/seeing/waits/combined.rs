//! Lines of futures inside of other futures (docs/contract.md, O10 and O11).

use std::future::{Future, pending};
use std::io::Read;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use mainspring::snapshot::EntryKind;
use mainspring::{
    CancelScope, EventLoop, Io, SelectorKind, Shutdown, TaskGroup, promise, race, sleep, spawn,
    timeout, timeout_at,
};

use super::{LINE, check, named, next_line, recording, settle, waits};
use crate::support::descriptors::fill;
use crate::support::on_every_selector;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Returns the waits of a task with this body.
fn waits_of(
    kind: SelectorKind,
    body: impl Future<Output = ()> + 'static,
) -> Vec<(&'static str, &'static str, u32)> {
    let (mut el, _clock) = recording(kind);
    el.spawn(body).named("it").detach();
    settle(&mut el);
    let snapshot = el.snapshot();
    waits(named(&snapshot, "it"))
}

/// A future that is awaited by a call of this crate has the line that awaits the call.
#[test]
fn o10_a_future_in_a_call_has_the_line_of_the_call() {
    on_every_selector(|kind| {
        check(kind, "sleep", async {
            next_line();
            let _ = timeout(DAY, sleep(HOUR)).await;
        });
        check(kind, "sleep", async {
            let deadline = mainspring::current_loop().unwrap().now() + DAY;
            next_line();
            let _ = timeout_at(deadline, sleep(HOUR)).await;
        });
        check(kind, "promise", async {
            let (_promise, promised) = promise::<()>();
            next_line();
            let _ = CancelScope::new().timeout(DAY).run(timeout(DAY, promised)).await;
        });
        check(kind, "sleep", async {
            next_line();
            let _ = CancelScope::new().shielded().run(sleep(HOUR)).await;
        });
        check(kind, "sleep", async {
            next_line();
            race(sleep(HOUR), pending()).await;
        });
    });
}

/// In a block of the user the line is in the block, whatever runs the block.
#[test]
fn o10_a_block_has_its_own_lines() {
    on_every_selector(|kind| {
        check(kind, "sleep", async {
            let block = async {
                next_line();
                sleep(HOUR).await;
            };
            let _ = timeout(DAY, block).await;
        });
        check(kind, "sleep", async {
            let block: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
                next_line();
                sleep(HOUR).await;
            });
            let _ = CancelScope::new().run(timeout(DAY, block)).await;
        });
        check(kind, "sleep", async {
            let body = async |_: &TaskGroup| {
                next_line();
                sleep(HOUR).await;
                Ok(())
            };
            let _ = TaskGroup::run(body).await;
        });
        check(kind, "sleep", async {
            let shutdown = Shutdown::new();
            let work = async {
                next_line();
                sleep(HOUR).await;
            };
            let _ = timeout(DAY, shutdown.track(work)).await;
        });
    });
}

#[test]
fn o10_a_child_of_a_group_and_the_group_have_their_lines() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let group = async {
            let body = async |group: &TaskGroup| {
                let child = group.spawn(async { Ok(sleep(HOUR).await) })?.named("child");
                next_line();
                Ok(child.await?)
            };
            let _ = TaskGroup::run(body).await;
        };
        el.spawn(group).named("it").detach();
        settle(&mut el);
        let snapshot = el.snapshot();
        let line = LINE.get();
        assert_eq!(waits(named(&snapshot, "it")), [("task", file!(), line)]);
        assert_eq!(waits(named(&snapshot, "child")), [("sleep", file!(), line - 2)]);
    });
}

#[test]
fn o10_a_task_that_waits_for_children_waits_for_the_group() {
    on_every_selector(|kind| {
        check(kind, "TaskGroup::run", async {
            let body = async |group: &TaskGroup| group.spawn(pending::<mainspring::Result<()>>());
            next_line();
            let _ = TaskGroup::run(body).await;
        });
    });
}

/// A future of another crate is not known. A call of this crate around it is.
#[test]
fn o10_a_future_of_another_crate_has_the_line_of_the_call_around_it() {
    on_every_selector(|kind| {
        assert_eq!(waits_of(kind, pending()), []);
        check(kind, "timeout", async {
            next_line();
            let _ = timeout(HOUR, pending::<()>()).await;
        });
        check(kind, "CancelScope::run", async {
            next_line();
            let _ = CancelScope::new().run(pending::<()>()).await;
        });
    });
}

/// Blocks in a macro of another crate have their lines. A future of this crate that is passed to it
/// has a line of that crate, where it is polled.
#[test]
fn o10_futures_in_a_join_have_one_line_each() {
    on_every_selector(|kind| {
        let first = line!() + 3;
        let found = waits_of(kind, async {
            let (_promise, promised) = promise::<()>();
            let one = async { sleep(HOUR).await };
            let two = async { promised.await.unwrap() };
            futures::join!(one, two);
        });
        assert_eq!(found, [("sleep", file!(), first), ("promise", file!(), first + 1)]);

        let found = waits_of(kind, async {
            futures::join!(sleep(HOUR), sleep(DAY));
        });
        let [(call, file, _)] = found[..] else { panic!("{found:?}") };
        assert!(call == "sleep" && file.ends_with("maybe_done.rs"), "{found:?}");
    });
}

/// The standard library polls such a future, so the nearest line is one of that library.
#[test]
fn o10_a_future_behind_a_reference_has_the_line_around_it() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let first = line!() + 1;
        el.spawn(async {
            let (_promise, mut promised) = promise::<()>();
            let _ = (&mut promised).await;
        })
        .named("reference")
        .detach();
        let in_timeout = line!() + 3;
        el.spawn(async {
            let mut sleep = std::pin::pin!(sleep(HOUR));
            let _ = timeout(DAY, sleep.as_mut()).await;
        })
        .named("pin")
        .detach();
        settle(&mut el);
        let snapshot = el.snapshot();
        assert_eq!(waits(named(&snapshot, "reference")), [("promise", file!(), first)]);
        assert_eq!(waits(named(&snapshot, "pin")), [("sleep", file!(), in_timeout)]);
    });
}

#[test]
fn o10_a_boxed_future_and_a_whole_task_have_the_line_of_the_spawn() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let first = line!() + 1;
        el.spawn(sleep(HOUR)).named("whole").detach();
        let boxed: Pin<Box<dyn Future<Output = ()>>> = Box::pin(sleep(HOUR));
        let body = async { (boxed.await, pending::<()>().await).1 };
        el.spawn(body).named("boxed").detach();
        settle(&mut el);
        let snapshot = el.snapshot();
        assert_eq!(waits(named(&snapshot, "whole")), [("sleep", file!(), first)]);
        assert_eq!(waits(named(&snapshot, "boxed")), [("sleep", file!(), first + 3)]);
    });
}

/// The lines of a turn belong to the loop that runs it.
#[test]
fn o10_a_loop_inside_of_a_task_does_not_add_lines() {
    on_every_selector(|kind| {
        check(kind, "sleep", async move {
            for records in [false, true] {
                let builder = EventLoop::builder().await_lines(records);
                let mut inner = builder.build().unwrap();
                inner.spawn(sleep(HOUR)).detach();
                inner.run_until_complete(async { mainspring::yield_now().await }).unwrap();
            }
            next_line();
            sleep(HOUR).await;
        });
    });
}

#[test]
fn o11_a_task_has_an_age_and_a_number_of_runs() {
    on_every_selector(|kind| {
        let (mut el, clock) = recording(kind);
        el.tick(Some(Duration::ZERO)).unwrap();
        let task = el.spawn(async {
            sleep(HOUR).await;
            sleep(HOUR).await;
        });
        let handle = task.handle();
        let seen = |el: &EventLoop| {
            let snapshot = el.snapshot();
            let it = snapshot.get(handle).unwrap();
            (it.age(), it.runs(), it.waiting_since(), it.awaits().len())
        };
        assert_eq!(seen(&el), (Some(0), Some(0), None, 0));
        settle(&mut el);
        assert_eq!(seen(&el), (Some(8), Some(1), Some(2), 1));
        clock.advance(HOUR);
        settle(&mut el);
        assert_eq!(seen(&el), (Some(16), Some(2), Some(10), 1));
        clock.advance(HOUR);
        settle(&mut el);
        assert_eq!(seen(&el), (Some(24), Some(3), None, 0)); // done
    });
}

/// The main task has lines, too, and a task that takes the slot of another one has its own.
#[test]
fn o11_histories_follow_the_tasks() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let handle = el.handle().clone();
        let line = line!() + 2;
        let main = async {
            sleep(DAY).await;
            handle.snapshot()
        };
        let (saved, seen) = (std::rc::Rc::new(std::cell::RefCell::new(None)), handle.clone());
        let saves = saved.clone();
        el.call_later(2 * HOUR, move |_, ()| _ = saves.replace(Some(seen.snapshot())));
        el.run_until_complete(main).unwrap();
        let snapshot = saved.take().unwrap();
        let main = snapshot.entries().iter().find(|it| !it.awaits().is_empty()).unwrap();
        assert_eq!(waits(main), [("sleep", file!(), line)], "{snapshot}");

        for round in 0..3 {
            let task = el.spawn(async move {
                for _ in 0..round {
                    sleep(HOUR).await;
                }
                sleep(DAY).await;
            });
            settle(&mut el);
            assert_eq!(el.snapshot().get(task.handle()).unwrap().runs(), Some(1));
            task.cancel("enough");
            settle(&mut el);
            drop(task);
        }
    });
}

#[test]
fn o11_a_loop_that_does_not_record_has_no_lines() {
    on_every_selector(|kind| {
        let builder = EventLoop::builder().selector(crate::support::loopback::selector(kind));
        let mut el = builder.await_lines(false).build().unwrap();
        let task = spawn_in(&el);
        settle(&mut el);
        let snapshot = el.snapshot();
        let it = snapshot.get(task).unwrap();
        assert!(it.awaits().is_empty() && it.waiting_since().is_none() && it.age().is_none());
        assert!(it.runs().is_none() && !snapshot.to_string().contains("since tick"));
    });
}

fn spawn_in(el: &EventLoop) -> mainspring::Handle {
    let task = el.spawn(async { spawn(sleep(HOUR)).await });
    let handle = task.handle();
    task.detach_discarding();
    handle
}

#[test]
fn o11_the_table_and_the_json_text_have_the_lines() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let line = line!() + 1;
        el.spawn(async { sleep(HOUR).await }).named("it").detach();
        settle(&mut el);
        let snapshot = el.snapshot();
        let text = snapshot.to_string();
        let wanted = format!("\"it\" waits for sleep at {}:{line}:", file!());
        assert!(text.contains(&wanted) && text.contains(" since tick 1"), "{text}");
        assert!(snapshot.tree().to_string().contains(&wanted));
        let json = snapshot.to_json();
        let wanted = format!(r#""awaits":[{{"call":"sleep","file":"{}","line":{line},"#, file!());
        assert!(json.contains(&wanted) && json.contains(r#""waiting_since":1"#), "{json}");
    });
}

/// A reader and a writer of one descriptor: an event for the writer is not one for the reader,
/// which has waited longer.
#[test]
fn o9_an_event_changes_the_history_of_the_task_that_it_wakes() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        fill(&ours);
        theirs.set_nonblocking(true).unwrap();
        let ours = el.run_until_complete(async { Rc::new(Io::new(ours).unwrap()) }).unwrap();
        let read = ours.clone();
        let reader = async move { drop(read.readable().await) };
        el.spawn(reader).named("reader").detach();
        settle(&mut el);
        let writer = async move {
            let _ = ours.writable().await;
            pending::<()>().await;
        };
        el.spawn(writer).named("writer").detach();
        settle(&mut el);
        let before = el.snapshot();
        while theirs.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {}
        settle(&mut el);
        let after = el.snapshot();
        let history = |snapshot, name| {
            let it = named(snapshot, name);
            (it.runs(), it.waiting_since(), waits(it))
        };
        assert_eq!(history(&after, "reader"), history(&before, "reader"));
        assert_eq!(named(&after, "writer").runs(), Some(2));
    });
}

#[test]
fn o12_the_text_of_a_stall_has_each_line_of_a_task() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let line = line!() + 3;
        el.spawn(async {
            let ((_a, first), (_b, second)) = (promise::<()>(), promise::<()>());
            let one = async { first.await.is_ok() };
            race(one, async { second.await.is_ok() }).await
        })
        .detach();
        let text = el.run().unwrap_err().to_string();
        for (word, line) in [("for", line), ("and", line + 1)] {
            assert!(text.contains(&format!(" {word} promise at {}:{line}:", file!())), "{text}");
        }
        let table = el.snapshot().to_string();
        assert!(table.contains(&format!(" and promise at {}:{}:", file!(), line + 1)), "{table}");
    });
}

#[test]
fn o9_a_later_turn_replaces_all_lines_of_a_task() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let line = line!() + 2;
        let body = async {
            race(sleep(HOUR), async { sleep(DAY).await }).await;
            sleep(DAY).await;
        };
        el.spawn(body).named("it").detach();
        settle(&mut el);
        assert_eq!(waits(named(&el.snapshot(), "it")).len(), 2);
        el.tick(Some(HOUR)).unwrap();
        settle(&mut el);
        let snapshot = el.snapshot();
        assert_eq!(waits(named(&snapshot, "it")), [("sleep", file!(), line + 1)], "{snapshot}");
    });
}

#[test]
fn o11_each_poll_of_the_main_task_is_a_run() {
    on_every_selector(|kind| {
        let (mut el, _clock) = recording(kind);
        let handle = el.handle().clone();
        let main = async move {
            mainspring::yield_now().await;
            sleep(HOUR).await;
            handle.snapshot()
        };
        let snapshot = el.run_until_complete(main).unwrap();
        let task = snapshot.entries().iter().find(|entry| entry.kind() == EntryKind::Task);
        assert_eq!(task.unwrap().runs(), Some(2), "before the one that takes the snapshot");
    });
}

/// A call in a block that another call runs.
#[test]
fn o10_of_nested_calls_the_innermost_one_has_the_line() {
    on_every_selector(|kind| {
        check(kind, "sleep", async {
            let block = async {
                next_line();
                let _ = timeout(DAY, sleep(HOUR)).await;
            };
            let _ = timeout(DAY, block).await;
        });
    });
}

/// A task of the outer loop runs the inner loop, and each loop has the lines of its tasks only.
#[test]
fn o9_a_loop_inside_a_task_has_its_own_lines() {
    on_every_selector(|kind| {
        let (mut outer, _clock) = recording(kind);
        let (mut inner, _clock) = recording(kind);
        let line = line!() + 1;
        inner.spawn(async { sleep(HOUR).await }).named("inner").detach();
        let seen = Rc::new(std::cell::Cell::new(Vec::new()));
        let found = seen.clone();
        let run_inner = async move {
            settle(&mut inner);
            found.set(waits(named(&inner.snapshot(), "inner")));
            pending::<()>().await;
        };
        outer.spawn(async { race(sleep(DAY), run_inner).await }).named("outer").detach();
        settle(&mut outer);
        assert_eq!(seen.take(), [("sleep", file!(), line)]);
        let snapshot = outer.snapshot();
        assert_eq!(waits(named(&snapshot, "outer")), [("sleep", file!(), line + 8)], "{snapshot}");
    });
}

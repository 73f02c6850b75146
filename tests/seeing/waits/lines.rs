//! The exact line of each public future that is not one of a descriptor (docs/contract.md, O9).

use std::future::{pending, poll_fn};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use mainspring::net::{TcpStream, lookup_host};
use mainspring::process::{Child, wait_pid};
use mainspring::{
    EventLoop, Shutdown, Signal, WaitUntil, as_completed, current_loop, gather, gather_all,
    interval, promise, race_all, shield, signal, sleep, sleep_until, sleep_until_wall_time, spawn,
    spawn_blocking, wait, yield_now,
};

use super::{check, next_line};
use crate::support::on_every_selector;

const HOUR: Duration = Duration::from_secs(3600);

fn sleeper() -> Child {
    Child::spawn(Command::new("sleep").arg("1000").stdout(Stdio::piped()))
        .unwrap()
        .kill_on_drop(true)
}

#[test]
fn o9_the_lines_of_times() {
    on_every_selector(|kind| {
        check(kind, "sleep", async {
            next_line();
            sleep(HOUR).await;
        });
        check(kind, "sleep", async {
            let deadline = current_loop().unwrap().now() + HOUR;
            next_line();
            sleep_until(deadline).await;
        });
        check(kind, "sleep_until_wall_time", async {
            next_line();
            sleep_until_wall_time(SystemTime::now() + 1_000_000 * HOUR).await;
        });
        check(kind, "sleep_in_boot_time", async {
            next_line();
            mainspring::sleep_in_boot_time(HOUR).await;
        });
        check(kind, "sleep_until_boot_time", async {
            next_line();
            mainspring::sleep_until_boot_time(1_000_000 * HOUR).await;
        });
        check(kind, "tick", async {
            let mut ticks = interval(HOUR).unwrap();
            next_line();
            ticks.tick().await;
        });
        check(kind, "tick", async {
            let mut ticks = interval(HOUR).unwrap();
            next_line();
            poll_fn(|cx| ticks.poll_tick(cx)).await;
        });
        check(kind, "yield_now", async {
            loop {
                next_line();
                yield_now().await;
            }
        });
    });
}

#[test]
fn o9_the_lines_of_tasks_and_promises() {
    on_every_selector(|kind| {
        check(kind, "task", async {
            let task = spawn(pending::<()>());
            next_line();
            let _ = task.await;
        });
        check(kind, "task", async {
            next_line();
            let _ = shield(pending::<()>()).await;
        });
        check(kind, "promise", async {
            let (_promise, promised) = promise::<()>();
            next_line();
            let _ = promised.await;
        });
        check(kind, "remote task", async {
            let other = EventLoop::new().unwrap();
            let task = other.remote().spawn(pending::<()>()).unwrap();
            next_line();
            let _ = task.await;
        });
    });
}

#[test]
fn o9_the_lines_of_sets_of_tasks() {
    let tasks = || [spawn(pending::<Result<(), mainspring::Error>>())];
    on_every_selector(|kind| {
        check(kind, "gather", async move {
            next_line();
            let _ = gather(tasks()).await;
        });
        check(kind, "gather_all", async move {
            next_line();
            let _ = gather_all(tasks()).await;
        });
        check(kind, "race_all", async move {
            next_line();
            let _ = race_all(tasks()).await;
        });
        check(kind, "wait", async move {
            next_line();
            let _ = wait(tasks(), WaitUntil::All).await;
        });
        check(kind, "next", async move {
            let mut done = as_completed(tasks());
            next_line();
            let _ = done.next().await;
        });
        check(kind, "next", async move {
            let mut done = as_completed(tasks());
            next_line();
            let _ = poll_fn(|cx| done.poll_next(cx)).await;
        });
    });
}

#[test]
fn o9_the_lines_of_a_shutdown() {
    on_every_selector(|kind| {
        check(kind, "started", async {
            next_line();
            Shutdown::new().started().await;
        });
        check(kind, "finish", async {
            let shutdown = Shutdown::new();
            let _guard = shutdown.guard();
            shutdown.begin(HOUR);
            next_line();
            shutdown.finish().await;
        });
        check(kind, "sleep", async {
            let shutdown = Shutdown::new();
            next_line();
            let _ = shutdown.track(sleep(HOUR)).await;
        });
    });
}

#[test]
fn o9_the_lines_of_signals_and_processes() {
    on_every_selector(|kind| {
        check(kind, "signal", async {
            let usr2 = signal(Signal::USR2);
            next_line();
            let _ = usr2.await;
        });
        check(kind, "recv", async {
            let mut usr2 = signal(Signal::USR2);
            next_line();
            let _ = usr2.recv().await;
        });
        check(kind, "signal", async {
            let mut usr2 = signal(Signal::USR2);
            next_line();
            let _ = poll_fn(|cx| usr2.poll_recv(cx)).await;
        });
        check(kind, "wait", async {
            let child = sleeper();
            next_line();
            let _ = child.wait().await;
        });
        check(kind, "wait_pid", async {
            let child = sleeper();
            let end = wait_pid(child.id()).unwrap();
            next_line();
            let _ = end.await;
        });
        check(kind, "output_with_limit", async {
            let child = sleeper();
            next_line();
            let _ = child.output_with_limit(64).await;
        });
    });
}

/// The pool has one thread, which is busy.
#[test]
fn o9_the_lines_of_jobs_and_lookups() {
    on_every_selector(|kind| {
        check(kind, "spawn_blocking", async {
            next_line();
            let _ = spawn_blocking(|| ()).await;
        });
        check(kind, "job", async {
            let pool = mainspring::BlockingPool::new();
            let (_send, receive) = std::sync::mpsc::channel::<()>();
            let job = pool.submit(move || receive.recv()).unwrap();
            next_line();
            let _ = job.await;
        });
        check(kind, "lookup_host", async {
            next_line();
            let _ = lookup_host("localhost:80").await;
        });
        check(kind, "connect_host", async {
            next_line();
            let _ = TcpStream::connect_host("localhost:80", HOUR).await;
        });
    });
}

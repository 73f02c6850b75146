//! Growth of costs: CPU nanoseconds per registration when n registrations end together.
//!
//! A cost that does not depend on n is flat. A cost of O(log n) rises slowly, and cache misses add
//! to it. A total cost of O(n^2) rises with n. The exponent is the slope between the first and the
//! last column on a logarithmic scale: 0 is flat, 1 is quadratic in total. Above 0.5 a curve
//! `bends upward`.
//!
//! The clock is simulated. The cells of `--cells` are numbers of registrations. Unit tests count
//! the steps of the same scenarios: `src/testing/growth.rs`.

mod raw;
mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{
    CancelScope, EventLoop, Handle, JoinError, Shutdown, Signal, Task, TaskGroup, Watcher, gather,
    spawn, yield_now,
};
use support::figures::figure;
use support::options::Options;
use support::run;
use support::table::Table;

const SECOND: Duration = Duration::from_secs(1);
/// Exponent above which a curve bends upward.
const BEND: f64 = 0.5;

/// Returns the CPU time of the ends of a number of registrations, in nanoseconds.
type Scenario = fn(usize) -> f64;

const SCENARIOS: [(&str, Scenario); 10] = [
    ("scope, deadline", scope_deadline),
    ("scope, cancel", scope_cancel),
    ("group, cancel", group_cancel),
    ("shutdown", shutdown),
    ("gather", gather_all),
    ("names", names),
    ("hooks, handlers", hooks_and_handlers),
    ("replacements", replacements),
    ("timers, one deadline", timers_of_one_deadline),
    ("close", close),
];

fn main() {
    run("growth", run_bench, |_, _| {});
}

fn run_bench(options: &Options) {
    let usual: &[&[usize]] = &[&[1000], &[4000], &[16_000], &[64_000]];
    let cells = options.cells(&[&[10]], usual, usual);
    let counts: Vec<usize> = cells.iter().map(|cell| cell[0]).collect();
    let names: Vec<String> = counts.iter().map(usize::to_string).collect();
    let names = names.iter().map(String::as_str);
    let heading: Vec<&str> = ["ns each"].into_iter().chain(names).chain(["exponent", ""]).collect();
    let mut table = Table::new(&heading);
    for (name, scenario) in SCENARIOS {
        options.progress(name);
        let costs: Vec<f64> = counts.iter().map(|count| cost(options, scenario, *count)).collect();
        let exponent = exponent(&counts, &costs);
        let verdict = if exponent > BEND { "bends upward" } else { "" };
        let figures = costs.into_iter().map(figure);
        let last = [format!("{exponent:.2}"), verdict.to_owned()];
        table.row([name.to_owned()].into_iter().chain(figures).chain(last));
    }
    table.print(options);
}

/// Returns the minimum of all rounds per registration, because any disturbance adds to a round.
fn cost(options: &Options, scenario: Scenario, count: usize) -> f64 {
    let rounds = (0..options.rounds).map(|_| scenario(count) / count as f64);
    rounds.fold(f64::INFINITY, f64::min)
}

fn exponent(counts: &[usize], costs: &[f64]) -> f64 {
    let (first, last) = (0, counts.len() - 1);
    let growth = (costs[last] / costs[first]).ln();
    if first == last { 0.0 } else { growth / (counts[last] as f64 / counts[first] as f64).ln() }
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = raw::cpu_of_this_thread();
    let output = work();
    ((raw::cpu_of_this_thread() - before).as_nanos() as f64, output)
}

fn new_loop() -> EventLoop {
    EventLoop::builder().clock(SimClock::new()).build().expect("the system has a selector")
}

/// Runs the main future of a new loop. The future returns the CPU time of its end.
fn in_loop(future: impl Future<Output = f64>) -> f64 {
    new_loop().run_until_complete(future).expect("the selector works")
}

/// Awaits tasks that have completed or are about to.
async fn end_of(tasks: Vec<Task<()>>) -> f64 {
    let before = raw::cpu_of_this_thread();
    for task in tasks {
        task.await.expect("no task panics");
    }
    (raw::cpu_of_this_thread() - before).as_nanos() as f64
}

/// Spawns tasks, and returns when all of them have entered the scope.
async fn spawn_in(scope: &CancelScope, count: usize) -> Vec<Task<()>> {
    let task = |_| {
        let run = scope.run(pending::<()>());
        spawn(async move { drop(run.await) })
    };
    let tasks = (0..count).map(task).collect();
    yield_now().await;
    tasks
}

fn scope_deadline(count: usize) -> f64 {
    in_loop(async {
        let scope = CancelScope::new().timeout(SECOND);
        end_of(spawn_in(&scope, count).await).await
    })
}

fn scope_cancel(count: usize) -> f64 {
    in_loop(async {
        let scope = CancelScope::new();
        let tasks = spawn_in(&scope, count).await;
        let (cancel, _) = timed(|| scope.cancel("it is over"));
        cancel + end_of(tasks).await
    })
}

fn group_cancel(count: usize) -> f64 {
    in_loop(async {
        let cancelled = Cell::new(Duration::ZERO);
        let group = TaskGroup::run(async |group| {
            for _ in 0..count {
                group.spawn(pending::<mainspring::Result<()>>())?;
            }
            yield_now().await;
            cancelled.set(raw::cpu_of_this_thread());
            group.cancel("it is over");
            Ok(())
        });
        // The group ends with its cancellation.
        let _ = group.await;
        (raw::cpu_of_this_thread() - cancelled.get()).as_nanos() as f64
    })
}

fn shutdown(count: usize) -> f64 {
    in_loop(async {
        let shutdown = Shutdown::new();
        for _ in 0..count {
            let tracked = shutdown.track(pending::<()>());
            spawn(async move { drop(tracked.await) }).detach();
        }
        yield_now().await;
        let before = raw::cpu_of_this_thread();
        shutdown.begin(SECOND);
        shutdown.finish().await;
        (raw::cpu_of_this_thread() - before).as_nanos() as f64
    })
}

fn gather_all(count: usize) -> f64 {
    in_loop(async {
        let task = |number| {
            spawn(async move {
                yield_now().await;
                Ok::<usize, JoinError>(number)
            })
        };
        let tasks: Vec<_> = (0..count).map(task).collect();
        let before = raw::cpu_of_this_thread();
        let results = gather(tasks).await.expect("no task fails");
        assert_eq!(results.len(), count);
        (raw::cpu_of_this_thread() - before).as_nanos() as f64
    })
}

/// Timers with names, cancelled from the last to the first.
fn names(count: usize) -> f64 {
    let el = new_loop();
    let timers: Vec<_> = (0..count).map(|_| el.call_later(SECOND, |_, ()| {})).collect();
    let (took, ()) = timed(|| {
        timers.iter().for_each(|timer| assert!(el.set_name(*timer, "idle limit")));
        timers.into_iter().rev().for_each(|timer| assert!(el.cancel(timer)));
    });
    took
}

/// Prepare hooks and handlers of one signal, half each, cancelled from the last to the first.
fn hooks_and_handlers(count: usize) -> f64 {
    let el = new_loop();
    let pair = |_| [el.on_prepare(|_, ()| {}), el.add_signal_handler(Signal::USR2, |_, ()| {})];
    let handles: Result<Vec<Handle>, _> = (0..count.div_ceil(2)).flat_map(pair).collect();
    let handles = handles.expect("the signal can be handled");
    let cancel = || handles.into_iter().rev().for_each(|handle| assert!(el.cancel(handle)));
    timed(cancel).0
}

/// A reader that replaces itself while it runs, as does each replacement.
fn replacements(count: usize) -> f64 {
    let (stream, mut peer) = UnixStream::pair().expect("there are descriptors");
    let mut el = new_loop();
    let own: Rc<RefCell<Option<Watcher<UnixStream>>>> = Rc::default();
    let began = Rc::new(Cell::new(Duration::ZERO));
    let (slot, start) = (own.clone(), began.clone());
    let watcher = el.add_reader(stream, move |el, (), _| {
        start.set(raw::cpu_of_this_thread());
        let mut watcher = slot.take().expect("the watcher was kept");
        for _ in 0..count {
            watcher = el.replace(watcher, |el, (), source| {
                source.cancel();
                el.stop();
                Ok(())
            })?;
        }
        Ok(())
    });
    *own.borrow_mut() = Some(watcher.expect("a socket can be watched"));
    peer.write_all(b"x").expect("a socket has room for a byte");
    el.run_forever().expect("the selector works");
    (raw::cpu_of_this_thread() - began.get()).as_nanos() as f64
}

fn timers_of_one_deadline(count: usize) -> f64 {
    let mut el = new_loop();
    for _ in 0..count {
        el.call_later(SECOND, |_, ()| {});
    }
    timed(|| el.run().expect("the selector works")).0
}

/// Callbacks, timers, hooks and detached tasks, a quarter each.
fn close(count: usize) -> f64 {
    let el = new_loop();
    for _ in 0..count.div_ceil(4) {
        el.call_soon(|_, ()| {});
        el.call_later(SECOND, |_, ()| {});
        el.on_prepare(|_, ()| {}).expect("the loop is open");
        el.spawn(pending::<()>()).detach();
    }
    timed(|| drop(el)).0
}

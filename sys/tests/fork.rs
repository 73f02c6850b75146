//! X6, X7 and other behaviour that depends on the process: loops in real child processes.
//!
//! A child of a process with several threads may do very little, so this program has only the
//! threads that a test starts, and runs its tests one after the other.

mod default_signals;

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mainspring::snapshot::{Entry, EntryKind};
use mainspring::testing::SimClock;
use mainspring::{
    BlockingPool, Error, EventLoop, ExitWatchKind, FlagKind, Heartbeat, Interest, Io, Recorder,
    SelectorKind, Signal, Stall, Tape, WakeupKind, Watchdog, spawn_blocking, timeout,
};
use mainspring_sys::child::{ExitWatch, WatchedProcess};
use mainspring_sys::shared_map::SharedMap;
use mainspring_sys::signal::Subscription;
use mainspring_sys::terminal::RawMode;
use mainspring_sys::{Events, Token};

type Test = fn(SelectorKind);

const TESTS: &[(&str, Test)] = &[
    ("x7_a_child_refuses_to_run_and_its_drop_changes_nothing", x7_refuses),
    ("x7_a_child_takes_the_loop_over", x7_takes_over),
    ("x7_a_child_made_in_a_callback_takes_the_loop_over", x7_in_a_callback),
    ("x7_a_batch_ends_after_the_callback_that_forked", x7_batch_ends),
    ("x7_a_hundred_children_under_load", x7_under_load),
    ("x7_a_blocking_pool_starts_again", x7_blocking_pool),
    ("x7_signals_of_a_child", x7_signals),
    ("x7_signals_while_a_thread_of_the_parent_subscribes", x7_signal_lock),
    ("x7_grandchildren", x7_grandchildren),
    ("x7_a_child_that_has_closed_its_descriptors_takes_over", x7_closed),
    ("x7_x10_signals_before_a_second_takeover_are_counted", x7_x10_signals),
    ("x7_t7_t8_timers_of_other_clocks", x7_clocks),
    ("o2_a_child_can_take_a_snapshot", o2_snapshot),
    ("c15_children_of_the_parent_are_left_to_it", c15_children),
    ("c15_a_dropped_copy_kills_no_child", c15_drop),
    ("c15_a_child_adds_nothing_to_the_watch_of_its_parent", c15_add),
    ("c3_an_ignored_sigchld_loses_statuses_without_a_handler", c3_ignored),
    ("x3_a_signal_that_all_threads_block_is_pending", x3_blocked),
    ("r6_a_child_leaves_the_tape_of_its_parent", r6_tape),
    ("r6_the_ring_of_a_child_begins_again", r6_ring),
    ("r6_the_ring_of_a_child_has_the_times_of_its_loop", r6_times),
    ("e7_a_child_with_more_turns_than_its_parent_looks_at_all_of_them", e7_turns),
    ("e7_r6_a_child_does_not_take_the_turns_in_a_file_for_its_own", e7_r6_file),
    ("r6_a_parent_that_continues_adds_no_place_to_the_ring_of_a_child", r6_places),
    ("r6_the_ring_of_a_child_is_found_by_the_same_descriptor", r6_found),
    ("r6_a_child_that_cannot_run_leaves_the_tape_of_its_parent", r6_refuses),
    ("e4_a_heartbeat_belongs_to_its_process", e4_heartbeat),
    ("r6_a_tape_that_does_not_fit_leaves_no_file", r6_no_room),
    ("x6_a_command_inherits_nothing", x6_command),
    ("w11_descriptors_stay_above_2", w11_low_numbers),
    ("w11_p13_a_child_does_not_clear_the_flag_of_a_file", w11_p13_child),
    ("w11_p13_a_terminal_stays_blocking", w11_p13_terminal),
    ("y3_a_signal_ends_a_copy_of_a_process_with_a_raw_terminal", y3_signals),
    ("w8_a_wakeup_fd_that_is_another_file_is_an_error", w8_wakeup),
];

fn main() {
    default_signals::set_default_signals();
    for signal in [libc::SIGHUP, libc::SIGINT] {
        // SAFETY: the default action is a valid one. nohup(1), and shells for a job in the
        // background, let their children ignore these.
        assert_ne!(unsafe { libc::signal(signal, libc::SIG_DFL) }, libc::SIG_ERR);
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    for (name, test) in TESTS {
        if !wanted.is_empty() && !wanted.iter().any(|it| name.contains(it.as_str())) {
            continue;
        }
        for kind in SelectorKind::available() {
            println!("test {name} on {kind}");
            in_child(|| test(*kind)); // Each test starts in a fresh process.
        }
    }
}

/// Runs `code` in a forked child. Panics if it fails or takes longer than five minutes.
fn in_child(code: impl FnOnce()) {
    wait_for(start_child(code));
}

fn start_child(code: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child ends by _exit, and takes no lock that another thread could hold: the
    // threads of this program allocate, which the C library supports, and send to loops.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child > 0 {
        return child;
    }
    // SAFETY: the call takes an integer.
    unsafe { libc::alarm(300) };
    let failed = catch_unwind(AssertUnwindSafe(code)).is_err();
    // SAFETY: the call ends the process without running destructors.
    unsafe { libc::_exit(libc::c_int::from(failed)) }
}

fn wait_for(child: libc::pid_t) {
    assert_eq!(wait_status(child), 0, "the child failed");
}

/// Waits for the end of a child. Returns its status in the form of wait(2).
fn wait_status(child: libc::pid_t) -> libc::c_int {
    let mut status = -1;
    loop {
        // SAFETY: `status` has room for the answer.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        if waited == child {
            return status;
        }
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
    }
}

fn new_loop<S>(kind: SelectorKind, state: S) -> EventLoop<S> {
    EventLoop::builder().selector(kind).build_with(state).unwrap()
}

/// Calls `check` with a loop for each mechanism that reports the end of processes.
fn with_watches(kind: SelectorKind, check: impl Fn(EventLoop<Option<bool>>)) {
    for watch in ExitWatchKind::available() {
        let builder = EventLoop::builder().selector(kind).exit_watch(*watch);
        check(builder.build_with(None).unwrap());
    }
}

/// The copy of the parent's loop can be listed before and after the child takes it over, and when
/// other code has closed a descriptor.
fn o2_snapshot(kind: SelectorKind) {
    let hour = Duration::from_secs(3600);
    let mut el = new_loop(kind, ());
    el.call_later(hour, |_, ()| {});
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let fd = ours.as_raw_fd();
    let watcher = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
    let (source, _peer) = UnixStream::pair().unwrap();
    let io = Io::new(source).unwrap();
    el.spawn(async move { drop(timeout(hour, io.readable()).await) }).detach();
    // The task waits for its descriptor: the job below may end before a tick.
    el.run_until_stalled().unwrap();
    let _remote = el.remote();
    assert_eq!(el.run_until_complete(async { spawn_blocking(|| 1).await.unwrap() }).unwrap(), 1);
    // The result arrives before the thread of the job is idle.
    let is_job = |entry: &Entry| entry.kind() == EntryKind::Job;
    while el.snapshot().entries().iter().any(is_job) {
        std::thread::yield_now();
    }
    let listed = |el: &EventLoop| {
        let snapshot = el.snapshot();
        assert_eq!(snapshot.to_string().lines().count(), 2 + snapshot.entries().len());
        assert!(snapshot.to_json().ends_with("}]}"));
        snapshot.entries().iter().map(|it| (it.kind(), it.location())).collect::<Vec<_>>()
    };
    let before = listed(&el);
    assert_eq!(before.len(), 6, "{before:?}"); // with task, descriptor and timeout
    in_child(|| {
        assert_eq!(listed(&el), before);
        el.after_fork_child().unwrap();
        assert_eq!(listed(&el), before);
        // SAFETY: the child ends without using the descriptor again.
        assert_eq!(unsafe { libc::close(fd) }, 0);
        assert_eq!(el.snapshot().get(watcher).unwrap().file(), None);
    });
    assert_eq!(listed(&el), before);
}

/// The timers of the kernel are shared with the parent, so the child gets its own.
fn x7_clocks(kind: SelectorKind) {
    let hour = Duration::from_secs(3600);
    let mut el = new_loop(kind, 0);
    let far = el.call_at_wall_time(el.wall_time() + hour, |_, _| {}).unwrap();
    let delay = Duration::from_millis(50);
    el.call_at_wall_time(el.wall_time() + delay, |_, calls| *calls += 1).unwrap();
    el.call_later_in_boot_time(delay, |_, calls| *calls += 1).unwrap();
    let run = |el: &mut EventLoop<i32>| {
        assert!(el.set_background(far));
        el.run().unwrap();
        assert_eq!(*el.state(), 2);
    };
    // A copy that is dropped, one that is used, and one that ends its timers at once.
    in_child(|| drop(std::mem::replace(&mut el, new_loop(kind, 0))));
    in_child(|| {
        assert!(el.call_later_in_boot_time(hour, |_, _| {}).is_err());
        el.after_fork_child().unwrap();
        run(&mut el);
    });
    in_child(|| {
        assert!(el.cancel(far));
        el.after_fork_child().unwrap();
        el.call_at_wall_time(el.wall_time() + delay, |el, _| el.stop()).unwrap();
        el.run().unwrap();
    });
    run(&mut el);
}

fn c15_children(kind: SelectorKind) {
    with_watches(kind, |mut el| {
        let mut sleep = Command::new("sleep");
        let child = el.spawn_child(sleep.arg("1000"), |_, is_known, status| {
            *is_known = Some(status.is_ok());
        });
        let child = child.unwrap();
        let forked = start_child(|| {
            el.after_fork_child().unwrap();
            let refused = child.kill().unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            el.spawn_child(Command::new("true"), |_, _, status| {
                assert!(status.unwrap().success(), "a child of the child has a status");
            })
            .unwrap();
            el.run().unwrap();
            assert_eq!(*el.state(), Some(false), "the end came, without a status");
        });
        child.kill().unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), Some(true), "the parent has the status");
        wait_for(forked);
    });
}

fn c15_drop(kind: SelectorKind) {
    with_watches(kind, |el| {
        let mut sleep = Command::new("sleep");
        let child = el.spawn_child(sleep.arg("1000"), |_, is_known, status| {
            *is_known = Some(status.is_ok());
        });
        let child = child.unwrap().kill_on_drop(true);
        let mut copy = Some((child, el));
        in_child(|| drop(copy.take()));
        let (child, mut el) = copy.unwrap();
        assert_eq!(child.status().unwrap(), None);
        child.kill().unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), Some(true), "it was running until now");
    });
}

/// Returns a loop that counts the bytes that arrive, and the other end of its stream.
/// The kernel object behind the watch is the parent's until the child has made its own.
fn c15_add(kind: SelectorKind) {
    for watch_kind in ExitWatchKind::available() {
        let mut selector = kind.open().unwrap();
        let mut watch = ExitWatch::open(*watch_kind, &mut *selector, Token::new(0, 0)).unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = WatchedProcess::spawned(child.id(), *watch_kind);
        let mut inherited = Some(watch);
        in_child(|| {
            let mut watch = inherited.take().unwrap();
            assert!(!watch.add(&process).is_ok_and(|is_reported| is_reported));
        });
        watch = inherited.unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        let mut events = Events::with_capacity(1);
        selector.select(&mut events, Some(Duration::ZERO)).unwrap();
        let mut notices = Vec::new();
        let any = watch.drain(&mut notices).unwrap();
        assert!(notices.is_empty() && any == watch.misses_earlier_ends(), "{notices:?}");
    }
}

fn counting(kind: SelectorKind) -> (EventLoop<usize>, UnixStream) {
    let el = new_loop(kind, 0);
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    el.add_reader(ours, |_, count: &mut usize, stream| {
        let mut bytes = [0; 64];
        *count += stream.read(&mut bytes)?;
        Ok(())
    })
    .unwrap();
    (el, theirs)
}

/// Longest wait. No other result depends on it.
const A_MINUTE: Duration = Duration::from_secs(60);

/// Runs until `done`, or for a minute.
fn run_until<S>(el: &mut EventLoop<S>, done: impl Fn(&S) -> bool) {
    let start = Instant::now();
    while !done(el.state()) {
        assert!(start.elapsed() < A_MINUTE, "timed out");
        el.tick(Some(Duration::from_millis(10))).unwrap();
    }
}

fn is_forked<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Forked))
}

/// Every fallible call fails in a child; what the child removes and drops stays registered in the
/// parent.
fn x7_refuses(kind: SelectorKind) {
    let (mut el, mut theirs) = counting(kind);
    let (paused, mut peer) = UnixStream::pair().unwrap();
    let watcher = el.watch(paused, Interest::READABLE, |_, count, stream| {
        *count += stream.read(&mut [0; 8])?;
        Ok(())
    });
    let watcher = watcher.unwrap();
    let signal = el.add_signal_handler(Signal::USR1, |_, count| *count += 100).unwrap();
    let remote = el.remote();
    el.tick(Some(Duration::ZERO)).unwrap();
    let mut inherited = Some((el, remote));
    for removes in [false, true] {
        in_child(|| {
            let (mut el, remote) = inherited.take().unwrap();
            assert!(is_forked(el.tick(None)));
            assert!(is_forked(el.run()));
            assert!(is_forked(el.run_forever()));
            assert!(is_forked(el.run_until_complete(async {})));
            assert!(is_forked(el.set_interest(watcher, Interest::WRITABLE)));
            assert!(is_forked(el.call_every(Duration::from_secs(1), |_, _| {})));
            assert!(is_forked(el.add_signal_handler(Signal::USR2, |_, _| {})));
            assert!(is_forked(el.add_reader(theirs.try_clone().unwrap(), |_, _, _| Ok(()))));
            assert!(is_forked(el.attach(theirs.try_clone().unwrap(), |_, _, _, _| Ok(()))));
            assert!(is_forked(remote.call_soon(|_, count| *count = 0)));
            if removes {
                assert!(el.cancel(watcher));
                assert!(el.cancel(signal));
            }
        });
    }
    let (mut el, remote) = inherited.unwrap();
    theirs.write_all(b"hello").unwrap();
    peer.write_all(b"x").unwrap();
    Signal::USR1.raise().unwrap();
    remote.call_soon(|_, count| *count += 1000).unwrap();
    run_until(&mut el, |count| *count == 1106);
}

/// A typical daemon: it sets everything up, then a child continues with it.
fn x7_takes_over(kind: SelectorKind) {
    let mut el = new_loop(kind, Vec::<&str>::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    el.serve(listener, |_, _, conn, data| {
        conn.write(data);
        Ok(())
    })
    .unwrap();
    el.add_signal_handler(Signal::USR1, |_, seen| seen.push("signal")).unwrap();
    el.call_later(Duration::from_millis(1), |_, seen| seen.push("timer"));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let read_count = Rc::new(Cell::new(0));
    let task_count = read_count.clone();
    let task = async move {
        let io = Io::new(ours).unwrap();
        let mut bytes = [0; 8];
        task_count.set(io.read(&mut bytes).await.unwrap());
    };
    el.spawn(task).detach();
    let remote = el.remote();
    assert_eq!(el.run_until_complete(async { spawn_blocking(|| 1).await.unwrap() }).unwrap(), 1);
    in_child(|| {
        el.after_fork_child().unwrap();
        el.after_fork_child().unwrap(); // A second call has no effect.
        let sender = std::thread::spawn(move || remote.call_soon(|_, seen| seen.push("sent")));
        sender.join().unwrap().unwrap();
        let client = std::thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"hi").unwrap();
            client.read_exact(&mut [0; 2])
        });
        theirs.write_all(b"task").unwrap();
        Signal::USR1.raise().unwrap();
        let job = async { timeout(A_MINUTE, spawn_blocking(|| 5)).await };
        assert_eq!(el.run_until_complete(job).unwrap().unwrap().unwrap(), 5);
        let lookup = async { mainspring::net::lookup_host("localhost:1").await.map(drop) };
        let lookup = el.run_until_complete(timeout(A_MINUTE, lookup)).unwrap();
        assert!(lookup.is_ok(), "a lookup must return a result, whichever");
        run_until(&mut el, |seen| seen.len() >= 3 && client.is_finished() && read_count.get() == 4);
        client.join().unwrap().unwrap();
        el.state_mut().sort();
        assert_eq!(*el.state(), ["sent", "signal", "timer"]);
    });
    // The parent's loop is unchanged.
    Signal::USR1.raise().unwrap();
    run_until(&mut el, |seen| seen.len() == 2);
}

/// A callback forks, and the child continues inside the callback.
fn x7_in_a_callback(kind: SelectorKind) {
    let (mut el, mut theirs) = counting(kind);
    let child = Rc::new(Cell::new(None));
    let forked = child.clone();
    el.call_soon(move |el, count| {
        // SAFETY: this process has one thread.
        let child = unsafe { libc::fork() };
        forked.set(Some(child));
        if child == 0 {
            *count = 10;
            el.after_fork_child().unwrap();
        }
    });
    el.tick(Some(Duration::ZERO)).unwrap();
    if child.get() != Some(0) {
        wait_for(child.get().unwrap());
        theirs.write_all(b"x").unwrap(); // The child has read the earlier bytes.
        return run_until(&mut el, |count| *count == 1);
    }
    let ends = catch_unwind(AssertUnwindSafe(|| {
        theirs.write_all(b"abc").unwrap();
        run_until(&mut el, |count| *count == 13);
    }));
    // SAFETY: the call ends the process without running destructors.
    unsafe { libc::_exit(libc::c_int::from(ends.is_err())) }
}

/// The rest of the batch does not run in the child until the loop is the child's. Then it runs
/// once, as in the parent.
fn x7_batch_ends(kind: SelectorKind) {
    let mut el = new_loop(kind, Vec::new());
    let child = Rc::new(Cell::new(None));
    let forked = child.clone();
    el.call_soon(|_, ran: &mut Vec<&str>| ran.push("before"));
    el.call_soon(move |_, ran| {
        ran.push("fork");
        // SAFETY: this process has one thread.
        forked.set(Some(unsafe { libc::fork() }));
    });
    el.call_soon(|_, ran| ran.push("after"));
    el.spawn(async {}).detach();
    let ticked = el.tick(Some(Duration::ZERO));
    if child.get() != Some(0) {
        assert_eq!(ticked.unwrap(), 4);
        assert_eq!(*el.state(), ["before", "fork", "after"]);
        return wait_for(child.get().unwrap());
    }
    let ends = catch_unwind(AssertUnwindSafe(|| {
        assert!(is_forked(ticked) && el.current().is_none());
        assert_eq!(*el.state(), ["before", "fork"]);
        assert!(is_forked(el.tick(Some(Duration::ZERO))));
        el.after_fork_child().unwrap();
        assert_eq!(el.run_until_stalled().unwrap(), 2);
        assert_eq!(*el.state(), ["before", "fork", "after"]);
    }));
    // SAFETY: the call ends the process without running destructors.
    unsafe { libc::_exit(libc::c_int::from(ends.is_err())) }
}

/// Threads send, bytes arrive, timers and signals fire, and the parent forks a hundred times. The
/// parent misses nothing, and no child hangs.
fn x7_under_load(kind: SelectorKind) {
    let (mut el, mut theirs) = counting(kind);
    el.add_signal_handler(Signal::USR1, |_, _| {}).unwrap();
    el.run_until_complete(async { spawn_blocking(|| ()).await.unwrap() }).unwrap();
    let stopping = AtomicBool::new(false);
    let posted = std::thread::scope(|scope| {
        let posters = [(); 2].map(|()| {
            let remote = el.remote();
            let stopping = &stopping;
            scope.spawn(move || {
                let mut posts = 0;
                while !stopping.load(Ordering::Relaxed) {
                    remote.call_soon(|_, count| *count += 1).unwrap();
                    posts += 1;
                    std::thread::sleep(Duration::from_micros(50));
                }
                posts
            })
        });
        for round in 0..100 {
            theirs.write_all(b"x").unwrap();
            let job = el.blocking_pool().submit(|| 1).unwrap();
            let child = start_child(|| under_load_in_child(el.handle(), round));
            Signal::USR1.raise().unwrap();
            el.tick(Some(Duration::ZERO)).unwrap();
            assert_eq!(el.run_until_complete(job).unwrap().unwrap(), 1);
            wait_for(child);
        }
        stopping.store(true, Ordering::Relaxed);
        posters.map(|poster| poster.join().unwrap()).iter().sum::<usize>()
    });
    run_until(&mut el, |count| *count == 100 + posted);
}

fn under_load_in_child(el: &mainspring::LoopHandle<usize>, round: usize) {
    if round.is_multiple_of(2) {
        assert!(is_forked(el.remote().call_soon(|_, _| {})));
        return;
    }
    el.after_fork_child().unwrap();
    el.remote().call_soon(|_, count| *count += 1).unwrap();
    assert_eq!(el.blocking_pool().submit(|| 5).unwrap().wait().unwrap(), 5);
}

fn x7_blocking_pool(_: SelectorKind) {
    let pool = BlockingPool::builder().max_threads(2).build().unwrap();
    pool.submit(|| 1).unwrap().wait().unwrap();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let slow = pool.submit(move || ended.recv().is_err()).unwrap();
    let mut inherited = Some((pool, slow));
    in_child(|| {
        let (pool, slow) = inherited.take().unwrap();
        assert_eq!(pool.submit(|| 5).unwrap().wait().unwrap(), 5);
        let error = slow.wait().unwrap_err();
        assert!(error.to_string().contains("belongs to the parent process"), "{error}");
    });
    in_child(|| drop(inherited.take()));
    let (pool, slow) = inherited.unwrap();
    drop(end);
    assert!(slow.wait().unwrap());
    pool.close(A_MINUTE).unwrap();
}

/// Signals that a child gets before it takes the loop over are delivered then, and never to the
/// parent. A child that drops the loop has the original dispositions.
fn x7_signals(kind: SelectorKind) {
    let mut el = new_loop(kind, 0);
    el.add_signal_handler(Signal::TERM, |_, count| *count += 1).unwrap();
    el.tick(Some(Duration::ZERO)).unwrap();
    in_child(|| {
        Signal::TERM.raise().unwrap();
        el.after_fork_child().unwrap();
        run_until(&mut el, |count| *count == 1);
        Signal::TERM.raise().unwrap();
        run_until(&mut el, |count| *count == 2);
    });
    let mut inherited = Some(el);
    in_child(|| {
        drop(inherited.take());
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a null action changes nothing, and `action` has room for the current one.
        let asked =
            unsafe { libc::sigaction(libc::SIGTERM, std::ptr::null(), action.as_mut_ptr()) };
        assert_eq!(asked, 0);
        // SAFETY: the call has written the action.
        assert_eq!(unsafe { action.assume_init() }.sa_sigaction, libc::SIG_DFL);
    });
    let mut el = inherited.unwrap();
    assert_eq!(el.tick(Some(Duration::from_millis(50))).unwrap(), 0);
    assert_eq!(*el.state(), 0);
    Signal::TERM.raise().unwrap();
    run_until(&mut el, |count| *count == 1);
}

/// The kernel reaps the children of a process that ignores SIGCHLD (wait(2)), as the parent of a
/// daemon may have done.
fn c3_ignored(kind: SelectorKind) {
    // SAFETY: the action is a valid one.
    assert_ne!(unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) }, libc::SIG_ERR);
    for watch in ExitWatchKind::available() {
        let builder = EventLoop::builder().selector(kind).exit_watch(*watch);
        let mut el = builder.build_with(None).unwrap();
        el.spawn_child(Command::new("true"), |_, ended, status| *ended = Some(status)).unwrap();
        el.run().unwrap();
        match el.state().as_ref().unwrap() {
            Ok(status) => assert!(status.success() && *watch == ExitWatchKind::Signal, "{watch}"),
            Err(Error::StatusUnavailable { .. }) => assert_ne!(*watch, ExitWatchKind::Signal),
            Err(error) => panic!("{watch}: {error}"),
        }
    }
}

/// The parent of a daemon may have blocked a signal.
fn x3_blocked(kind: SelectorKind) {
    let mask = |how| {
        let mut signals = MaybeUninit::uninit();
        // SAFETY: there is room for the set.
        unsafe { libc::sigemptyset(signals.as_mut_ptr()) };
        // SAFETY: sigemptyset(3) has initialized the set.
        unsafe { libc::sigaddset(signals.as_mut_ptr(), libc::SIGUSR1) };
        // SAFETY: as above; the null pointer is allowed.
        assert_eq!(unsafe { libc::pthread_sigmask(how, signals.as_ptr(), ptr::null_mut()) }, 0);
    };
    mask(libc::SIG_BLOCK);
    let mut el = new_loop(kind, 0);
    el.add_signal_handler(Signal::USR1, |_, count| *count += 1).unwrap();
    Signal::USR1.raise().unwrap();
    assert_eq!((el.tick(Some(Duration::from_millis(10))).unwrap(), *el.state()), (0, 0));
    mask(libc::SIG_UNBLOCK);
    run_until(&mut el, |count| *count == 1);
}

/// A thread of the parent may hold the lock of the signal table during fork(2). The child must not
/// wait for it.
fn x7_signal_lock(kind: SelectorKind) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let el = new_loop(kind, ());
            while !done.load(Ordering::Relaxed) {
                let handle = el.add_signal_handler(Signal::USR2, |_, ()| ()).unwrap();
                assert!(el.cancel(handle));
            }
        });
        for _ in 0..100 {
            in_child(|| {
                let mut el = new_loop(kind, 0);
                el.add_signal_handler(Signal::USR1, |_, count| *count += 1).unwrap();
                Signal::USR1.raise().unwrap();
                run_until(&mut el, |count| *count == 1);
            });
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn x7_grandchildren(kind: SelectorKind) {
    let (mut el, mut theirs) = counting(kind);
    let remote = el.remote();
    in_child(|| {
        el.after_fork_child().unwrap();
        in_child(|| {
            assert!(is_forked(el.tick(None)));
            assert!(is_forked(remote.call_soon(|_, _| {})));
            el.after_fork_child().unwrap();
            theirs.write_all(b"12").unwrap();
            remote.call_soon(|_, count| *count += 10).unwrap();
            run_until(&mut el, |count| *count == 12);
        });
        theirs.write_all(b"1").unwrap();
        run_until(&mut el, |count| *count == 1);
    });
    theirs.write_all(b"123").unwrap();
    run_until(&mut el, |count| *count == 3);
}

/// A child often closes all descriptors first (closefrom(3)). New kernel objects may then get the
/// old numbers at once, or those of each other.
fn x7_closed(kind: SelectorKind) {
    for wakeup in WakeupKind::available() {
        let builder = EventLoop::builder().selector(kind).wakeup(*wakeup);
        let Ok(mut el) = builder.build_with(0) else { continue }; // Not with this selector.
        el.add_signal_handler(Signal::USR1, |_, count| *count += 1).unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let reports = Rc::new(Cell::new(0));
        let counted = reports.clone();
        el.set_exception_handler(move |_, _, _| counted.set(counted.get() + 1));
        // SAFETY: the number is open in this process; what a child does about it is the test.
        let lent = unsafe { BorrowedFd::borrow_raw(ours.as_raw_fd()) };
        el.add_reader(lent, |_, _, _| Ok(())).unwrap();
        let remote = el.remote();
        in_child(|| {
            // SAFETY: the loop must cope with the loss, which is the purpose of the test.
            (3..256).for_each(|fd| _ = unsafe { libc::close(fd) });
            el.after_fork_child().unwrap();
            Signal::USR1.raise().unwrap();
            let sender = std::thread::spawn(move || remote.call_soon(|_, count| *count += 10));
            sender.join().unwrap().unwrap();
            run_until(&mut el, |count| *count == 11 && reports.get() == 1);
            for fd in (3..256).filter(|fd| mainspring_sys::fd::is_open(*fd)) {
                // SAFETY: F_GETFD takes no argument and touches no memory of ours.
                let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
                assert_eq!(flags, libc::FD_CLOEXEC, "fd {fd}");
            }
        });
    }
}

/// A takeover that has failed half-way is repeated, and discards only signals of the parent.
fn x7_x10_signals(kind: SelectorKind) {
    let mut selector = kind.open().unwrap();
    let mut signals = Subscription::new(&mut *selector, Token::new(0, 0)).unwrap();
    signals.subscribe(Signal::USR1).unwrap();
    signals.subscribe(Signal::USR2).unwrap();
    for signal in [Signal::USR1, Signal::USR1, Signal::USR2] {
        signal.raise().unwrap();
    }
    in_child(|| {
        Signal::USR1.raise().unwrap();
        signals.after_fork().unwrap();
        Signal::USR2.raise().unwrap();
        signals.after_fork().unwrap();
        let all = signals.drain().unwrap().collect::<Vec<_>>();
        let counts = all.iter().map(|signal| signals.take_info(*signal).map(|info| info.count()));
        assert_eq!(counts.collect::<Vec<_>>(), [Some(1), Some(1)], "{all:?}");
    });
    in_child(|| {
        Signal::USR1.raise().unwrap();
        in_child(|| {
            signals.after_fork().unwrap();
            for signal in signals.drain().unwrap() {
                assert_eq!(signals.take_info(signal), None, "it was another process's");
            }
        });
    });
    assert_eq!(signals.drain().unwrap().count(), 2);
    assert_eq!(signals.take_info(Signal::USR1).unwrap().count(), 2);
}

/// By posix_spawn(3), and by fork and exec, which a `pre_exec` requires.
fn x6_command(kind: SelectorKind) {
    let mut el = new_loop(kind, 0);
    el.add_signal_handler(Signal::USR1, |_, _| {}).unwrap();
    el.serve(TcpListener::bind("127.0.0.1:0").unwrap(), |_, _, _, _| Ok(())).unwrap();
    el.tick(Some(Duration::ZERO)).unwrap();
    for forks in [false, true] {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "for fd in 3 4 5 6 7 8 9; do (: <&$fd) 2>/dev/null && exit 1; done; exit 0",
        ]);
        if forks {
            // SAFETY: the closure does nothing.
            unsafe { command.pre_exec(|| Ok(())) };
        }
        assert!(command.status().unwrap().success());
    }
    el.call_soon(|_, count| *count = 1);
    run_until(&mut el, |count| *count == 1);
}

/// A process that was started without standard descriptors, and in which daemon(3) later opens
/// `/dev/null` there.
fn w11_low_numbers(kind: SelectorKind) {
    let mut report = File::from(std::io::stderr().as_fd().try_clone_to_owned().unwrap());
    let result = catch_unwind(|| {
        for fd in 0..3 {
            // SAFETY: the numbers belong to this process, and no value owns them.
            unsafe { libc::close(fd) };
        }
        let mut el = new_loop(kind, 0);
        el.add_signal_handler(Signal::USR1, |_, count| *count += 1).unwrap();
        let listener: mainspring::net::Address = "127.0.0.1:0".parse().unwrap();
        let listener = mainspring::net::listen(&listener, &Default::default()).unwrap();
        assert!(listener.as_fd().as_raw_fd() > 2);
        assert!((0..3).all(|fd| !mainspring_sys::fd::is_open(fd)));
        let null = File::open("/dev/null").unwrap();
        for fd in 0..3 {
            // SAFETY: both numbers belong to this process, and no value owns those below 3.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
        std::mem::forget(null);
        let remote = el.remote();
        let sender = std::thread::spawn(move || remote.call_soon(|_, count| *count += 1));
        sender.join().unwrap().unwrap();
        Signal::USR1.raise().unwrap();
        run_until(&mut el, |count| *count == 2);
        assert_eq!(el.tick(Some(Duration::from_millis(20))).unwrap(), 0);
    });
    if let Err(panic) = &result {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        let _ = writeln!(report, "{text}");
    }
    assert!(result.is_ok());
}

/// The numbers of the wakeup descriptors are reused for a file that is always readable.
fn w8_wakeup(kind: SelectorKind) {
    let before: Vec<i32> = (0..64).filter(|fd| mainspring_sys::fd::is_open(*fd)).collect();
    let mut el = new_loop(kind, ());
    let selector = el.poll_fd().map(|fd| fd.as_fd().as_raw_fd());
    let null = File::open("/dev/null").unwrap();
    let ours = (0..64).filter(|fd| mainspring_sys::fd::is_open(*fd) && !before.contains(fd));
    for fd in ours.filter(|fd| *fd != null.as_raw_fd() && Some(*fd) != selector) {
        // SAFETY: replacing the file of the wakeup descriptor is the purpose of the test.
        unsafe { libc::dup2(null.as_raw_fd(), fd) };
    }
    let ended = (0..10).find_map(|_| el.tick(Some(Duration::from_millis(1))).err());
    match kind {
        // The kernel has dropped the registration with its file.
        SelectorKind::Epoll | SelectorKind::Kqueue => assert!(ended.is_none()),
        _ => assert!(matches!(ended, Some(Error::Select(_))), "{ended:?}"),
    }
    if let Some(selector) = selector {
        // SAFETY: as above.
        unsafe { libc::dup2(null.as_raw_fd(), selector) };
        assert!(matches!(el.tick(Some(Duration::from_millis(1))), Err(Error::Select(_))));
    }
}

/// A pipe that the parent watches stays non-blocking when a child ends.
fn w11_p13_child(kind: SelectorKind) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let twin = reader.try_clone().unwrap();
    let el = new_loop(kind, ());
    let watcher = el.add_reader(reader, |_, (), _| Ok(())).unwrap();
    let io = Io::with_interest(twin.try_clone().unwrap(), Interest::READABLE).unwrap();
    let mut inherited = Some((el, io));
    in_child(|| drop(inherited.take()));
    in_child(|| {
        let (el, io) = inherited.take().unwrap();
        el.after_fork_child().unwrap();
        assert!(el.cancel(watcher));
        drop(io);
    });
    assert!(mainspring_sys::fd::is_nonblocking(twin.as_raw_fd()).unwrap());
    let (el, io) = inherited.unwrap();
    assert!(el.cancel(watcher));
    assert!(mainspring_sys::fd::is_nonblocking(twin.as_raw_fd()).unwrap());
    drop(io);
    assert!(!mainspring_sys::fd::is_nonblocking(twin.as_raw_fd()).unwrap());
    writer.write_all(b"x").unwrap();
}

/// Returns both sides of a pseudo terminal.
fn open_terminal() -> (File, OwnedFd) {
    let (mut main, mut terminal) = (-1, -1);
    let name = std::ptr::null_mut();
    let (mode, size) = (std::ptr::null_mut(), std::ptr::null_mut()); // Mutable on some systems only.
    // SAFETY: both numbers are writable, and null pointers request nothing else.
    assert_eq!(unsafe { libc::openpty(&raw mut main, &raw mut terminal, name, mode, size) }, 0);
    // SAFETY: the call above has opened it, and no other value owns it.
    let main = unsafe { File::from_raw_fd(main) };
    // SAFETY: as above.
    (main, unsafe { OwnedFd::from_raw_fd(terminal) })
}

/// Standard input and output are the same terminal: watching one must not make the other
/// non-blocking, and reading must not block the loop.
fn w11_p13_terminal(kind: SelectorKind) {
    let (mut main, terminal) = open_terminal();
    for fd in [0, 1] {
        // SAFETY: the numbers belong to this process, and their previous files are not used any
        // more.
        unsafe { libc::dup2(terminal.as_raw_fd(), fd) };
    }
    let stdin = || File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut el = new_loop(kind, 0);
    let watcher = el.add_reader(stdin(), |_, count, file| {
        loop {
            *count += file.read(&mut [0; 64])?; // Until `WouldBlock`.
        }
    });
    let watcher = watcher.unwrap();
    assert!(!mainspring_sys::fd::is_nonblocking(1).unwrap());
    main.write_all(b"line\n").unwrap();
    run_until(&mut el, |count| *count == 5);
    assert!(el.cancel(watcher));
    let read = async {
        let io = Io::with_interest(stdin(), Interest::READABLE).unwrap();
        let mut bytes = [0; 64];
        let early = timeout(Duration::from_millis(20), io.read(&mut bytes)).await.is_err();
        main.write_all(b"task\n").unwrap();
        (early, io.read(&mut bytes).await.unwrap())
    };
    assert_eq!(el.run_until_complete(read).unwrap(), (true, 5));
    assert!(!mainspring_sys::fd::is_nonblocking(1).unwrap());
}

/// The copy has the handlers of its parent. It leaves the terminal of its parent raw.
fn y3_signals(_: SelectorKind) {
    let (_main, terminal) = open_terminal();
    let mut raw = Some(RawMode::enter(terminal.as_fd()).unwrap());
    let attributes = || {
        // SAFETY: the struct has only integer fields, for which zero is a valid value.
        let mut attributes: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the struct is writable and outlives the call.
        assert_eq!(unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut attributes) }, 0);
        attributes.c_lflag
    };
    let (before, ends) = (attributes(), [libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    for (signal, drops) in ends.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let child = start_child(|| {
            if drops {
                raw = None;
            }
            // SAFETY: the call takes an integer.
            unsafe { libc::raise(signal) };
        });
        assert_eq!(wait_status(child), signal, "it was ended by the signal");
        assert_eq!(attributes(), before);
    }
    assert!(raw.is_some());
}

fn r6_tape(kind: SelectorKind) {
    let path = std::env::temp_dir().join(format!("mainspring-tape-fork-{}", std::process::id()));
    let recorder = Recorder::black_box(&path).turns(64);
    let mut el = EventLoop::builder().selector(kind).record(recorder).build_with(0).unwrap();
    el.call_soon(|_, ran| *ran += 1);
    el.run().unwrap();
    let before = el.tape().unwrap().turns().len();
    in_child(|| {
        el.after_fork_child().unwrap();
        el.call_soon(|_, ran| *ran += 1);
        el.run().unwrap();
        assert_eq!(*el.state(), 2);
    });
    assert_eq!(el.tape().unwrap().turns().len(), before);
    el.call_soon(|_, ran| *ran += 1);
    el.run().unwrap();
    assert!(el.tape().unwrap().turns().len() > before);
    std::fs::remove_file(&path).unwrap();
}

/// The ring of a child has the places of its parent, and turns of the child only.
fn r6_ring(kind: SelectorKind) {
    let recorder = Recorder::ring(64);
    let mut el = EventLoop::builder().selector(kind).record(recorder).build_with(0).unwrap();
    el.call_every(Duration::from_millis(1), |el, ran| {
        *ran += 1;
        el.call_soon(|_, _| {});
        if *ran == 3 {
            el.stop();
        }
    })
    .unwrap();
    el.run().unwrap();
    let before = el.tape().unwrap();
    let is_timer = |turn: &&mainspring::Turn| turn.kind == mainspring::TurnKind::Timer;
    let place = before.turns().iter().find(is_timer).unwrap().place.clone();
    in_child(|| {
        el.after_fork_child().unwrap();
        *el.state_mut() = 0;
        el.run().unwrap();
        let tape = el.tape().unwrap();
        assert_eq!(tape.process(), std::process::id());
        let timers: Vec<_> = tape.turns().iter().filter(is_timer).collect();
        assert_eq!(timers.len(), 3);
        assert!(timers.iter().all(|turn| turn.place == place && turn.number < 64));
    });
    assert_eq!(el.tape().unwrap().turns(), before.turns());
}

/// The loop is older than the time in one record, and has run more turns than the child.
fn r6_times(kind: SelectorKind) {
    let (clock, age) = (SimClock::new(), Duration::from_secs(100 * 3600));
    let builder = EventLoop::builder().selector(kind).clock(clock.clone());
    let mut el = builder.record(Recorder::ring(64)).build().unwrap();
    clock.advance(age);
    (0..100).for_each(|_| _ = el.call_soon(|_, ()| {}));
    el.tick(Some(Duration::ZERO)).unwrap();
    assert!(el.diagnose().is_healthy());
    in_child(|| {
        el.after_fork_child().unwrap();
        el.call_soon(move |_, ()| clock.advance(Duration::from_millis(200)));
        el.tick(Some(Duration::ZERO)).unwrap();
        assert!(el.tape().unwrap().turns().iter().all(|turn| turn.at >= age));
        let kinds: Vec<_> = el.diagnose().flags().iter().map(|flag| flag.kind()).collect();
        assert_eq!(kinds, [FlagKind::LongCallback], "the turns of the child are new");
    });
}

/// The child has run more turns than its parent had at its diagnosis, the long one first.
fn e7_turns(kind: SelectorKind) {
    let clock = SimClock::new();
    let builder = EventLoop::builder().selector(kind).clock(clock.clone());
    let mut el = builder.record(Recorder::ring(256)).build().unwrap();
    (0..10).for_each(|_| _ = el.call_soon(|_, ()| {}));
    el.tick(Some(Duration::ZERO)).unwrap();
    assert!(el.diagnose().is_healthy());
    in_child(|| {
        el.after_fork_child().unwrap();
        el.call_soon(move |_, ()| clock.advance(Duration::from_millis(200)));
        (0..50).for_each(|_| _ = el.call_soon(|_, ()| {}));
        el.tick(Some(Duration::ZERO)).unwrap();
        let kinds = |el: &EventLoop| -> Vec<_> {
            el.diagnose().flags().iter().map(|flag| flag.kind()).collect()
        };
        assert_eq!(kinds(&el), [FlagKind::LongCallback], "the turns of the child are new");
        assert_eq!(kinds(&el), [], "it is reported once");
    });
}

/// Durations that are measured replace the tape.
fn e7_r6_file(kind: SelectorKind) {
    let path = std::env::temp_dir().join(format!("mainspring-tape-e7-{}", std::process::id()));
    let recorder = Recorder::black_box(&path).turns(256);
    for is_measured in [false, true] {
        let clock = SimClock::new();
        let builder = EventLoop::builder().selector(kind).clock(clock.clone()).measure(is_measured);
        let mut el = builder.record(recorder.clone()).build().unwrap();
        (0..20).for_each(|_| _ = el.call_soon(|_, ()| {}));
        el.tick(Some(Duration::ZERO)).unwrap();
        in_child(|| {
            el.after_fork_child().unwrap();
            el.call_soon(move |_, ()| clock.advance(Duration::from_millis(200)));
            el.tick(Some(Duration::ZERO)).unwrap();
            assert!(el.tape().is_none(), "the turns of the parent");
            let found = el.diagnose();
            let kinds: Vec<_> = found.flags().iter().map(|flag| flag.kind()).collect();
            assert_eq!(kinds, if is_measured { &[FlagKind::LongCallback][..] } else { &[] });
            let is_listed = found.unchecked().iter().any(|it| it.starts_with("long callbacks"));
            assert_eq!(is_listed, !is_measured);
        });
        assert!(el.tape().is_some());
    }
    std::fs::remove_file(path.with_extension("old")).unwrap();
    std::fs::remove_file(path).unwrap();
}

/// The parent runs a callback of a new place before the child begins its ring.
fn r6_places(kind: SelectorKind) {
    let mut el = EventLoop::builder().selector(kind).record(Recorder::ring(64)).build().unwrap();
    let (mut told, mut ran) = UnixStream::pair().unwrap();
    let child = start_child(|| {
        told.read_exact(&mut [0]).unwrap();
        el.after_fork_child().unwrap();
        let line = line!() + 1;
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        let tape = el.tape().unwrap();
        let turn = tape.turns().iter().find(|turn| turn.kind == mainspring::TurnKind::Soon);
        assert_eq!(*turn.unwrap().place, *format!("{}:{line}", file!()));
    });
    el.call_soon(|_, ()| {});
    el.run().unwrap();
    ran.write_all(&[0]).unwrap();
    wait_for(child);
}

/// Other processes find a ring by its descriptor (Linux). The child has its own one under the same
/// number, and records without one if it has no room for another file.
fn r6_found(kind: SelectorKind) {
    const LABEL: &str = "/memfd:mainspring-tape (deleted)";
    let rings = || {
        let fds = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
        let is_ring = |path: &std::path::PathBuf| {
            std::fs::read_link(path).is_ok_and(|target| target.as_os_str() == LABEL)
        };
        let paths = fds.map(|entry| entry.unwrap().path()).filter(is_ring);
        paths.map(|path| (Tape::open(&path).unwrap().process(), path)).collect::<Vec<_>>()
    };
    let mut el = EventLoop::builder().selector(kind).record(Recorder::ring(64)).build().unwrap();
    let of_parent = rings();
    for files in [64 << 20, 0] {
        in_child(|| {
            // A limit of the size of files, like a full file system.
            let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
            // SAFETY: the limit is readable and outlives the call.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
            el.after_fork_child().unwrap();
            el.call_soon(|_, ()| {});
            el.run().unwrap();
            assert_eq!(el.tape().unwrap().process(), std::process::id());
            let process =
                if files > 0 { std::process::id() } else { std::os::unix::process::parent_id() };
            let expected: Vec<_> =
                of_parent.iter().map(|(_, path)| (process, path.clone())).collect();
            assert_eq!(rings(), expected);
        });
        assert_eq!(rings(), of_parent);
    }
}

/// A callback forks, and the run of the child ends with an error. The parent waits for the end of
/// the child in the callback, which is still the last turn of the tape then.
fn r6_refuses(kind: SelectorKind) {
    let path = std::env::temp_dir().join(format!("mainspring-tape-refuse-{}", std::process::id()));
    for recorder in [Recorder::ring(64), Recorder::black_box(&path).turns(64)] {
        let builder = EventLoop::builder().selector(kind).record(recorder);
        let mut el = builder.build_with(false).unwrap();
        el.call_soon(|el, is_child| {
            let before = el.tape().unwrap();
            // SAFETY: this process has one thread.
            let child = unsafe { libc::fork() };
            *is_child = child == 0;
            if child > 0 {
                wait_for(child);
                assert_eq!(el.tape().unwrap().turns(), before.turns());
            }
        });
        let ran = el.run();
        if *el.state() {
            let refused = is_forked(ran) && is_forked(el.tick(None));
            // SAFETY: the call ends the process without running destructors.
            unsafe { libc::_exit(libc::c_int::from(!refused)) }
        }
        ran.unwrap();
    }
    std::fs::remove_file(&path).unwrap();
}

/// A heartbeat of the parent is closed in the child, and so is one that a child makes before it
/// takes the loop over. The child's own heartbeat has the turns of the child, even for a watchdog.
fn e4_heartbeat(kind: SelectorKind) {
    let is_closed = |it: &Heartbeat| it.is_closed() && it.running().is_none();
    for is_known in [true, false] {
        let recorder = Recorder::ring(64);
        let builder = EventLoop::builder().selector(kind).record(recorder);
        let mut el = builder.build_with(None).unwrap();
        let of_parent = is_known.then(|| el.heartbeat());
        let watchdog = of_parent.clone().map(|it| Watchdog::new(it).spawn().unwrap());
        in_child(|| {
            drop(watchdog); // Its thread is not in this process.
            let early = el.heartbeat();
            let are_closed = || is_closed(&early) && of_parent.as_ref().is_none_or(is_closed);
            assert!(are_closed());
            el.after_fork_child().unwrap();
            let heartbeat = el.heartbeat();
            let (report, reports) = std::sync::mpsc::channel();
            let limit = Duration::from_millis(4);
            let on_stall = move |stall: &Stall| report.send(stall.turn.clone()).unwrap();
            let watchdog = Watchdog::new(heartbeat.clone()).limit(limit).on_stall(on_stall);
            let _watchdog = watchdog.spawn().unwrap();
            el.call_soon(move |_, seen| {
                let reported = reports.recv().unwrap();
                *seen = heartbeat.running().filter(|running| running.turn == reported);
            });
            el.run().unwrap();
            let running = el.state().as_ref().expect("the turn of this process");
            assert_eq!(running.turn.kind, mainspring::TurnKind::Soon);
            assert!(are_closed());
        });
        assert!(of_parent.is_none_or(|it| !it.is_closed()));
    }
}

/// A limit of the size of files is like a full file system. It raises no SIGXFSZ, and a ring needs
/// no file.
fn r6_no_room(kind: SelectorKind) {
    let limit = libc::rlimit { rlim_cur: 4096, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is readable and outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    let path = std::env::temp_dir().join(format!("mainspring-tape-full-{}", std::process::id()));
    let error = SharedMap::create(&path, 4096).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    assert!(!path.exists());
    let recorder = Recorder::ring(4096);
    let mut el = EventLoop::builder().selector(kind).record(recorder).build().unwrap();
    el.call_soon(|_, _| {});
    el.run().unwrap();
    assert!(el.tape().is_some_and(|tape| tape.turns().len() > 1));
}

//! A loop inside a host loop that sleeps until `next_deadline` or until `poll_fd` is readable
//! (docs/contract.md, Q7). The host misses nothing.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use mainspring::{EventLoop, Io, SelectorKind, Signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::descriptors::pair;
use crate::support::{on_every_selector, simulated};

/// Returns true if a host would sleep without a limit now. A selector without a descriptor counts
/// as not readable.
fn would_sleep_forever<S>(el: &EventLoop<S>) -> bool {
    let readable = el.poll_fd().is_some_and(|fd| {
        let mut asked = [PollFd::new(&fd, PollFlags::IN)];
        poll(&mut asked, Some(&Timespec::default())).unwrap() > 0
    });
    !readable && el.next_deadline().is_none()
}

fn tick_like_a_host<S>(el: &mut EventLoop<S>) -> usize {
    let mut turns = 0;
    while !would_sleep_forever(el) {
        el.tick(Some(Duration::ZERO)).unwrap();
        turns += 1;
        assert!(turns < 100, "there is always something to do");
    }
    turns
}

fn has_descriptor(kind: SelectorKind) -> bool {
    EventLoop::builder().selector(kind).build().unwrap().poll_fd().is_some()
}

#[test]
fn q7_queued_callbacks_make_the_deadline_now() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        assert!(would_sleep_forever(&el));
        el.call_soon(|el, ran| {
            *ran += 1;
            el.call_soon(|_, ran| *ran += 1);
        });
        assert_eq!(el.next_deadline(), Some(el.now()));
        assert_eq!(tick_like_a_host(&mut el), 2);
        assert_eq!(*el.state(), 2);
    });
}

#[test]
fn q7_messages_left_in_the_inbox_make_the_deadline_now() {
    on_every_selector(|kind| {
        if !has_descriptor(kind) {
            return;
        }
        let builder = EventLoop::builder().selector(kind).inbox_batch(2);
        let mut el = builder.build_with(0).unwrap();
        let remote = el.remote();
        (0..5).for_each(|_| remote.call_soon(|_, ran| *ran += 1).unwrap());
        assert_eq!(tick_like_a_host(&mut el), 3);
        assert_eq!(*el.state(), 5);
    });
}

/// Between two ticks the host sleeps on the descriptor. So a message sent then must make it
/// readable, whatever the tick before found.
#[test]
fn q7_a_message_sent_between_two_ticks_makes_the_descriptor_readable() {
    on_every_selector(|kind| {
        if !has_descriptor(kind) {
            return;
        }
        let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
        let remote = el.remote();
        for round in 1..=3 {
            let again = remote.clone();
            let sent = remote.call_soon(move |_, ran| {
                *ran += 1;
                let send = || again.call_soon(|_, ran| *ran += 1).unwrap();
                std::thread::scope(|scope| scope.spawn(send).join().unwrap());
            });
            sent.unwrap();
            assert!(!would_sleep_forever(&el));
            assert_eq!(tick_like_a_host(&mut el), 2);
            assert_eq!(*el.state(), 2 * round);
        }
    });
}

#[test]
fn q7_an_always_ready_file_makes_the_deadline_now() {
    on_every_selector(|kind| {
        if !has_descriptor(kind) {
            return;
        }
        let (mut el, _) = simulated(kind, 0);
        let file = File::open("/dev/null").unwrap();
        el.add_reader(file, |_, ran, file| {
            *ran += 1;
            if *ran == 3 {
                file.cancel();
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(tick_like_a_host(&mut el), 3);
        assert_eq!(*el.state(), 3);
    });
}

#[test]
fn q7_an_idle_hook_or_a_stop_makes_the_deadline_now() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        el.on_idle(|el, ran| {
            *ran += 1;
            if *ran == 3 {
                el.cancel(el.current().unwrap());
            }
        })
        .unwrap();
        assert_eq!(tick_like_a_host(&mut el), 3);
        assert_eq!(*el.state(), 3);
        el.stop();
        assert_eq!(el.next_deadline(), Some(el.now()));
        el.run_forever().unwrap(); // Runs one tick.
        assert!(would_sleep_forever(&el));
    });
}

#[test]
fn q7_the_first_timer_is_the_deadline() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, 0);
        let second = Duration::from_secs(1);
        el.call_later(2 * second, |_, ran| *ran += 1);
        let first = el.call_later(second, |_, ran| *ran += 1);
        assert_eq!(el.next_deadline(), Some(el.now() + second));
        assert!(el.reset_after(first, 3 * second));
        assert_eq!(el.next_deadline(), Some(el.now() + 2 * second));
        clock.advance(2 * second);
        el.tick(Some(Duration::ZERO)).unwrap();
        assert_eq!((*el.state(), el.next_deadline()), (1, Some(el.now() + second)));
    });
}

#[test]
fn q7_a_signal_or_a_message_makes_the_descriptor_readable() {
    on_every_selector(|kind| {
        if !has_descriptor(kind) {
            return;
        }
        let (mut el, _) = simulated(kind, 0);
        el.add_signal_handler(Signal::WINCH, |_, ran| *ran += 1).unwrap();
        Signal::WINCH.raise().unwrap();
        // A kqueue stays readable for one more poll after a level-triggered report.
        let most = 1 + usize::from(kind == SelectorKind::Kqueue);
        assert!((1..=most).contains(&tick_like_a_host(&mut el)));
        let remote = el.remote();
        std::thread::spawn(move || remote.call_soon(|_, ran| *ran += 10)).join().unwrap().unwrap();
        assert!((1..=most).contains(&tick_like_a_host(&mut el)));
        assert_eq!(*el.state(), 11);
    });
}

/// A kqueue cannot be set non-blocking, and never blocks (W11).
#[test]
fn w11_a_task_waits_for_the_descriptor_of_a_loop() {
    on_every_selector(|kind| {
        let (inner, _) = simulated(kind, 0);
        let Some(fd) = inner.poll_fd().map(|fd| fd.try_clone_to_owned().unwrap()) else { return };
        let (mut outer, _) = simulated(SelectorKind::Poll, ());
        let io = Io::new(fd).unwrap();
        let waiting = outer.spawn(async move { io.readable().await.map(drop) });
        outer.run_until_stalled().unwrap();
        assert!(!waiting.is_finished());
        let (ours, mut theirs) = pair();
        inner.add_reader(ours, |_, _, socket| Ok(socket.cancel())).unwrap();
        theirs.write_all(b"x").unwrap();
        outer.run_until_stalled().unwrap();
        assert!(waiting.is_finished());
    });
}

#[test]
fn q7_current_is_the_handle_of_the_running_callback() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, Vec::new());
        assert_eq!(el.current(), None);
        let soon = el.call_soon(|el, seen| seen.push(el.current()));
        let timer = el.call_later(Duration::from_secs(1), |el, seen| seen.push(el.current()));
        let hook = el.on_check(|el, seen| seen.push(el.current())).unwrap();
        el.tick(None).unwrap();
        el.cancel(hook);
        el.tick(None).unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), [Some(hook), Some(soon), Some(timer.into())]);
        assert_eq!(el.current(), None);
    });
}

/// The rest of a batch after a panic, and an unused stop, end with the loop.
#[test]
fn q8_a_closed_loop_has_no_deadline() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, 0);
        el.call_soon(|_, _| -> () { panic!("on purpose") });
        el.call_soon(|_, ran| *ran += 1);
        el.stop();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| el.tick(None))).unwrap_err();
        assert_eq!(el.next_deadline(), Some(el.now()), "the rest of the batch is still queued");
        let remote = el.remote();
        el.close();
        assert_eq!((el.next_deadline(), *el.state()), (None, 0));
        assert!(!el.is_alive(), "with {remote:?}");
    });
}

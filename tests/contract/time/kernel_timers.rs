//! Timers of other clocks, with the clocks and the timers of the system (docs/contract.md, T7, T8).
//!
//! The loop compares the clocks if the kernel has no such timers.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use mainspring::selector::{Events, Selector};
use mainspring::{
    EventLoop, SelectorKind, sleep_in_boot_time, sleep_until_boot_time, sleep_until_wall_time,
};
use mainspring_sys::clock::ClockTimer;

use crate::support::loopback;
use crate::support::on_every_selector;
use crate::support::process::{alone, alone_as, alone_with_fault, has_strace, under_strace};
use crate::support::selector::{Wrapped, Wrapper, counted};
use crate::support::ticks::tick;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

fn has_kernel_timers() -> bool {
    ClockTimer::wall().is_ok()
}

/// Selector that records the timeout of the latest wait, and does not wait.
#[derive(Debug)]
struct Sleepless {
    real: Box<dyn Selector>,
    timeout: Rc<Cell<Option<Duration>>>,
}

impl Wrapper for Sleepless {
    fn real(&self) -> &dyn Selector {
        &*self.real
    }

    fn real_mut(&mut self) -> &mut dyn Selector {
        &mut *self.real
    }

    fn select(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout.set(timeout);
        self.real.select(events, Some(Duration::ZERO))
    }
}

/// Returns a loop that does not wait, and the timeout of its latest wait.
fn sleepless(kind: SelectorKind) -> (EventLoop, Rc<Cell<Option<Duration>>>) {
    let timeout = Rc::default();
    let sleepless = Sleepless { real: loopback::open(kind), timeout: Rc::clone(&timeout) };
    let selector: Box<dyn Selector> = Box::new(Wrapped(sleepless));
    (EventLoop::builder().selector(selector).build().unwrap(), timeout)
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + HOUR
}

#[test]
fn t7_a_far_timer_does_not_wake_an_idle_loop() {
    if !has_kernel_timers() {
        return;
    }
    on_every_selector(|kind| {
        let (mut el, timeout) = sleepless(kind);
        el.call_at_wall_time(in_an_hour(), |_, ()| {}).unwrap();
        el.call_later_in_boot_time(HOUR, |_, ()| {}).unwrap();
        el.call_on_wall_schedule(|_| Some(in_an_hour()), |_, ()| {}).unwrap();
        el.spawn(sleep_until_wall_time(in_an_hour())).detach();
        el.spawn(sleep_in_boot_time(HOUR)).detach();
        tick(&mut el);
        el.tick(None).unwrap();
        assert_eq!(timeout.get(), None, "it sleeps until an event");
        // A host that has no descriptor to sleep on compares the clocks.
        let left = el.next_deadline().map(|deadline| deadline - el.now());
        assert_eq!(left.is_some(), el.poll_fd().is_none());
        assert!(left.is_none_or(|left| left <= SECOND));
    });
}

#[test]
fn t7_t8_the_kernel_wakes_the_loop_at_the_deadline() {
    on_every_selector(|kind| {
        let (selector, calls) = counted(kind);
        let mut el = EventLoop::builder().selector(selector).build_with(0).unwrap();
        let delay = Duration::from_millis(20);
        let (wall, boot) = (SystemTime::now() + delay, el.boot_time() + delay);
        el.call_at_wall_time(wall, move |el, done: &mut i32| {
            assert!(el.wall_time() >= wall);
            *done += 1;
        })
        .unwrap();
        el.call_at_boot_time(boot, move |el, done: &mut i32| {
            assert!(el.boot_time() >= boot);
            *done += 1;
        })
        .unwrap();
        el.run().unwrap();
        assert_eq!(*el.state(), 2);
        assert!(calls.selects.get() <= 6, "{} waits", calls.selects.get());
        let boot = el.boot_time() + delay;
        el.run_until_complete(async move {
            sleep_until_wall_time(SystemTime::now() + Duration::from_millis(5)).await;
            sleep_in_boot_time(Duration::from_millis(5)).await;
            sleep_until_boot_time(boot).await;
        })
        .unwrap();
        assert!(el.boot_time() >= boot);
        // Deadlines that have passed: the next tick.
        el.call_at_wall_time(SystemTime::UNIX_EPOCH, |_, done: &mut i32| *done += 1).unwrap();
        el.call_at_boot_time(Duration::ZERO, |_, done: &mut i32| *done += 1).unwrap();
        el.call_soon(|_, _| {});
        tick(&mut el);
        assert_eq!(*el.state(), 4);
        el.run().unwrap();
    });
}

/// Returns the lines of proc(5) about the open timers of the kernel.
fn facts_of_kernel_timers() -> Vec<String> {
    let is_timer = |fd: &PathBuf| {
        fs::read_link(fd).is_ok_and(|link| link.as_os_str() == "anon_inode:[timerfd]")
    };
    let fds = fs::read_dir("/proc/self/fd").unwrap().map(|fd| fd.unwrap().path()).filter(is_timer);
    fds.map(|fd| {
        let number = fd.file_name().unwrap().to_str().unwrap();
        fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap()
    })
    .collect()
}

/// Number of open timers of the kernel.
fn kernel_timers() -> usize {
    facts_of_kernel_timers().len()
}

const DESCRIPTORS: &str =
    "time::kernel_timers::t7_t8_each_clock_has_one_descriptor_while_it_has_timers";

#[test]
fn t7_t8_each_clock_has_one_descriptor_while_it_has_timers() {
    if !has_kernel_timers() {
        return;
    }
    alone(DESCRIPTORS, || {
        on_every_selector(|kind| {
            let mut el = EventLoop::builder().selector(kind).build().unwrap();
            assert_eq!(kernel_timers(), 0);
            let one = el.call_at_wall_time(in_an_hour(), |_, ()| {}).unwrap();
            let two = el.call_on_wall_schedule(|_| Some(in_an_hour()), |_, ()| {}).unwrap();
            let sleeping = el.spawn(sleep_until_wall_time(in_an_hour()));
            tick(&mut el);
            let facts = facts_of_kernel_timers();
            assert_eq!(facts.len(), 1);
            // CLOCK_REALTIME; TFD_TIMER_ABSTIME and TFD_TIMER_CANCEL_ON_SET.
            assert!(facts[0].contains("clockid: 0\nticks: 0\nsettime flags: 03\n"), "{}", facts[0]);
            let boot = el.call_later_in_boot_time(HOUR, |_, ()| {}).unwrap();
            assert_eq!(kernel_timers(), 2);
            assert!(el.cancel(one) && el.cancel(two) && sleeping.cancel("enough"));
            tick(&mut el);
            assert_eq!(kernel_timers(), 1);
            assert!(el.cancel(boot));
            assert_eq!(kernel_timers(), 0);
            el.call_at_wall_time(in_an_hour(), |_, ()| {}).unwrap();
            let soon = SystemTime::now();
            el.call_at_wall_time(soon, |el, ()| el.stop()).unwrap();
            el.run_forever().unwrap();
            assert_eq!(kernel_timers(), 1);
            el.close();
            assert_eq!(kernel_timers(), 0, "a closed loop has none");
        });
    });
}

const REFUSED: &str = "time::kernel_timers::t7_without_a_descriptor_the_clocks_are_compared";

#[test]
fn t7_without_a_descriptor_the_clocks_are_compared() {
    alone_with_fault(REFUSED, "timerfd_create:error=EMFILE", || {
        on_every_selector(|kind| {
            let (mut el, timeout) = sleepless(kind);
            el.call_at_wall_time(in_an_hour(), |_, ()| {}).unwrap();
            el.call_later_in_boot_time(HOUR, |_, ()| {}).unwrap();
            tick(&mut el);
            el.tick(None).unwrap();
            assert!(timeout.get().is_some_and(|timeout| timeout <= SECOND));
            let wall = SystemTime::now() + Duration::from_millis(5);
            el.run_until_complete(sleep_until_wall_time(wall)).unwrap();
            assert!(SystemTime::now() >= wall);
        });
    });
}

const RECOVERED: &str = "time::kernel_timers::t7_a_descriptor_is_requested_again";

#[test]
fn t7_a_descriptor_is_requested_again() {
    // Every second call is refused, the first one included.
    alone_with_fault(RECOVERED, "timerfd_create:error=EMFILE:when=1+2", || {
        on_every_selector(|kind| {
            let (mut el, timeout) = sleepless(kind);
            el.call_at_wall_time(in_an_hour(), |_, ()| {}).unwrap();
            el.tick(None).unwrap();
            assert!(timeout.get().is_some_and(|timeout| timeout <= SECOND));
            el.call_at_wall_time(in_an_hour(), |_, ()| {}).unwrap();
            el.tick(None).unwrap();
            assert_eq!(timeout.get(), None);
        });
    });
}

const STEPPED: &str = "time::kernel_timers::t7_a_step_that_the_kernel_reports_is_followed";

#[test]
fn t7_a_step_that_the_kernel_reports_is_followed() {
    with_steps(STEPPED, |kind| {
        let (mut el, reads) = scheduled(kind);
        let soon = SystemTime::now() + Duration::from_millis(5);
        el.call_at_wall_time(soon, |el, _| el.stop()).unwrap();
        el.run_forever().unwrap();
        assert_eq!((reads.get(), *el.state()), (3, 0), "the schedule is read again");
    });
}

const UNTOUCHED: &str = "time::kernel_timers::t7_t8_the_timer_of_a_clock_is_read_when_it_is_due";

/// A boot-time timer is due. The timer of the wall clock, which would report a step, is not read.
#[test]
fn t7_t8_the_timer_of_a_clock_is_read_when_it_is_due() {
    with_steps(UNTOUCHED, |kind| {
        let (mut el, reads) = scheduled(kind);
        el.call_later_in_boot_time(Duration::from_millis(5), |el, _| el.stop()).unwrap();
        el.run_forever().unwrap();
        assert_eq!(reads.get(), 2);
    });
}

/// Runs `check` on every selector, in a process in which each read of a kernel timer reports a step
/// of the clock. Without strace, it does not run.
fn with_steps(test: &str, check: impl FnMut(SelectorKind)) {
    if !has_strace() {
        return;
    }
    let check = || on_every_selector(check);
    let step = ["-o", "/dev/null", "-e", "trace=read", "-P", "anon_inode:[timerfd]", "-e"];
    let arguments = [&step[..], &["inject=read:error=ECANCELED"]].concat();
    let output = alone_as(test, check, |child| under_strace(&child, &arguments));
    assert!(output.is_none_or(|output| output.status.success()), "{test} failed");
}

/// Returns a loop with a schedule, and the number of its reads: two by now.
fn scheduled(kind: SelectorKind) -> (EventLoop<i32>, Rc<Cell<i32>>) {
    let mut el = EventLoop::builder().selector(kind).build_with(0).unwrap();
    let reads = Rc::new(Cell::new(0));
    let counter = reads.clone();
    let next = move |_| {
        counter.set(counter.get() + 1);
        Some(in_an_hour())
    };
    el.call_on_wall_schedule(next, |_, calls: &mut i32| *calls += 1).unwrap();
    tick(&mut el);
    assert_eq!(reads.get(), 2);
    (el, reads)
}

const SET: &str = "time::kernel_timers::t7_a_step_before_the_deadline_is_set_is_followed";

/// timerfd_settime(2) reports a step too. Here the first call does, and sets nothing.
#[test]
fn t7_a_step_before_the_deadline_is_set_is_followed() {
    alone_with_fault(SET, "timerfd_settime:error=ECANCELED:when=1", || {
        let mut el = EventLoop::new().unwrap();
        let wall = SystemTime::now() + Duration::from_millis(5);
        el.run_until_complete(sleep_until_wall_time(wall)).unwrap();
        assert!(SystemTime::now() >= wall);
    });
}

//! The grid of intervals, for callbacks and tasks: late ticks, policies and resets
//! (docs/contract.md, T5).

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{
    Clock, Error, EventLoop, LoopHandle, MissedTickBehavior, SelectorKind, TimerHandle, interval,
    sleep, spawn_blocking,
};

use crate::support::{on_every_selector, simulated};

const MILLI: Duration = Duration::from_millis(1);

/// Time of each tick in milliseconds, and the number of ticks missed before it.
type Ticks = Vec<(u128, u64)>;

/// Returns ten ticks of an interval of 10 ms. The first ticks are late by the given times.
fn ticks_of_callback(behavior: MissedTickBehavior, late: &'static [u32]) -> Ticks {
    let (mut el, clock) = simulated(SelectorKind::Poll, Ticks::new());
    let at = clock.clone();
    let ticks = el.call_every(10 * MILLI, move |el, ticks: &mut Ticks| {
        ticks.push((at.elapsed().as_millis(), el.missed_ticks()));
        at.advance(late.get(ticks.len()).copied().unwrap_or(0) * MILLI);
        if ticks.len() == 10 {
            el.stop();
        }
    });
    let ticks = ticks.unwrap();
    assert!(el.set_missed_tick_behavior(ticks, behavior));
    assert_eq!(el.missed_tick_behavior(ticks), Some(behavior));
    clock.advance(late[0] * MILLI);
    el.run().unwrap();
    el.state().clone()
}

fn ticks_of_task(behavior: MissedTickBehavior, late: &'static [u32]) -> Ticks {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    let ticks = el.run_until_complete(async {
        let mut interval = interval(10 * MILLI).unwrap();
        interval.set_missed_tick_behavior(behavior);
        assert_eq!(interval.missed_tick_behavior(), behavior);
        let mut ticks = Ticks::new();
        for number in 0..10 {
            clock.advance(late.get(number).copied().unwrap_or(0) * MILLI);
            let missed = interval.tick().await;
            ticks.push((clock.elapsed().as_millis(), missed));
        }
        ticks
    });
    ticks.unwrap()
}

/// The table in the documentation of the policies, and further cases.
#[test]
fn t5_missed_ticks_follow_the_policy() {
    use MissedTickBehavior::{Burst, Delay, Skip};
    type Case = (MissedTickBehavior, &'static [u32], &'static [(u128, u64)]);
    let cases: [Case; 6] = [
        (Skip, &[35], &[(35, 2), (40, 0), (50, 0)]),
        (Delay, &[35], &[(35, 2), (45, 0), (55, 0)]),
        (Burst, &[35], &[(35, 0), (35, 0), (35, 0), (40, 0), (50, 0)]),
        // Late by less than a period: nothing is missed, and the grid stays, except for `Delay`.
        (Skip, &[15, 0], &[(15, 0), (20, 0), (30, 0)]),
        (Delay, &[15, 0], &[(15, 0), (25, 0), (35, 0)]),
        (Burst, &[15, 9, 9], &[(15, 0), (24, 0), (33, 0), (40, 0)]),
    ];
    for (behavior, late, wanted) in cases {
        println!("{behavior:?}, late by {late:?}"); // Shown when the test fails.
        assert_eq!(ticks_of_callback(behavior, late)[..wanted.len()], *wanted);
        assert_eq!(ticks_of_task(behavior, late)[..wanted.len()], *wanted);
    }
}

/// A burst makes up for one interval tick in each tick of the loop, so other callbacks run in
/// between.
#[test]
fn t5_a_burst_does_not_block_other_callbacks() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, Vec::new());
        let ticks = el.call_every(MILLI, |_, order: &mut Vec<_>| order.push("tick")).unwrap();
        el.set_missed_tick_behavior(ticks, MissedTickBehavior::Burst);
        fn other(el: &LoopHandle<Vec<&'static str>>, order: &mut Vec<&'static str>) {
            order.push("other");
            el.call_soon(other);
        }
        el.call_soon(other);
        clock.advance(5 * MILLI);
        for _ in 0..5 {
            el.tick(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(*el.state(), ["other", "tick"].repeat(5));
    });
}

/// Returns the times in milliseconds of three ticks of an interval of one second. `change` is
/// applied to its timer at `at`.
fn ticks_after(
    after_ms: u32,
    change: impl Fn(&LoopHandle<Vec<u128>>, TimerHandle) + 'static,
) -> Vec<u128> {
    let (mut el, clock) = simulated(SelectorKind::Poll, Vec::new());
    let at = clock.clone();
    let ticks = el.call_every(1000 * MILLI, move |el, ticks: &mut Vec<u128>| {
        assert_eq!(el.missed_ticks(), 0);
        ticks.push(at.elapsed().as_millis());
        if ticks.len() == 3 {
            el.stop();
        }
    });
    let ticks = ticks.unwrap();
    el.call_later(after_ms * MILLI, move |el, _| change(el, ticks));
    el.run().unwrap();
    el.state().clone()
}

#[test]
fn t5_a_reset_moves_the_grid() {
    assert_eq!(ticks_after(0, |_, _| {}), [1000, 2000, 3000]);
    let sooner = |el: &LoopHandle<_>, ticks| assert!(el.reset_after(ticks, 500 * MILLI));
    assert_eq!(ticks_after(0, sooner), [500, 1500, 2500]);
    assert_eq!(ticks_after(900, sooner), [1400, 2400, 3400]);
    let later = |el: &LoopHandle<_>, ticks| assert!(el.reset_after(ticks, 5000 * MILLI));
    assert_eq!(ticks_after(0, later), [5000, 6000, 7000]);
    let at_once = |el: &LoopHandle<_>, ticks| assert!(el.reset_at(ticks, el.now()));
    assert_eq!(ticks_after(300, at_once), [300, 1300, 2300]);
    let again = |el: &LoopHandle<_>, ticks| {
        assert!(el.disarm(ticks) && !el.is_armed(ticks));
        assert!(el.reset_after(ticks, 100 * MILLI));
    };
    assert_eq!(ticks_after(1200, again), [1000, 1300, 2300]);
}

/// The callback resets its own timer, once.
#[test]
fn t5_an_interval_may_reset_itself() {
    let (mut el, clock) = simulated(SelectorKind::Poll, Vec::new());
    let at = clock.clone();
    let ticks = el.call_every(1000 * MILLI, move |el, seen: &mut Vec<u128>| {
        seen.push(at.elapsed().as_millis());
        let own = *own_timer(el);
        match seen.len() {
            1 => assert!(el.reset_after(own, 300 * MILLI)),
            3 => assert!(el.disarm(own)),
            _ => {}
        }
    });
    OWN.set(ticks.ok());
    el.run().unwrap();
    assert_eq!(*el.state(), [1000, 1300, 2300]);
}

thread_local! {
    static OWN: std::cell::Cell<Option<TimerHandle>> = const { std::cell::Cell::new(None) };
}

/// Returns the timer of the running test.
fn own_timer<S>(el: &LoopHandle<S>) -> Rc<TimerHandle> {
    let own = OWN.get().expect("the timer was added");
    assert_eq!(el.current(), Some(own.into()));
    Rc::new(own)
}

#[test]
fn t5_a_reset_of_a_tasks_interval_moves_the_grid() {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    let seen = el.run_until_complete(async {
        let mut ticks = interval(1000 * MILLI).unwrap();
        assert_eq!(ticks.period(), 1000 * MILLI);
        assert_eq!(ticks.deadline(), Some(clock.now() + 1000 * MILLI));
        let mut seen = Vec::new();
        ticks.reset_after(500 * MILLI);
        for _ in 0..2 {
            assert_eq!(ticks.tick().await, 0);
            seen.push(clock.elapsed().as_millis());
        }
        clock.advance(100 * MILLI);
        ticks.reset();
        for _ in 0..2 {
            assert_eq!(poll_fn(|cx| ticks.poll_tick(cx)).await, 0);
            seen.push(clock.elapsed().as_millis());
        }
        ticks.reset_at(clock.now());
        ticks.tick().await;
        seen.push(clock.elapsed().as_millis());
        seen
    });
    assert_eq!(seen.unwrap(), [500, 1500, 2600, 3600, 3600]);
}

/// Dropping the future of `tick` loses no tick, and the interval leaves no timer.
#[test]
fn t5_a_dropped_tick_future_loses_no_tick() {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    let missed = el.run_until_complete(async {
        let mut ticks = interval(10 * MILLI).unwrap();
        for _ in 0..3 {
            assert_eq!(
                mainspring::race(async { Some(ticks.tick().await) }, async { None }).await,
                None
            );
        }
        clock.advance(15 * MILLI);
        ticks.tick().await
    });
    assert_eq!((missed.unwrap(), clock.elapsed()), (0, 15 * MILLI));
    assert_eq!(el.next_deadline(), None);
}

#[test]
fn t4_an_endless_period_is_accepted() {
    let (mut el, clock) = simulated(SelectorKind::Poll, ());
    let outcome = el.run_until_complete(async {
        let mut ticks = interval(Duration::MAX).unwrap();
        assert_eq!((ticks.period(), ticks.deadline()), (Duration::MAX, None));
        let tick = mainspring::timeout(1000 * MILLI, ticks.tick()).await;
        assert!(matches!(tick, Err(Error::TimedOut(_))));
        ticks.reset_after(MILLI);
        ticks.tick().await
    });
    assert_eq!((outcome.unwrap(), clock.elapsed()), (0, 1001 * MILLI));
}

#[test]
fn t1_is_armed_and_deadline_describe_a_timer() {
    let (mut el, clock) = simulated(SelectorKind::Poll, Vec::new());
    let second = 1000 * MILLI;
    let once = el.call_later(second, |el, seen: &mut Vec<_>| {
        let own = *own_timer(el);
        seen.push((el.is_armed(own), el.deadline(own), el.is_foreground(own)));
    });
    OWN.set(Some(once));
    let never = el.call_later(Duration::MAX, |_, _| {});
    let (idle, every) = (el.add_timer(|_, _| {}), el.call_every(second, |_, _| {}));
    let (idle, every) = (idle.unwrap(), every.unwrap());
    let now = clock.now();
    let ask = |timer| (el.is_armed(timer), el.deadline(timer), el.is_foreground(timer));
    assert_eq!(ask(once), (true, Some(now + second), true));
    assert_eq!(ask(never), (true, None, true));
    assert_eq!(ask(idle), (false, None, true));
    assert_eq!(ask(every), (true, Some(now + second), true));
    assert!(!el.keeps_running(idle) && el.keeps_running(every));
    assert!(el.set_background(every) && !el.is_foreground(every) && !el.keeps_running(every));
    assert!(el.set_foreground(every) && el.is_foreground(every) && el.keeps_running(every));
    el.set_background(every);
    el.cancel(never);
    el.run().unwrap();
    // The timer has run, so its handle names nothing.
    assert_eq!(*el.state(), [(false, None, false)]);
    assert_eq!(el.missed_tick_behavior(once), None);
    assert!(!el.set_missed_tick_behavior(idle, MissedTickBehavior::Burst));
    // A handle of another loop names nothing here.
    let other = EventLoop::new().unwrap();
    assert!(!other.is_armed(every) && !other.is_foreground(every) && !other.keeps_running(every));
    assert_eq!((other.deadline(every), other.missed_tick_behavior(every)), (None, None));
}

#[test]
fn q7_keeps_running_describes_a_handle() {
    let (mut el, _) = simulated(SelectorKind::Poll, ());
    let soon = el.call_soon(|_, ()| {});
    let hook = el.on_prepare(|_, ()| {}).unwrap();
    let task = el.spawn(std::future::pending::<()>());
    assert!(el.is_foreground(soon) && el.keeps_running(soon));
    assert!(
        el.is_foreground(hook) && !el.keeps_running(hook),
        "a hook does not keep the loop alive"
    );
    assert!(el.is_foreground(task.handle()) && el.keeps_running(task.handle()));
    el.set_background(task.handle());
    assert!(!el.is_foreground(task.handle()));
    el.run().unwrap();
    assert!(!el.keeps_running(soon) && !el.is_foreground(soon));
    task.cancel("enough");
    el.run_until_stalled().unwrap();
    el.set_foreground(task.handle());
    assert!(!el.keeps_running(task.handle()), "the task is done");
}

/// A sleep created in one loop ends at the same time in another, whenever the loops were created.
#[test]
fn t1_a_sleep_keeps_its_end_in_another_loop() {
    let clock = SimClock::new();
    let make = || EventLoop::builder().clock(clock.clone()).build().unwrap();
    let mut old = make();
    clock.advance(7000 * MILLI);
    let mut new = make();
    let made = Rc::new(RefCell::new(None));
    let slot = made.clone();
    old.call_soon(move |_, ()| drop(slot.replace(Some(sleep(1000 * MILLI)))));
    old.run().unwrap();
    let made = made.take().unwrap();
    assert_eq!(made.deadline(), Some(clock.now() + 1000 * MILLI));
    new.run_until_complete(made).unwrap();
    assert_eq!(clock.elapsed(), 8000 * MILLI);
    // Outside a loop a sleep counts from its first poll.
    let mut late = sleep(1000 * MILLI);
    assert_eq!(late.deadline(), None);
    clock.advance(1000 * MILLI);
    old.run_until_complete(&mut late).unwrap();
    assert_eq!((late.deadline(), clock.elapsed()), (Some(clock.now()), 10_000 * MILLI));
}

/// A future created before the loop runs starts with the loop.
#[test]
fn q7_run_until_complete_accepts_blocking_work() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let job = spawn_blocking(|| 6 * 7);
        assert_eq!(el.blocking_pool().threads(), 0);
        assert_eq!(el.run_until_complete(job).unwrap().unwrap(), 42);
        let failing = spawn_blocking(|| -> () { panic!("no luck") });
        let error = el.run_until_complete(failing).unwrap().unwrap_err().to_string();
        assert!(error.contains("no luck") && error.contains("intervals.rs"), "{error}");
    });
    // Without a loop it is an error, not a panic.
    let outside = futures::executor::block_on(spawn_blocking(|| ()));
    assert!(matches!(outside, Err(Error::NoLoop { .. })));
}

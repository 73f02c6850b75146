//! A seeded load with planted slow callbacks (docs/contract.md, E2).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{Handle, LoopHandle, Recorder, SelectorKind, TimerHandle, sleep};

use crate::support::{cases, on_every_selector, simulated_builder};

const MS: Duration = Duration::from_millis(1);

/// A generator of random numbers (splitmix64), so that a seed gives one load.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }
}

/// The load's account of its callbacks: begin, end and name of each.
#[derive(Clone)]
struct Account {
    clock: SimClock,
    ran: Rc<RefCell<Vec<(Duration, Duration, String)>>>,
}

impl Account {
    /// Takes `time`, and writes it down under `name`.
    fn work(&self, name: &str, time: Duration) {
        let begin = self.clock.elapsed();
        self.clock.advance(time);
        self.ran.borrow_mut().push((begin, self.clock.elapsed(), name.to_owned()));
    }

    /// Returns the names that took the longest sum of times between `due` and `began`.
    fn culprits(&self, due: Duration, began: Duration) -> Vec<String> {
        let mut sums: HashMap<&str, Duration> = HashMap::new();
        let ran = self.ran.borrow();
        for (begin, end, name) in &*ran {
            let time = (*end).min(began).saturating_sub((*begin).max(due));
            *sums.entry(name).or_default() += time;
        }
        let longest = sums.values().max().copied().unwrap_or_default();
        let is_longest =
            |(name, time): (&str, Duration)| (time == longest).then(|| name.to_owned());
        sums.into_iter().filter_map(is_longest).collect()
    }
}

/// Adds a slow callback with this name: a timer, a queued closure, or a task.
fn plant(el: &LoopHandle, account: &Account, random: &mut Random, name: String) {
    let (at, time) = (MS * random.below(900) as u32, MS * (5 + random.below(60) as u32));
    let (doing, own) = (account.clone(), name.clone());
    match random.below(3) {
        0 => {
            let timer = el.call_later(at, move |_, ()| doing.work(&own, time));
            el.set_name(timer, &name);
        }
        1 => {
            _ = el.call_later(at, move |el, ()| {
                let slow = el.call_soon(move |_, ()| doing.work(&own, time));
                el.set_name(slow, &name);
            })
        }
        _ => {
            let task = el.spawn(async move {
                sleep(at).await;
                doing.work(&own, time);
            });
            el.set_name(task.handle(), &name);
            task.detach();
        }
    }
}

/// Short callbacks in a chain, which are never the reason on their own.
fn chatter(el: &LoopHandle, account: Account, left: u32) {
    el.call_later(MS, move |el, ()| {
        account.work("chatter", MS / 50);
        if left > 0 {
            chatter(el, account, left - 1);
        }
    });
}

/// Runs one load. Returns the numbers of late timers, and of those for which the right callback is
/// named.
fn run(kind: SelectorKind, seed: u64) -> (usize, usize) {
    let (builder, clock) = simulated_builder(kind);
    let mut el = builder.record(Recorder::ring(20_000)).build().unwrap();
    let account = Account { clock, ran: Rc::default() };
    let mut random = Random(seed);
    for number in 0..5 {
        plant(&el, &account, &mut random, format!("planted {number}"));
    }
    chatter(&el, account.clone(), 700);
    let began: Rc<RefCell<HashMap<Handle, Duration>>> = Rc::default();
    let mut timers: Vec<(TimerHandle, Duration)> = Vec::new();
    for _ in 0..60 {
        let (due, began, account) = (random.below(1_000_000), began.clone(), account.clone());
        let due = Duration::from_micros(due);
        let timer = el.call_later(due, move |el, ()| {
            began.borrow_mut().insert(el.current().unwrap(), account.clock.elapsed());
        });
        timers.push((timer, due));
    }
    el.run().unwrap();
    let tape = el.tape().unwrap();
    let (mut late, mut named) = (0, 0);
    for (timer, due) in timers {
        let began = began.borrow()[&Handle::from(timer)];
        if began - due < MS {
            continue;
        }
        late += 1;
        let right = account.culprits(due, began);
        let blame = tape.blame(timer).expect("a late timer");
        let place = blame.culprit().map_or("", |part| &part.place);
        let is_right = right.iter().any(|name| place.starts_with(&format!("{name} (")));
        named += usize::from(is_right && right.iter().all(|name| name != "chatter"));
    }
    (late, named)
}

#[test]
fn e2_the_planted_callback_is_named_for_late_timers() {
    on_every_selector(|kind| {
        let seeds = u64::from(cases(100));
        let (mut late, mut named) = (0, 0);
        for seed in 0..seeds {
            let (more, right) = run(kind, seed);
            (late, named) = (late + more, named + right);
        }
        println!("{named} of {late} late timers");
        assert!(late as u64 > 3 * seeds, "{late} timers were late");
        assert!(named * 100 >= late * 99, "the right one is named for {named} of {late}");
    });
}

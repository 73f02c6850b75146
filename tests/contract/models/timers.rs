//! Random timer calls against a sorted list, with callbacks that change timers of the same batch
//! (docs/contract.md, T2, T3 and T6).

use std::collections::VecDeque;
use std::time::Duration;

use mainspring::{LoopHandle, SelectorKind, TimerHandle};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::simulated;

const NOW: Option<Duration> = Some(Duration::ZERO);

#[derive(Debug, Clone)]
enum Step {
    Later(u64),
    Timer,
    Reset(Index, u64),
    Disarm(Index),
    Cancel(Index),
}

#[derive(Debug)]
struct Twin {
    handle: TimerHandle,
    /// Deadline in milliseconds and sequence number; `None` if it is not armed.
    armed: Option<(u64, usize)>,
    lives: bool,
    repeats: bool,
}

/// Expected timers, and the script of the callbacks.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    armings: usize,
    timers: Vec<Twin>,
    batch: VecDeque<usize>,
    script: Vec<Step>,
}

impl Model {
    fn arm(&mut self, id: usize, delay: u64) {
        self.armings += 1;
        self.timers[id].armed = Some((self.now + delay, self.armings));
        self.batch.retain(|other| *other != id);
    }

    fn disarm(&mut self, id: usize) {
        self.timers[id].armed = None;
        self.batch.retain(|other| *other != id);
    }

    /// Takes the timers that are due, as the loop does next.
    fn begin_batch(&mut self) {
        let due = |id: &usize| self.timers[*id].armed.is_some_and(|(at, _)| at <= self.now);
        let mut batch: Vec<usize> = (0..self.timers.len()).filter(due).collect();
        batch.sort_by_key(|id| self.timers[*id].armed);
        batch.iter().for_each(|id| self.timers[*id].armed = None);
        self.batch = batch.into();
    }

    fn next_deadline(&self) -> Option<u64> {
        self.timers.iter().filter_map(|timer| timer.armed).map(|(at, _)| at).min()
    }

    fn ran(&mut self, id: usize) {
        assert_eq!(self.batch.pop_front(), Some(id), "out of order, early, or cancelled");
        self.timers[id].lives = self.timers[id].repeats;
    }
}

fn callback(id: usize) -> impl FnMut(&LoopHandle<Model>, &mut Model) {
    move |el, model| {
        model.ran(id);
        (0..id % 3).for_each(|_| step(el, model));
    }
}

fn step(el: &LoopHandle<Model>, model: &mut Model) {
    let Some(step) = model.script.pop() else { return };
    let (id, armed) = (model.timers.len(), None);
    let pick = |at: Index| at.index(id.max(1));
    match step {
        Step::Later(delay) => {
            let handle = el.call_later(Duration::from_millis(delay), callback(id));
            model.timers.push(Twin { handle, armed, lives: true, repeats: false });
            model.arm(id, delay);
        }
        Step::Timer => {
            let handle = el.add_timer(callback(id)).expect("an open loop");
            model.timers.push(Twin { handle, armed, lives: true, repeats: true });
        }
        _ if id == 0 => {}
        Step::Reset(at, delay) => {
            let Twin { handle, lives, .. } = model.timers[pick(at)];
            assert_eq!(el.reset_after(handle, Duration::from_millis(delay)), lives);
            if lives {
                model.arm(pick(at), delay);
            }
        }
        Step::Disarm(at) => {
            assert_eq!(el.disarm(model.timers[pick(at)].handle), model.timers[pick(at)].lives);
            model.disarm(pick(at));
        }
        Step::Cancel(at) => {
            assert_eq!(el.cancel(model.timers[pick(at)].handle), model.timers[pick(at)].lives);
            model.timers[pick(at)].lives = false;
            model.disarm(pick(at));
        }
    }
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..20_u64).prop_map(Step::Later),
        2 => Just(Step::Timer),
        6 => (any::<Index>(), 0..20_u64).prop_map(|(at, delay)| Step::Reset(at, delay)),
        1 => any::<Index>().prop_map(Step::Disarm),
        2 => any::<Index>().prop_map(Step::Cancel),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t6_random_timers_match_a_sorted_list(
        script in vec(steps(), 0..300),
        turns in vec((0..6_usize, 0..10_u64), 0..60),
    ) {
        let model = Model { script, ..Model::default() };
        let (mut el, clock) = simulated(SelectorKind::available()[0], model);
        let start = el.now();
        for (outside, pass) in turns {
            let handle = el.handle().clone();
            (0..outside).for_each(|_| step(&handle, el.state_mut()));
            clock.advance(Duration::from_millis(pass));
            el.state_mut().now += pass;
            let next = el.state().next_deadline().map(|at| start + Duration::from_millis(at));
            prop_assert_eq!(el.next_deadline(), next);
            el.state_mut().begin_batch();
            el.tick(NOW).unwrap();
            prop_assert!(el.state().batch.is_empty(), "due, but did not run: {:?}", el.state());
        }
    }
}

#[test]
fn t6_a_hundred_thousand_timers_are_re_armed_and_cancelled() {
    let patterns: [fn(u64) -> u64; 3] = [|_| 1_000, |i| i, |i| 1_000_000 - i];
    for pattern in patterns {
        let (mut el, _) = simulated(SelectorKind::Poll, 0);
        let timers: Vec<TimerHandle> = (0..100_000)
            .map(|i| el.call_later(Duration::from_millis(pattern(i)), |_, ran| *ran += 1))
            .collect();
        for (i, timer) in timers.iter().enumerate() {
            let delay = Duration::from_millis(pattern(i as u64) / 2);
            assert!(el.reset_after(*timer, delay));
            assert!(i % 2 == 0 || el.cancel(*timer));
        }
        el.run().unwrap();
        assert_eq!(*el.state(), 50_000);
    }
}

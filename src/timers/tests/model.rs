//! Random steps, done by the timers and by a model: a list that is searched from end to end.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{feed, key};
use crate::timers::{NEVER, TimerSlot, Timers};

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    InsertIdle,
    Reset(Index, u64),
    Disarm(Index),
    Remove(Index),
    TakeFed(Index),
    NextDeadline,
    Feed(u64),
}

fn deadlines() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0_u64..50,
        4 => 0_u64..5_000,
        1 => Just(NEVER),
        1 => Just(NEVER - 1),
        1 => any::<u64>(),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => deadlines().prop_map(Step::Insert),
        1 => Just(Step::InsertIdle),
        5 => (any::<Index>(), deadlines()).prop_map(|(i, deadline)| Step::Reset(i, deadline)),
        1 => any::<Index>().prop_map(Step::Disarm),
        2 => any::<Index>().prop_map(Step::Remove),
        2 => any::<Index>().prop_map(Step::TakeFed),
        2 => Just(Step::NextDeadline),
        2 => deadlines().prop_map(Step::Feed),
    ]
}

/// A timer of the model.
#[derive(Clone, Debug)]
struct ModelTimer {
    slot: TimerSlot,
    name: u32,
    armed: Option<(u64, u64)>,
    fed: bool,
}

#[derive(Default)]
struct Comparison {
    timers: Timers,
    model: Vec<ModelTimer>,
    sequence: u64,
    names: u32,
}

impl Comparison {
    fn insert(&mut self, deadline: Option<u64>) {
        self.names += 1;
        self.sequence += 1;
        let slot = match deadline {
            Some(deadline) => self.timers.insert(deadline, key(self.names)),
            None => self.timers.insert_idle(key(self.names)),
        };
        assert!(
            self.model.iter().all(|timer| timer.slot != slot),
            "a slot in use was returned again"
        );
        let armed = deadline.map(|deadline| (deadline, self.sequence));
        self.model.push(ModelTimer { slot, name: self.names, armed, fed: false });
    }

    fn reset(&mut self, i: usize, deadline: u64) {
        self.sequence += 1;
        self.timers.reset(self.model[i].slot, deadline);
        self.model[i].armed = Some((deadline, self.sequence));
        self.model[i].fed = false;
    }

    fn disarm(&mut self, i: usize) {
        self.timers.disarm(self.model[i].slot);
        self.model[i].armed = None;
        self.model[i].fed = false;
    }

    fn take_fed(&mut self, i: usize) {
        let fed = std::mem::take(&mut self.model[i].fed);
        assert_eq!(self.timers.take_fed(self.model[i].slot), fed);
    }

    fn next_deadline(&mut self) {
        let armed = self.model.iter().filter_map(|timer| timer.armed);
        let expected = armed.map(|(deadline, _)| deadline).min().filter(|at| *at != NEVER);
        assert_eq!(self.timers.next_deadline(), expected);
    }

    fn feed(&mut self, now: u64) {
        let is_due = |at: &(u64, u64)| at.0 <= now && at.0 != NEVER;
        let mut due: Vec<_> = self
            .model
            .iter_mut()
            .filter(|timer| timer.armed.as_ref().is_some_and(is_due))
            .collect();
        due.sort_by_key(|timer| timer.armed);
        for timer in &mut due {
            timer.armed = None;
            timer.fed = true;
        }
        let expected: Vec<u32> = due.iter().map(|timer| timer.name).collect();
        assert_eq!(feed(&mut self.timers, now), expected);
    }

    fn step(&mut self, step: Step) {
        let pick = |i: Index| i.index(self.model.len().max(1));
        match step {
            Step::Insert(deadline) => self.insert(Some(deadline)),
            Step::InsertIdle => self.insert(None),
            Step::NextDeadline => self.next_deadline(),
            Step::Feed(now) => self.feed(now),
            _ if self.model.is_empty() => {}
            Step::Reset(i, deadline) => self.reset(pick(i), deadline),
            Step::Disarm(i) => self.disarm(pick(i)),
            Step::TakeFed(i) => self.take_fed(pick(i)),
            Step::Remove(i) => self.timers.remove(self.model.swap_remove(pick(i)).slot),
        }
    }

    fn compare(&self) {
        self.timers.verify();
        assert_eq!(self.timers.len, self.model.len());
        for timer in &self.model {
            assert_eq!(self.timers.deadline(timer.slot), timer.armed.map(|(deadline, _)| deadline));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_sorted_list(
        steps in prop::collection::vec(steps(), 0..400),
        numbers_left in 0_u32..800,
    ) {
        let mut comparison = Comparison::default();
        comparison.timers.sequence = u32::MAX - numbers_left;
        for step in steps {
            comparison.step(step);
            comparison.compare();
        }
    }
}

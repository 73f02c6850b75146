//! A `RefCell` that is borrowed while it calls other code (docs/contract.md, G10).

use std::cell::RefCell;
use std::rc::Rc;
use std::slice;

use mainspring::testing::SimClock;
use mainspring::{LoopHandle, Result};

use super::stage::{Journal, MS, assert_shown, play};

type Subscriber = Rc<dyn Fn(&Topic, u32)>;

#[derive(Default)]
struct Topic {
    subscribers: RefCell<Vec<Subscriber>>,
}

impl Topic {
    fn publish(&self, number: u32) {
        for subscriber in self.subscribers.borrow().iter() {
            // May come back to this topic.
            subscriber(self, number);
        }
    }
}

fn misbehaves(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    let (topic, mut number) = (subscribed(), 0);
    let publisher = el.call_every(10 * MS, move |_, _| {
        number += 1;
        topic.publish(number);
    })?;
    el.set_name(publisher, "publisher");
    Ok(())
}

impl Topic {
    fn publish_cured(&self, number: u32) {
        // The borrow ends here.
        let subscribers = self.subscribers.borrow().clone();
        for subscriber in subscribers {
            subscriber(self, number);
        }
    }
}

fn cured(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    let (topic, mut number) = (subscribed(), 0);
    let publisher = el.call_every(10 * MS, move |_, journal: &mut Journal| {
        number += 1;
        topic.publish_cured(number);
        journal.lines.push(format!("{} left", topic.subscribers.borrow().len()));
    })?;
    el.set_name(publisher, "publisher");
    Ok(())
}

#[test]
fn g10_a_borrow_over_a_call_panics() {
    let [written, cured] = play("refcell_over_a_call", 80 * MS, misbehaves, cured);
    assert_eq!(written.turns("publisher").len(), 3);
    let [report] = &written.journal.lines[..] else { panic!("{:?}", written.journal.lines) };
    assert!(report.contains("\"publisher\"") && report.contains("borrowed"), "{report}");
    assert_shown("refcell_over_a_call", slice::from_ref(report));
    let left = ["1 left", "1 left", "0 left", "0 left", "0 left", "0 left", "0 left"];
    assert_eq!(cured.journal.lines, left);
}

/// Returns a topic with a subscriber that has enough after three messages.
fn subscribed() -> Topic {
    let topic = Topic::default();
    topic.subscribers.borrow_mut().push(Rc::new(|topic, number| {
        if number == 3 {
            topic.subscribers.borrow_mut().clear();
        }
    }));
    topic
}

//! State machines: what a run shows, and a drawing of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use mainspring::{Handle, LoopHandle};

use super::figure::{Anchor, Figure, MARGIN, Point, WIDTH};

/// The state before a registration.
pub const START: &str = "start";
/// Each state in the frame of a drawing.
pub const EACH: &str = "each";
/// The state after the end of a registration.
pub const GONE: &str = "gone";

/// A change of state: the state before, what happened, and the state after.
pub type Change = (&'static str, &'static str, &'static str);

/// The changes that a run has shown. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Seen(Rc<RefCell<BTreeSet<Change>>>);

impl Seen {
    pub fn add(&self, before: &'static str, event: &'static str, after: &'static str) {
        self.0.borrow_mut().insert((before, event, after));
    }

    /// Adds the change of a registration by `event`, which happens in `change`.
    pub fn during<S>(
        &self,
        el: &LoopHandle<S>,
        handle: impl Into<Handle>,
        event: &'static str,
        change: impl FnOnce(),
    ) {
        let handle = handle.into();
        let before = state_of(el, handle);
        change();
        self.add(before, event, state_of(el, handle));
    }

    /// Asserts that the run has shown the changes of a drawing, and no others.
    #[track_caller]
    pub fn assert_drawn(&self, changes: impl IntoIterator<Item = Change>) {
        let drawn: BTreeSet<Change> = changes.into_iter().collect();
        let seen = self.0.borrow();
        assert_eq!(*seen, drawn, "not drawn: {:?}", seen.difference(&drawn).collect::<Vec<_>>());
    }
}

/// Returns the state of a registration, by a snapshot. A callback that runs once has left the
/// snapshot while it runs.
pub fn state_of<S>(el: &LoopHandle<S>, handle: Handle) -> &'static str {
    match el.snapshot().get(handle) {
        Some(entry) => entry.state().as_str(),
        None if el.current() == Some(handle) => "running",
        None => GONE,
    }
}

/// An arrow of a drawing: its change, its points, and the place of its label.
#[derive(Debug)]
pub struct Edge {
    pub change: Change,
    pub points: &'static [Point],
    pub label: (Point, Anchor),
}

/// A drawing: the middle of each state, and the arrows.
#[derive(Debug)]
pub struct Drawing {
    pub title: &'static str,
    pub states: &'static [(&'static str, Point)],
    pub edges: &'static [Edge],
    /// Top and bottom of a frame around the states that are left by the arrows from it.
    pub frame: (f64, f64),
    pub height: f64,
}

/// Half of the width and of the height of a state.
const HALF: Point = (42.0, 15.0);

impl Drawing {
    pub fn svg(&self) -> String {
        let mut figure = Figure::new(self.title);
        let (top, bottom) = self.frame;
        let size = (WIDTH - 2.0 * MARGIN + 8.0, bottom - top);
        figure.rect("rule dashed", (MARGIN - 4.0, top), size, 6.0);
        for (name, (x, y)) in self.states {
            let size = (2.0 * HALF.0, 2.0 * HALF.1);
            figure.rect("box", (x - HALF.0, y - HALF.1), size, 8.0);
            figure.text((*x, y + 4.0), Anchor::Middle, "", name);
        }
        for Edge { change: (before, event, after), points, label: (at, anchor) } in self.edges {
            let before = if *before == EACH { "each state in the frame" } else { before };
            figure.describe(&format!("From {before} to {after}: {event}."));
            figure.arrow(points);
            figure.note(*at, *anchor, event);
        }
        figure.svg(self.height)
    }
}

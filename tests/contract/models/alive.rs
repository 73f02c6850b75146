//! Random programs against a model of `is_alive` (docs/contract.md, Q7). `run` may sleep only while
//! something could still call back. It returns as soon as nothing could, whether a callback, a
//! prepare hook or a check hook ended the last registration.

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mainspring::testing::SimClock;
use mainspring::{Clock, EventLoop, Handle, LoopHandle, Remote, Signal, Task, Watcher};
use proptest::prelude::*;

use crate::support::on_every_selector;

const SECOND: Duration = Duration::from_secs(1);

/// Registration that may keep `run` alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Timer with this delay in seconds.
    Timer(u8),
    /// Reader of a stream that never becomes readable.
    Reader,
    Signal,
    /// Task that never ends.
    Task,
    Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    End,
    Unref,
    Reref,
}

/// Part of the tick in which a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the step's own timer.
    Callback,
    Prepare,
    Check,
}

/// Step that is done once, as soon as `second` has passed, to one registration.
#[derive(Debug, Clone, Copy)]
struct Step {
    second: u8,
    at: At,
    change: Change,
    registration: usize,
}

/// Handle or object that ends the registration.
enum Registration {
    Handle(Handle),
    Reader(Watcher<UnixStream>, #[expect(dead_code, reason = "stays open")] UnixStream),
    Task(Task<()>),
    Remote(Remote),
}

/// Registration and its state in the model; `registration` is `None` once it has ended.
struct Entry {
    registration: Option<Registration>,
    background: bool,
}

/// Registrations of one loop. One is alive if it exists and is not in the background.
#[derive(Default)]
struct Model {
    entries: RefCell<Vec<Entry>>,
    /// Taken at the end of the test, to break the cycle: the loop's clock owns the model, and the
    /// model this handle.
    handle: RefCell<Option<LoopHandle>>,
    /// True if the loop would have slept with no deadline.
    stopped: Cell<bool>,
    /// True if a remote was dropped: its wake ends the next sleep at once.
    rung: Cell<bool>,
}

impl Model {
    fn is_alive(&self) -> bool {
        self.entries.borrow().iter().any(|entry| entry.registration.is_some() && !entry.background)
    }

    fn act(&self, el: &LoopHandle, change: Change, registration: usize) {
        let mut entries = self.entries.borrow_mut();
        let count = entries.len();
        let Entry { registration, background } = &mut entries[registration % count];
        let handle = match registration {
            None => return,
            Some(Registration::Handle(handle)) => Some(*handle),
            Some(Registration::Reader(watcher, _)) => Some(Handle::from(*watcher)),
            Some(Registration::Task(task)) => Some(task.handle()),
            Some(Registration::Remote(remote)) => {
                *remote = if change == Change::Reref { el.remote() } else { remote.background() };
                self.rung.set(true);
                None
            }
        };
        *background = change == Change::Unref;
        match (change, handle) {
            (Change::End, Some(handle)) => assert!(el.cancel(handle)),
            (Change::Unref, Some(handle)) => assert!(el.set_background(handle)),
            (Change::Reref, Some(handle)) => assert!(el.set_foreground(handle)),
            (_, None) => {}
        }
        if change == Change::End {
            *registration = None;
        }
    }
}

/// Simulated clock that checks the model before each sleep.
struct CheckingClock(SimClock, Rc<Model>);

impl std::fmt::Debug for CheckingClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Clock for CheckingClock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn max_wait(&self, wanted: Option<Duration>) -> Option<Duration> {
        if self.1.rung.take() {
            return Some(Duration::ZERO);
        }
        if wanted != Some(Duration::ZERO) {
            assert!(self.1.is_alive(), "the loop sleeps although nothing is left");
        }
        if wanted.is_none() {
            self.1.stopped.set(true);
            self.1.handle.borrow().as_ref().unwrap().stop();
        }
        Some(Duration::ZERO)
    }

    fn on_timeout(&self, wanted: Option<Duration>) {
        self.0.on_timeout(wanted);
    }
}

fn make(el: &EventLoop, model: &Rc<Model>, form: Form) {
    let place = model.entries.borrow().len();
    let registration = match form {
        Form::Timer(seconds) => {
            let ran = model.clone();
            let over = move |_: &LoopHandle, (): &mut ()| {
                ran.entries.borrow_mut()[place].registration = None;
            };
            Registration::Handle(el.call_later(u32::from(seconds) * SECOND, over).into())
        }
        Form::Reader => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            Registration::Reader(el.add_reader(ours, |_, (), _| Ok(())).unwrap(), theirs)
        }
        Form::Signal => {
            Registration::Handle(el.add_signal_handler(Signal::IO, |_, ()| {}).unwrap())
        }
        Form::Task => Registration::Task(el.spawn(std::future::pending())),
        Form::Remote => Registration::Remote(el.remote()),
    };
    model.entries.borrow_mut().push(Entry { registration: Some(registration), background: false });
}

/// Schedules the steps. A hook does its steps in the first tick that is late enough.
fn schedule(el: &EventLoop, clock: &SimClock, model: &Rc<Model>, steps: &[Step]) {
    for at in [At::Prepare, At::Check] {
        let mut due: Vec<Step> = steps.iter().copied().filter(|step| step.at == at).collect();
        let (clock, model) = (clock.clone(), model.clone());
        let hook = move |el: &LoopHandle, (): &mut ()| {
            due.retain(|step| {
                let is_due = clock.elapsed() >= u32::from(step.second) * SECOND;
                if is_due {
                    model.act(el, step.change, step.registration);
                }
                !is_due
            });
        };
        match at {
            At::Prepare => el.on_prepare(hook).unwrap(),
            _ => el.on_check(hook).unwrap(),
        };
    }
    for step in steps.iter().copied().filter(|step| step.at == At::Callback) {
        let model = model.clone();
        let timer = el.call_later(u32::from(step.second) * SECOND, move |el, ()| {
            model.act(el, step.change, step.registration);
        });
        el.set_background(timer); // Only the model's registrations may keep the loop alive.
    }
}

fn forms() -> impl Strategy<Value = Vec<Form>> {
    let form = prop_oneof![
        (0..4u8).prop_map(Form::Timer),
        Just(Form::Reader),
        Just(Form::Signal),
        Just(Form::Task),
        Just(Form::Remote),
    ];
    prop::collection::vec(form, 1..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = prop_oneof![Just(At::Callback), Just(At::Prepare), Just(At::Check)];
    let change =
        prop_oneof![3 => Just(Change::End), 3 => Just(Change::Unref), 1 => Just(Change::Reref)];
    let step = (0..4u8, at, change, 0..3usize)
        .prop_map(|(second, at, change, registration)| Step { second, at, change, registration });
    prop::collection::vec(step, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn q7_run_ends_at_once_when_nothing_is_left(forms in forms(), steps in steps()) {
        on_every_selector(|kind| {
            let (clock, model) = (SimClock::new(), Rc::new(Model::default()));
            let checking = CheckingClock(clock.clone(), model.clone());
            let mut el = EventLoop::builder().selector(kind).clock(checking).build().unwrap();
            model.handle.replace(Some(el.handle().clone()));
            forms.iter().for_each(|form| make(&el, &model, *form));
            schedule(&el, &clock, &model, &steps);
            el.run().unwrap();
            assert!(model.stopped.get() || !model.is_alive(), "something is left");
            model.entries.take();
            drop(el);
            drop(model.handle.take());
        });
    }
}

/// When the loop decides whether to sleep, no hook is left.
#[test]
fn q7_a_prepare_hook_that_cancels_the_last_timer_and_itself_ends_the_run() {
    let mut el = mainspring::EventLoop::new().unwrap();
    let timer = el.call_later(std::time::Duration::from_secs(3600), |_, ()| {});
    let own = std::rc::Rc::new(std::cell::Cell::new(None::<mainspring::Handle>));
    let slot = own.clone();
    let hook = el.on_prepare(move |el, ()| {
        assert!(el.cancel(timer));
        assert!(slot.take().is_some_and(|hook| el.cancel(hook)));
    });
    own.set(Some(hook.unwrap()));
    el.run().unwrap();
    assert!(!el.is_alive());
}

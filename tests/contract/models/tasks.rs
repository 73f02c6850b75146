//! Random programs of tasks, run by the loop and by a naive reference implementation
//! (docs/contract.md, F1 to F6). Both must do the same steps at the same times in the same order.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use mainspring::testing::SimClock;
use mainspring::{
    CancelScope, Error, JoinError, Promise, Promised, Result, SelectorKind, Task, TaskGroup,
    promise, sleep, spawn, timeout, yield_now,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::models::task_twin::Twin;
use crate::support::simulated;

const PROMISES: usize = 3;

/// Step of a task's program.
#[derive(Debug, Clone)]
pub enum Op {
    Yield,
    Sleep(u64),
    Spawn(Vec<Op>),
    /// Awaits a child of this task.
    Join(usize),
    Cancel(usize),
    Set(usize),
    Get(usize),
    Timeout(u64, Vec<Op>),
    Shield(Vec<Op>),
    Group(Vec<Vec<Op>>),
    Fail,
}

/// Result of a step or of a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    Went,
    TimedOut,
    /// Group ended, with this number of errors.
    Errors(usize),
    /// Joined task returned its output.
    Result,
    Failed,
    Cancelled,
    /// Future was dropped.
    Ended,
}

/// State that all tasks of a run share.
#[derive(Clone)]
struct World {
    clock: SimClock,
    trace: Rc<RefCell<Vec<(u64, usize, Event)>>>,
    tasks: Rc<Cell<usize>>,
    promises: Rc<RefCell<Vec<Option<Promise<()>>>>>,
    promised: Rc<RefCell<Vec<Option<Promised<()>>>>>,
}

/// State of one task.
struct Own {
    number: usize,
    world: World,
    children: RefCell<Vec<Option<Task<Result<()>>>>>,
}

impl Own {
    fn note(&self, event: Event) {
        let now = self.world.clock.elapsed().as_millis() as u64;
        self.world.trace.borrow_mut().push((now, self.number, event));
    }

    fn child<T>(
        &self,
        i: usize,
        with: impl Fn(&mut Option<Task<Result<()>>>) -> Option<T>,
    ) -> Option<T> {
        let mut children = self.children.borrow_mut();
        let count = children.len().max(1);
        children.get_mut(i % count).and_then(with)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.note(Event::Ended);
    }
}

/// Returns the future of a task.
fn task(program: Vec<Op>, world: &World) -> impl Future<Output = Result<()>> + use<> {
    let number = world.tasks.replace(world.tasks.get() + 1);
    let own = Own { number, world: world.clone(), children: RefCell::default() };
    async move { run(&program, &own).await }
}

fn run<'a>(program: &'a [Op], own: &'a Own) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
    Box::pin(async move {
        for op in program {
            let event = perform(op, own).await?;
            own.note(event);
        }
        Ok(())
    })
}

async fn perform(op: &Op, own: &Own) -> Result<Event> {
    let world = &own.world;
    match op {
        Op::Yield => yield_now().await,
        Op::Sleep(delay) => sleep(Duration::from_millis(*delay)).await,
        Op::Spawn(program) => {
            let child = spawn(task(program.clone(), world));
            own.children.borrow_mut().push(Some(child));
        }
        Op::Join(i) => {
            let child = own.child(*i, Option::take);
            if let Some(child) = child {
                return Ok(match child.await {
                    Ok(Ok(())) => Event::Result,
                    Ok(Err(_)) => Event::Failed,
                    Err(JoinError::Cancelled(_)) => Event::Cancelled,
                    Err(other) => panic!("{other}"),
                });
            }
        }
        Op::Cancel(i) => {
            own.child(*i, |child| child.as_ref().map(|child| child.cancel("on purpose")));
        }
        Op::Set(i) => {
            let promise = world.promises.borrow_mut()[*i].take();
            promise.map(|promise| promise.set_result(())).unwrap_or_default();
        }
        Op::Get(i) => {
            let promised = world.promised.borrow_mut()[*i].take();
            if let Some(promised) = promised {
                promised.await?;
            }
        }
        Op::Timeout(limit, program) => {
            match timeout(Duration::from_millis(*limit), run(program, own)).await {
                Ok(outcome) => outcome?,
                Err(_) => return Ok(Event::TimedOut),
            }
        }
        Op::Shield(program) => CancelScope::new().shielded().run(run(program, own)).await??,
        Op::Group(programs) => {
            let group = TaskGroup::run(async |group| {
                for program in programs {
                    group.spawn(task(program.clone(), world))?;
                }
                Ok(())
            });
            let errors = group.await.map_or_else(|error| error.errors().len(), |()| 0);
            return Ok(Event::Errors(errors));
        }
        Op::Fail => return Err(Error::other("on purpose")),
    }
    Ok(Event::Went)
}

/// Runs the program on a loop and returns its trace.
fn trace(program: &[Op]) -> Vec<(u64, usize, Event)> {
    let (mut el, clock) = simulated(SelectorKind::available()[0], ());
    el.set_exception_handler(|_, (), _| {});
    let (promises, promised) =
        (0..PROMISES).map(|_| promise()).map(|(a, b)| (Some(a), Some(b))).unzip();
    let world = World {
        clock,
        trace: Rc::default(),
        tasks: Rc::default(),
        promises: Rc::new(RefCell::new(promises)),
        promised: Rc::new(RefCell::new(promised)),
    };
    el.spawn(task(program.to_vec(), &world)).detach();
    loop {
        el.run_until_stalled().unwrap();
        if el.next_deadline().is_none() {
            return world.trace.take();
        }
        el.tick(None).unwrap();
    }
}

fn program() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        1 => Just(Op::Yield),
        4 => (0..6_u64).prop_map(Op::Sleep),
        2 => (0..3_usize).prop_map(Op::Join),
        2 => (0..3_usize).prop_map(Op::Cancel),
        1 => (0..PROMISES).prop_map(Op::Set),
        1 => (0..PROMISES).prop_map(Op::Get),
        1 => Just(Op::Fail),
    ];
    let op = op.prop_recursive(4, 60, 6, |op| {
        let program = || vec(op.clone(), 0..5);
        prop_oneof![
            3 => program().prop_map(Op::Spawn),
            2 => (0..9_u64, program()).prop_map(|(limit, program)| Op::Timeout(limit, program)),
            2 => program().prop_map(Op::Shield),
            2 => vec(program(), 0..4).prop_map(Op::Group),
            2 => op.clone(),
        ]
    });
    vec(op, 1..10)
}

/// A task that is queued when its group cancels it yields next in a shield.
#[test]
fn f3_a_cancelled_task_that_is_queued_keeps_its_place() {
    let program = [Op::Group(vec![
        vec![Op::Yield, Op::Fail],
        vec![Op::Timeout(0, vec![Op::Yield, Op::Spawn(vec![])]), Op::Shield(vec![Op::Yield])],
    ])];
    assert_eq!(trace(&program), Twin::run(&program, PROMISES));
}

/// A task that waits is cancelled and then woken, and yields next in a shield.
#[test]
fn f3_a_cancelled_task_that_is_woken_keeps_its_place() {
    let waiting = vec![Op::Get(0), Op::Spawn(vec![]), Op::Shield(vec![Op::Yield])];
    let program = [Op::Spawn(waiting), Op::Yield, Op::Yield, Op::Cancel(0), Op::Set(0)];
    assert_eq!(trace(&program), Twin::run(&program, PROMISES));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f6_random_tasks_match_the_naive_twin(program in program()) {
        prop_assert_eq!(trace(&program), Twin::run(&program, PROMISES));
    }
}

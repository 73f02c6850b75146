//! [`CurrentLoop`]: the running loop without the type of its state.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::time::Instant;

use super::current;
use super::join::Task;
use super::tasks::Tasks;
use crate::error::Result;
use crate::handle::Handle;

/// Returns the loop that runs on this thread.
///
/// # Errors
///
/// [`Error::NoLoop`](crate::Error::NoLoop) if no loop is running.
///
/// ```
/// assert!(mainspring::current_loop().is_err());
/// let mut el = mainspring::EventLoop::new()?;
/// el.run_until_complete(async { assert!(mainspring::current_loop().is_ok()) })?;
/// # Ok::<(), mainspring::Error>(())
/// ```
pub fn current_loop() -> Result<CurrentLoop> {
    let tasks = current::running_for("mainspring::current_loop")?;
    Ok(CurrentLoop { tasks })
}

/// The loop that runs on this thread, as [`current_loop`] returns it.
///
/// It gives no access to the loop's state, because the type of the state is not known here. A task
/// that needs the state captures a [`LoopHandle`](crate::LoopHandle).
///
/// ```
/// let mut el = mainspring::EventLoop::new()?;
/// el.run_until_complete(async {
///     let el = mainspring::current_loop().unwrap();
///     assert!(el.task().is_some());
///     assert_eq!(el.spawn(async { 42 }).await.unwrap(), 42);
/// })?;
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Clone)]
pub struct CurrentLoop {
    tasks: Rc<Tasks>,
}

impl CurrentLoop {
    /// Spawns a task. See [`LoopHandle::spawn`](crate::LoopHandle::spawn).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Task::new(&self.tasks, self.tasks.spawn(future, Location::caller()))
    }

    /// Returns the task that is being polled, or `None` in a callback.
    pub fn task(&self) -> Option<Handle> {
        self.tasks.current()
    }

    /// Reads the loop's clock.
    pub fn now(&self) -> Instant {
        self.tasks.core.timeline.now()
    }

    /// Ends the run after the current batch. See [`LoopHandle::stop`](crate::LoopHandle::stop).
    pub fn stop(&self) {
        self.tasks.core.agenda.stop();
    }
}

impl fmt::Debug for CurrentLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurrentLoop(loop {})", self.tasks.loop_id())
    }
}

//! A thread that stops a loop.

use std::thread::{self, JoinHandle};

use mainspring::{EventLoop, Remote};

/// Runs `work` in another thread. The loop is stopped when `work` has ended, even by a panic:
/// otherwise a failed assertion in the thread would let `run_forever` wait forever.
pub fn stop_after<S, T>(
    el: &EventLoop<S>,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T>
where
    S: 'static,
    T: Send + 'static,
{
    let end = StopsOnDrop(el.remote());
    thread::spawn(move || {
        let _end = end;
        work()
    })
}

struct StopsOnDrop<S: 'static>(Remote<S>);

impl<S: 'static> Drop for StopsOnDrop<S> {
    fn drop(&mut self) {
        let _ = self.0.stop();
    }
}

//! The daemon of the page that waits for something that never comes.

use mainspring::testing::SimClock;
use mainspring::{EventLoop, Result, Signal, promise};

pub fn run(clock: &SimClock) -> Result<()> {
    let mut el = EventLoop::builder().clock(clock.clone()).await_lines(true).build()?;
    let dumps = el.dump_on(Signal::QUIT)?;
    el.set_name(dumps, "dumps");
    let (left, left_set) = promise();
    let (right, right_set) = promise();
    let task = el.spawn(async move {
        let _ = right_set.await;
        left.set_result(());
    });
    task.named("left").detach();
    let task = el.spawn(async move {
        let _ = left_set.await;
        right.set_result(());
    });
    task.named("right").detach();
    el.call_soon(|_, _| eprintln!("counter: started"));
    el.run()
}

//! A daemon that shows where its tasks wait.
//!
//! `cargo run --example dump` waits for `kill -QUIT`, which prints a table of everything registered
//! in the loop: each task with the line of its `.await`. With `--demo` it sends the signal to
//! itself. With `--stalled` its tasks wait for each other, and `run` returns an error instead of
//! hanging.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use mainspring::{EventLoop, Result, Signal, promise, sleep, timeout};

/// A task that would be hard to find without its line.
async fn session() -> Result<()> {
    timeout(Duration::from_secs(3600), sleep(Duration::from_secs(1800))).await
}

/// Shows the table on each SIGQUIT.
fn serve(demo: bool) -> Result<()> {
    let mut el = EventLoop::builder().await_lines(true).build()?;
    el.dump_on(Signal::QUIT)?;
    el.spawn(session()).named("session of a client").detach();
    if demo {
        el.call_later(Duration::from_millis(20), |el, ()| {
            Signal::QUIT.raise()?;
            el.call_later(Duration::from_millis(40), |el, ()| el.stop());
            Ok::<(), mainspring::Error>(())
        });
    }
    el.run_forever()
}

/// Runs two tasks, each of which waits for the other one.
fn stall() -> Result<()> {
    let mut el = EventLoop::builder().await_lines(true).build()?;
    let (promise, promised) = promise::<()>();
    let first = el.spawn(async move {
        promised.await?;
        Ok::<(), mainspring::Error>(())
    });
    let first = first.named("first");
    let second = el.spawn(async move {
        first.await??;
        promise.set_result(());
        Ok::<(), mainspring::Error>(())
    });
    second.named("second").detach();
    el.run()
}

fn main() -> ExitCode {
    let ended = match env::args().nth(1).as_deref() {
        None => serve(false),
        Some("--demo") => serve(true),
        Some("--stalled") => stall(),
        Some(_) => {
            eprintln!("usage: dump [--demo | --stalled]");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dump: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

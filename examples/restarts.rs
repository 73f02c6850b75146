//! Restarts: services as tasks in a task group, each with a time limit, restarted when they fail.
//!
//! ```text
//! cargo run --example restarts [-- --with-failing]
//! ```
//!
//! Three services do one piece of work each. One succeeds, one panics in its first attempt, and one
//! hangs in its first two. With `--with-failing` there is a fourth that cannot succeed. When its
//! supervisor gives up, the group cancels the others, and the program prints the reason and fails.

use std::env;
use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use mainspring::{Error, EventLoop, Result, TaskGroup, sleep, timeout};

/// Time limit of an attempt, number of attempts, and the pause after the first attempt, which
/// grows.
const LIMIT: Duration = Duration::from_millis(300);
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// Work of a service in one attempt.
async fn serve(name: &'static str, attempt: u32) -> Result<()> {
    sleep(Duration::from_millis(5)).await;
    match (name, attempt) {
        ("panicking", 1) => panic!("on purpose"),
        ("hanging", 1 | 2) => pending().await,
        ("failing", _) => Err(Error::other("always fails")),
        _ => Ok(()),
    }
}

/// Restarts a service until it succeeds or its attempts are used up.
async fn supervise(name: &'static str) -> Result<()> {
    for attempt in 1..=ATTEMPTS {
        match attempt_once(name, attempt).await {
            Ok(()) => {
                println!("{name}: done in attempt {attempt}");
                return Ok(());
            }
            Err(error) => println!("{name}: attempt {attempt}: {}", error.chain()),
        }
        if attempt < ATTEMPTS {
            sleep(PAUSE * attempt).await;
        }
    }
    Err(Error::other(format!("{name}: given up after {ATTEMPTS} attempts")))
}

/// Runs the service as a child task, so that its panic is an error here. The child has ended when
/// this returns, even if this is cancelled.
async fn attempt_once(name: &'static str, attempt: u32) -> Result<()> {
    let child = TaskGroup::run(async |group| {
        group.spawn(serve(name, attempt))?.named(name);
        Ok(())
    });
    Ok(timeout(LIMIT, child).await??)
}

fn run(names: &[&'static str]) -> Result<()> {
    let mut el = EventLoop::new()?;
    let outcome = el.run_until_complete(TaskGroup::run(async |group| {
        for name in names {
            group.spawn(supervise(name))?.named(name);
        }
        Ok(())
    }))?;
    Ok(outcome?)
}

fn main() -> ExitCode {
    // The supervisor prints the panics of its services itself.
    std::panic::set_hook(Box::new(|_| {}));
    let names = match env::args().nth(1).as_deref() {
        None => &["good", "panicking", "hanging"][..],
        Some("--with-failing") => &["good", "panicking", "hanging", "failing"],
        Some(other) => {
            eprintln!("restarts: unexpected argument {other:?}; usage: restarts [--with-failing]");
            return ExitCode::from(2);
        }
    };
    match run(names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("restarts: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

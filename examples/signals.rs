//! Signals as ordinary callbacks, and a second Ctrl-C that always works.
//!
//! `cargo run --example signals` prints its pid and waits for signals. HUP and USR1 print a line;
//! TERM and INT (Ctrl-C) start the shutdown. With `--demo` it sends itself the signals and ends.
//!
//! A second Ctrl-C ends the process at once. No code is needed for that: the first one removes its
//! own handler, and the loop restores the default disposition. So the kernel ends the process even
//! while a callback hangs.

use std::env;
use std::process::{self, ExitCode};
use std::time::Duration;

use mainspring::{EventLoop, Handle, LoopHandle, Signal};

struct Daemon {
    /// Duration of the shutdown.
    grace: Duration,
    interrupt: Option<Handle>,
    reloads: u32,
}

fn run(demo: bool) -> mainspring::Result<()> {
    let grace = if demo { Duration::from_millis(50) } else { Duration::from_secs(10) };
    let mut el = EventLoop::with_state(Daemon { grace, interrupt: None, reloads: 0 })?;

    el.add_signal_handler(Signal::HUP, |_, daemon| {
        daemon.reloads += 1;
        println!("HUP: reading the configuration again");
    })?;
    el.add_signal_handler(Signal::USR1, |_, daemon| {
        println!("USR1: {} reloads so far", daemon.reloads);
    })?;
    el.add_signal_handler(Signal::TERM, |el, daemon| shut_down(el, daemon, "TERM"))?;
    let interrupt =
        el.add_signal_handler(Signal::INT, |el, daemon| shut_down(el, daemon, "INT"))?;
    el.state_mut().interrupt = Some(interrupt);

    println!("pid {}", process::id());
    if demo {
        raise_in_turn(&el);
    }
    el.run_forever()?;
    println!("shut down");
    Ok(())
}

/// Handles INT and TERM: removes the handler of INT and starts the shutdown.
fn shut_down(el: &LoopHandle<Daemon>, daemon: &mut Daemon, signal: &str) {
    let Some(interrupt) = daemon.interrupt.take() else {
        return println!("{signal}: already shutting down");
    };
    el.cancel(interrupt);
    println!("{signal}: shutting down, a second Ctrl-C ends the process");
    el.call_later(daemon.grace, |el, _| el.stop());
}

fn raise_in_turn(el: &LoopHandle<Daemon>) {
    let turns: [&[Signal]; 3] = [&[Signal::HUP], &[Signal::USR1], &[Signal::INT, Signal::TERM]];
    for (turn, signals) in (1..).zip(turns) {
        el.call_later(turn * Duration::from_millis(20), move |_, _| {
            signals.iter().try_for_each(|signal| Ok::<(), mainspring::Error>(signal.raise()?))
        });
    }
}

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    let demo = arguments.next_if(|argument| argument == "--demo").is_some();
    if let Some(argument) = arguments.next() {
        eprintln!("signals: unexpected argument {argument:?}");
        return ExitCode::from(2);
    }
    match run(demo) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signals: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

//! A daemon with a black box: when it starts after a crash, it prints the turn that ran last.
//!
//! `cargo run --example black_box -- /run/user/1000/tape` works until TERM or INT. A regular exit
//! removes the tape file, so a tape that exists at the start is left from a crash. USR1 makes a
//! callback hang, like a bug; only `kill -9` ends it. Until then `mainspring ps
//! /run/user/1000/tape` names the callback.
//!
//! On a tmpfs such as `/run` the file survives until the machine shuts down. Only its owner can
//! read it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, hint, io};

use mainspring::{Error, EventLoop, Recorder, Result, Signal, Tape};

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: black_box FILE");
        return ExitCode::from(2);
    };
    match report_crash(&path).and_then(|()| run(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("black_box: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

/// Prints the end of the tape that a crash has left.
fn report_crash(path: &Path) -> Result<()> {
    let tape = match Tape::open(path) {
        Ok(tape) => tape,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::other(format!("{}: {error}", path.display()))),
    };
    let tape = tape.last(Duration::from_millis(100));
    if let Some(last) = tape.turns().last() {
        println!("process {} crashed in {} {}", tape.process(), last.kind, last.place);
        println!("{}", tape.lanes());
    }
    Ok(())
}

fn run(path: &Path) -> Result<()> {
    // The recorder keeps an earlier tape beside the new one, with `.old` after its name.
    let recorder = Recorder::black_box(path).turns(100_000);
    let mut el = EventLoop::builder().record(recorder).build()?;
    let work = el.call_every(Duration::from_millis(10), |_, _| {})?;
    el.set_name(work, "work");
    el.add_signal_handler(Signal::USR1, |el, _| {
        el.call_soon(|_, _| {
            println!("a callback does not return");
            loop {
                hint::spin_loop();
            }
        });
    })?;
    for signal in [Signal::TERM, Signal::INT] {
        el.add_signal_handler(signal, |el, _| el.stop())?;
    }
    println!("process {} works", std::process::id());
    el.run_forever()?;
    fs::remove_file(path).map_err(Error::from)
}

//! Raw mode ends with its guard and with the process (docs/contract.md, Y3).

use std::io::Read;
use std::os::unix::process::ExitStatusExt;

use mainspring::terminal::{Stdin, Tty};
use mainspring::{EventLoop, Signal, signal};
use nix::sys::termios::Termios;

use super::pty::{Pty, assert_success, has_setsid, is_program};

/// Prints, and waits for a byte.
fn pause(text: &str) -> u8 {
    println!("{text}\r");
    let mut byte = [0];
    (&Stdin::open().unwrap()).read_exact(&mut byte).unwrap();
    byte[0]
}

/// Runs `program` in a session on a terminal until it is in raw mode, and ends it by `end`. Asserts
/// that the attributes are as before.
fn restores(name: &str, program: impl FnOnce(), end: impl FnOnce(&mut Pty, u32) -> Option<i32>) {
    if is_program(name) {
        return program();
    }
    if !has_setsid() {
        return;
    }
    let mut pty = Pty::new();
    let before: Termios = pty.attributes();
    let mut child = pty.start_program(name);
    pty.wait_for("in raw mode");
    assert!(pty.is_raw());
    let signal = end(&mut pty, child.id());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), signal, "{status}");
    assert_eq!(pty.attributes(), before);
}

fn kill(pid: u32, signal: Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    let signal = rustix::process::Signal::from_named_raw(signal.raw()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn y3_a_drop_restores_the_attributes() {
    let program = || {
        let tty = Tty::open().unwrap();
        let raw = tty.raw_mode().unwrap();
        let inner = tty.raw_mode().unwrap();
        drop(inner);
        pause("in raw mode");
        raw.restore().unwrap();
    };
    let end = |pty: &mut Pty, _| {
        pty.type_in("x");
        None
    };
    restores("terminals::raw_mode::y3_a_drop_restores_the_attributes", program, end);
}

#[test]
fn y3_a_panic_restores_the_attributes() {
    let program = || {
        let tty = Tty::open().unwrap();
        let _raw = tty.raw_mode().unwrap();
        pause("in raw mode");
        panic!("on purpose");
    };
    let end = |pty: &mut Pty, _| {
        pty.type_in("x");
        None
    };
    restores("terminals::raw_mode::y3_a_panic_restores_the_attributes", program, end);
}

#[test]
fn y3_exit_restores_the_attributes() {
    let program = || {
        let _raw = Tty::open().unwrap().raw_mode().unwrap();
        pause("in raw mode");
        std::process::exit(0);
    };
    let end = |pty: &mut Pty, _| {
        pty.type_in("x");
        None
    };
    restores("terminals::raw_mode::y3_exit_restores_the_attributes", program, end);
}

fn dies_of(name: &str, fatal: Signal) {
    if is_ignored(fatal) {
        return println!("skipped: this process was started with {fatal} ignored");
    }
    let program = || {
        let _raw = Tty::open().unwrap().raw_mode().unwrap();
        loop {
            pause("in raw mode");
        }
    };
    let end = |_: &mut Pty, pid| {
        kill(pid, fatal);
        Some(fatal.raw())
    };
    restores(name, program, end);
}

/// Returns true if children of this process ignore the signal, as under nohup(1).
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal.raw() - 1)) != 0
}

#[test]
fn y3_term_restores_the_attributes() {
    dies_of("terminals::raw_mode::y3_term_restores_the_attributes", Signal::TERM);
}

#[test]
fn y3_int_restores_the_attributes() {
    dies_of("terminals::raw_mode::y3_int_restores_the_attributes", Signal::INT);
}

#[test]
fn y3_hup_restores_the_attributes() {
    dies_of("terminals::raw_mode::y3_hup_restores_the_attributes", Signal::HUP);
}

#[test]
fn y3_quit_restores_the_attributes() {
    dies_of("terminals::raw_mode::y3_quit_restores_the_attributes", Signal::QUIT);
}

#[test]
fn y3_abrt_restores_the_attributes() {
    dies_of("terminals::raw_mode::y3_abrt_restores_the_attributes", Signal::ABRT);
}

/// A signal that a loop handles neither ends the process nor the raw mode, before and after the
/// guard was made.
#[test]
fn y3_a_handled_signal_does_not_end_the_process() {
    let program = || {
        let mut el = EventLoop::new().unwrap();
        el.run_until_complete(async {
            let mut int = signal(Signal::INT);
            let raw = Tty::open().unwrap().raw_mode().unwrap();
            let mut term = signal(Signal::TERM);
            println!("in raw mode\r");
            for receiver in [&mut int, &mut term] {
                receiver.recv().await.unwrap();
                println!("received\r");
            }
            raw.restore().unwrap();
        })
        .unwrap();
    };
    let end = |pty: &mut Pty, pid| {
        for signal in [Signal::INT, Signal::TERM] {
            kill(pid, signal);
            pty.wait_for("received");
        }
        None
    };
    restores("terminals::raw_mode::y3_a_handled_signal_does_not_end_the_process", program, end);
}

/// Handlers restore the disposition from before the guard, even if a loop has used the signal in
/// between.
#[test]
fn y3_a_signal_after_a_loop_still_restores() {
    let program = || {
        let _raw = Tty::open().unwrap().raw_mode().unwrap();
        let mut el = EventLoop::new().unwrap();
        el.run_until_complete(async {
            let mut term = signal(Signal::TERM);
            Signal::TERM.raise().unwrap();
            term.recv().await.unwrap();
        })
        .unwrap();
        drop(el);
        loop {
            pause("in raw mode");
        }
    };
    let end = |_: &mut Pty, pid| {
        kill(pid, Signal::TERM);
        Some(Signal::TERM.raw())
    };
    restores("terminals::raw_mode::y3_a_signal_after_a_loop_still_restores", program, end);
}

/// A shell stops the job and continues it.
#[test]
fn y3_a_stopped_job_leaves_the_terminal_to_the_shell() {
    let name = "terminals::raw_mode::y3_a_stopped_job_leaves_the_terminal_to_the_shell";
    if is_program(name) {
        let _raw = Tty::open().unwrap().raw_mode().unwrap();
        pause(&format!("pid {} in raw mode", std::process::id()));
        pause("continued");
        return;
    }
    if !has_setsid() {
        return;
    }
    let mut pty = Pty::new();
    let before = pty.attributes();
    let script = "$program; echo the shell; read line; fg; echo the end $?";
    let mut shell = pty.start_shell(name, script);
    let text = pty.wait_for(" in raw mode");
    let pid = text.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(pty.is_raw());
    kill(pid, Signal::TSTP);
    pty.wait_for("the shell");
    assert_eq!(pty.attributes().local_flags, before.local_flags);
    pty.type_in("\n");
    pty.wait_for("program}"); // The shell shows the job that it continues.
    pty.type_in("x");
    pty.wait_for("continued");
    assert!(pty.is_raw());
    pty.type_in("y");
    pty.wait_for("the end 0");
    assert_success(shell.wait().unwrap());
    assert_eq!(pty.attributes(), before);
}

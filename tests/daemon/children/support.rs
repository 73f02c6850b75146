//! Fixtures for children.

use std::process::Command;

use mainspring::{EventLoop, ExitWatchKind, SelectorKind};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, test_kill_process, waitpid};

use crate::support::on_every_selector;

/// Runs `check` on each available selector, with each mechanism that reports the end of processes.
pub fn on_every_watch(mut check: impl FnMut(SelectorKind, ExitWatchKind)) {
    on_every_selector(|selector| {
        for kind in ExitWatchKind::available() {
            println!("with {kind}");
            check(selector, *kind);
        }
    });
}

/// Returns a loop of these kinds.
pub fn event_loop<S>(selector: SelectorKind, kind: ExitWatchKind, state: S) -> EventLoop<S> {
    let builder = EventLoop::builder().selector(selector).exit_watch(kind);
    builder.build_with(state).expect("a loop")
}

/// Returns the command of a shell script.
pub fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Returns a program that runs until it is killed.
pub fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000");
    command
}

/// Starts programs, waits for them, and asserts that each of them succeeds.
pub fn run_programs(el: &mut EventLoop<i32>, count: i32) {
    for _ in 0..count {
        el.spawn_child(Command::new("true"), |_, ends, status| {
            *ends += i32::from(status?.success());
            Ok(())
        })
        .expect("a program");
    }
    el.run().expect("a run");
    assert_eq!(*el.state(), count);
}

/// Returns true if the process is no longer a child of this one, not even a zombie.
pub fn is_reaped(pid: u32) -> bool {
    waitpid(Some(raw(pid)), WaitOptions::NOHANG).err() == Some(Errno::CHILD)
}

/// Returns true if a process has this pid.
pub fn exists(pid: u32) -> bool {
    test_kill_process(raw(pid)).is_ok()
}

/// Takes the status of a child, like code outside of the loop.
pub fn steal_status(pid: u32) {
    let status = waitpid(Some(raw(pid)), WaitOptions::empty()).expect("a child");
    assert!(status.is_some());
}

pub fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid as i32).expect("a process id")
}

//! Tests in their own process, with or without strace(1).

use std::env;
use std::process::{Command, Output};
use std::sync::OnceLock;

use mainspring::Signal;

/// Environment variable with the name of the test that runs in this process.
const CHILD: &str = "MAINSPRING_TEST_ALONE";

/// Runs `check`, the body of the test called `name`, in its own process. There it may count
/// descriptors, lower limits and wait for signals without disturbing other tests.
pub fn alone(name: &str, check: impl FnOnce()) {
    let output = alone_as(name, check, |child| child);
    assert!(
        output.is_none_or(|output| output.status.success()),
        "{name} failed in its own process"
    );
}

/// Runs `check`, the body of the test called `name`, with the default action of each signal. That
/// takes a new process if this one ignores some: after nohup(1), or in the background of a shell.
/// Children inherit ignored signals (execve(2)), and a loop does not change that.
#[allow(dead_code)] // Children are tested in another program.
pub fn with_default_signals(name: &str, check: impl FnOnce()) {
    if ignores_signals() { alone(name, check) } else { check() }
}

/// Returns true if this process ignores a signal that the tests send, according to proc(5).
fn ignores_signals() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let sent = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];
    sent.iter().any(|signal| ignored & 1 << (signal.raw() - 1) != 0)
}

/// Returns the command that runs this test binary, with the default action of each signal.
fn this_binary() -> Command {
    let binary = env::current_exe().unwrap();
    if !ignores_signals() {
        return Command::new(binary);
    }
    let mut command = Command::new("env"); // GNU coreutils 8.31 or later
    command.arg("--default-signal").arg(binary);
    command
}

/// Like [`alone`], but `prepare` may change the command. Returns `None` in the new process. In the
/// old process it prints the output of the new one and returns it.
pub fn alone_as(
    name: &str,
    check: impl FnOnce(),
    prepare: impl FnOnce(Command) -> Command,
) -> Option<Output> {
    if env::var(CHILD).as_deref() == Ok(name) {
        check();
        return None;
    }
    let mut child = this_binary();
    child.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    let output = prepare(child).output().expect("this test binary can run again");
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    print!("{}", texts[0]);
    eprint!("{}", texts[1]);
    // The new process succeeds, too, if it finds nothing to run.
    assert!(!texts.iter().any(|text| text.contains("running 0 tests")), "no test is called {name}");
    Some(output)
}

/// Like [`alone`], but system calls fail as given in `fault`: "CALLS:FAULT", as in the option
/// `inject` of strace(1). Without strace it prints a note and does nothing.
pub fn alone_with_fault(name: &str, fault: &str, check: impl FnOnce()) {
    if !has_strace() {
        return;
    }
    let calls = fault.split_once(':').expect("CALLS:FAULT").0;
    let (trace, inject) = (format!("trace={calls}"), format!("inject={fault}"));
    let arguments = ["-o", "/dev/null", "-e", &*trace, "-e", &*inject];
    let output = alone_as(name, check, |child| under_strace(&child, &arguments));
    assert!(output.is_none_or(|output| output.status.success()), "{name} failed with {fault}");
}

/// Returns true if strace(1) is installed and may trace: a container may forbid ptrace(2), and a
/// traced process cannot be traced again. True in the process of [`alone_as`], which may be traced.
/// Prints a note otherwise.
pub fn has_strace() -> bool {
    static TRACES: OnceLock<bool> = OnceLock::new();
    let traces = *TRACES.get_or_init(|| {
        if env::var_os(CHILD).is_some() {
            return true;
        }
        let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
        traced.is_ok_and(|output| output.status.success())
    });
    if !traces {
        println!("skipped: strace is not installed, or may not trace");
    }
    traces
}

/// Returns the command that runs `child` under strace(1), with these arguments of strace.
pub fn under_strace(child: &Command, arguments: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq"]).args(arguments).arg(child.get_program()).args(child.get_args());
    strace.envs(child.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace
}

//! Tests in their own process, with or without strace(1).

use std::env;
use std::process::{Command, Output};

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
    let mut child = Command::new(env::current_exe().unwrap());
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

/// Returns true if strace(1) is installed. Prints a note otherwise.
pub fn has_strace() -> bool {
    let is_installed = Command::new("strace").arg("-V").output().is_ok();
    if !is_installed {
        println!("skipped: strace is not installed");
    }
    is_installed
}

/// Returns the command that runs `child` under strace(1), with these arguments of strace.
pub fn under_strace(child: &Command, arguments: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq"]).args(arguments).arg(child.get_program()).args(child.get_args());
    strace.envs(child.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace
}

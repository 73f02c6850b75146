//! Signals where pids are reused at once (docs/contract.md, C4 and X5).

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::process::{self, Command};

use mainspring::{EventLoop, ExitWatchKind, Signal};

use crate::children::support::{event_loop, exists, sleeper};
use crate::support::on_every_selector;

/// Set in the process that runs in the namespace.
const INSIDE: &str = "MAINSPRING_SMALL_PID_SPACE";

/// Highest pid in the namespace; the kernel allows no less than 301.
const PID_MAX: &str = "320";

#[test]
fn c4_x5_a_reused_pid_is_never_signalled() {
    if env::var_os(INSIDE).is_some() {
        return inside();
    }
    let test = env::current_exe().unwrap();
    let name = "children::small_pid_space::c4_x5_a_reused_pid_is_never_signalled";
    let script = format!("echo {PID_MAX} > /proc/sys/kernel/pid_max && exec \"$0\" \"$@\"");
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]).arg(test);
    unshare.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    let Ok(output) = unshare.output() else { return println!("skipped: no unshare(1)") };
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let is_refused = !text.contains("running 1 test");
    if is_refused {
        let reason = String::from_utf8_lossy(&output.stderr);
        return println!("skipped: no pid namespace with its own limit: {}", reason.trim());
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn inside() {
    // Before Linux 6.14 the limit is that of the whole system, and is not changed here.
    assert_eq!(fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim(), PID_MAX);
    use_up_low_pids();
    on_every_selector(|selector| {
        for kind in ExitWatchKind::available() {
            let mut el = event_loop(selector, *kind, ());
            reuse_all_pids(&mut el);
            println!("{selector} with {kind}: all pids were reused");
        }
    });
}

/// Pids below this are assigned only once, when the namespace is new.
const FIRST_REUSED: u32 = 300;

/// Uses up the pids that are assigned only once.
fn use_up_low_pids() {
    loop {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        if child.id() >= FIRST_REUSED {
            return;
        }
    }
}

/// Signals children after their end, while other processes have their pids.
fn reuse_all_pids(el: &mut EventLoop) {
    // Their `Child`s are kept.
    let ended: Vec<_> = (0..10)
        .map(|_| el.spawn_child(Command::new("/bin/true"), |_, (), _| {}).unwrap())
        .collect();
    el.run().unwrap();
    let pids: BTreeSet<u32> = ended.iter().map(mainspring::process::Child::id).collect();
    // Processes of other code are started until they have taken all the pids.
    let mut strangers: Vec<process::Child> = Vec::new();
    let mut taken = BTreeSet::new();
    let mut rounds = 0;
    while taken.len() < pids.len() {
        rounds += 1;
        assert!(rounds < 10_000, "{} of {} pids were reused", taken.len(), pids.len());
        let mut stranger = sleeper().spawn().unwrap();
        if pids.contains(&stranger.id()) {
            taken.insert(stranger.id());
            strangers.push(stranger);
        } else {
            stranger.kill().unwrap();
            stranger.wait().unwrap();
        }
    }
    for child in ended {
        assert!(exists(child.id()), "a stranger has the pid");
        assert!(child.signal(Signal::KILL).is_err());
        assert!(child.kill_after(std::time::Duration::ZERO).is_err());
        assert!(child.kill_group_after(std::time::Duration::ZERO).is_err());
        drop(child.kill_on_drop(true));
    }
    el.run_until_stalled().unwrap();
    for mut stranger in strangers {
        let ended = stranger.try_wait().unwrap();
        assert!(ended.is_none(), "process {} of {} was hit", stranger.id(), process::id());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

//! The state in which a child begins (docs/contract.md, C9 and X6).

use std::process::{Command, Stdio};

use mainspring::process::Child;
use mainspring::{ExitWatchKind, Signal};
use nix::sys::signal::{SigSet, SigmaskHow, Signal as NixSignal, pthread_sigmask};

use crate::children::support::{event_loop, on_every_watch, shell};
use crate::support::process::alone;

/// Lists the descriptors of a child. There is no shell in between, which would change its state.
const LIST: [&str; 2] = ["ls", "/proc/self/fd"];

/// Returns what a child prints, started by a thread that blocks signals.
fn output_of(
    selector: mainspring::SelectorKind,
    kind: ExitWatchKind,
    program: [&'static str; 2],
    extra: usize,
) -> String {
    let mut el = event_loop(selector, kind, ());
    el.add_signal_handler(Signal::USR2, |_, ()| {}).unwrap();
    let output = el.run_until_complete(async move {
        // Their descriptors exist when the last one starts.
        let others: Vec<_> = (0..extra)
            .map(|_| Child::spawn(shell("read line").stdin(Stdio::piped())).unwrap())
            .collect();
        let mut command = Command::new(program[0]);
        command.arg(program[1]).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = Child::spawn(command.stderr(Stdio::null()))?;
        let output = child.output_with_limit(1 << 20).await?;
        for mut other in others {
            drop(other.take_stdin());
            other.wait().await?;
        }
        Ok::<_, mainspring::Error>(String::from_utf8(output.stdout).unwrap())
    });
    output.unwrap().unwrap()
}

#[test]
fn c9_x6_a_child_begins_without_blocked_signals_and_with_sigpipe() {
    let mut blocked = SigSet::empty();
    blocked.add(NixSignal::SIGUSR1);
    blocked.add(NixSignal::SIGTERM);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).unwrap();
    on_every_watch(|selector, kind| {
        let status = output_of(selector, kind, ["cat", "/proc/self/status"], 0);
        if status.is_empty() {
            return println!("skipped: no procfs");
        }
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(field("SigBlk:"), 0, "{status}");
        let pipe = 1 << (Signal::PIPE.raw() - 1);
        assert_eq!(field("SigIgn:") & pipe, 0, "{status}");
    });
}

#[test]
fn c9_x6_a_child_inherits_no_descriptor_of_the_loop_or_of_other_children() {
    let name = "children::inheritance::c9_x6_a_child_inherits_no_descriptor_of_the_loop_or_of_other_children";
    alone(name, || {
        // Those that this test itself was started with.
        let mut list = Command::new(LIST[0]);
        let before = list.arg(LIST[1]).stdin(Stdio::null()).output().unwrap();
        let before = String::from_utf8(before.stdout).unwrap();
        on_every_watch(|selector, kind| {
            assert_eq!(output_of(selector, kind, LIST, 3), before);
        });
    });
}

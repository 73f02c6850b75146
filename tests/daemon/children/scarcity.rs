//! Without descriptors, and in a forked child (docs/contract.md, C13 and C15).

use std::fs::File;
use std::process::Command;

use mainspring::Error;

use crate::children::support::{event_loop, is_reaped, on_every_watch, run_programs, shell};
use crate::support::descriptors::raise_limit;
use crate::support::process::{alone, alone_with_fault};

/// Fills the table of descriptors of this process.
fn fill() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn c13_a_child_without_a_descriptor_for_its_watch_is_not_lost() {
    alone("children::scarcity::c13_a_child_without_a_descriptor_for_its_watch_is_not_lost", || {
        on_every_watch(|selector, kind| {
            let mut el = event_loop(selector, kind, Vec::new());
            // The first child opens what the loop needs.
            el.spawn_child(Command::new("true"), |_, codes, status| Ok(codes.push(status?.code())))
                .unwrap();
            el.run().unwrap();
            let mut filled = fill();
            // std needs two for its own pipe, or none with posix_spawn; the pidfd gets none.
            let mut spare = 0;
            let child = loop {
                let child = el.spawn_child(shell("exit 5"), |_, codes, status| {
                    codes.push(status?.code());
                    Ok(())
                });
                match child {
                    Ok(child) => break child,
                    Err(error) => assert!(matches!(error, Error::Spawn { .. }), "{error:?}"),
                }
                drop(filled.pop());
                spare += 1;
            };
            println!("started with {spare} free descriptors");
            el.run().unwrap();
            assert_eq!(*el.state(), [Some(0), Some(5)]);
            assert!(is_reaped(child.id()));
        });
    });
}

#[test]
fn c13_a_loop_without_a_descriptor_starts_no_child() {
    alone("children::scarcity::c13_a_loop_without_a_descriptor_starts_no_child", || {
        on_every_watch(|selector, kind| {
            let el = event_loop(selector, kind, ());
            let _filled = fill();
            let error = el.spawn_child(Command::new("true"), |_, (), _| {}).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Create { part: "watch of child processes" | "wakeup for signals", .. }
                ),
                "{error:?}"
            );
        });
    });
}

#[test]
fn c13_a_pidfd_that_the_kernel_refuses_leaves_a_timer() {
    let name = "children::scarcity::c13_a_pidfd_that_the_kernel_refuses_leaves_a_timer";
    // Two calls of the probe and of the first child succeed.
    alone_with_fault(name, "pidfd_open:error=EMFILE:when=2+", || {
        let _ = raise_limit(2048);
        on_every_watch(|selector, kind| {
            let mut el = event_loop(selector, kind, 0);
            run_programs(&mut el, 3);
        });
    });
}

#[test]
fn c2_a_kernel_without_pidfds_falls_back_to_signals() {
    let name = "children::scarcity::c2_a_kernel_without_pidfds_falls_back_to_signals";
    for errno in ["ENOSYS", "EPERM"] {
        alone_with_fault(name, &format!("pidfd_open:error={errno}"), || {
            on_every_watch(|selector, kind| {
                assert_ne!(kind.to_string(), "pidfd");
                let mut el = event_loop(selector, kind, 0);
                el.spawn_child(Command::new("true"), |_, ends, _| *ends += 1).unwrap();
                el.run().unwrap();
                assert_eq!(*el.state(), 1);
            });
        });
    }
}

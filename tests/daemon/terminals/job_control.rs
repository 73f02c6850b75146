//! A process in the background is not stopped (docs/contract.md, Y4).

use std::io::{self, Read};

use mainspring::EventLoop;
use mainspring::terminal::{Stdin, Tty};

use super::pty::{Pty, assert_success, has_setsid, is_program};

#[test]
fn y4_a_background_process_gets_errors_and_runs_on() {
    let name = "terminals::job_control::y4_a_background_process_gets_errors_and_runs_on";
    if is_program(name) {
        let tty = Tty::open().unwrap();
        assert!(tty.is_background());
        let refused = tty.raw_mode().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        println!("{}", refused.chain());
        let mut el = EventLoop::new().unwrap();
        let read = el.run_until_complete(async {
            let stdin = Stdin::open().unwrap().into_io().unwrap();
            stdin.read(&mut [0; 8]).await
        });
        let refused = read.unwrap().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!((&Stdin::open().unwrap()).read(&mut [0; 8]).is_err());
        println!("runs on");
        return;
    }
    if !has_setsid() {
        return;
    }
    let mut pty = Pty::new();
    let before = pty.attributes();
    // A shell connects standard input of a background job to `/dev/null` unless it is redirected.
    let mut shell = pty.start_shell(name, "$program </dev/tty & wait $!; echo the end $?");
    pty.wait_for("cannot make raw fd");
    pty.wait_for("the process is in the background of its terminal");
    pty.type_in("typed\n");
    pty.wait_for("runs on");
    pty.wait_for("the end 0");
    assert_success(shell.wait().unwrap());
    assert_eq!(pty.attributes(), before);
}

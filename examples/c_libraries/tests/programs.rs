//! The programs as their users run them, against real servers where these are installed.
//!
//! `cargo test -p c_libraries -- --nocapture` prints which of them were skipped.

#[path = "../../ecosystem/tests/servers/mod.rs"]
mod servers;

use std::process::{Command, Output};

use servers::{Server, error_line, lines, run};

fn libpq(arguments: &[&str]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_libpq")).args(arguments))
}

fn hiredis(arguments: &[&str]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_hiredis")).args(arguments))
}

/// Returns the folder of the server's socket, which libpq calls its host.
fn folder_of(server: &Server) -> String {
    server.socket.parent().unwrap().display().to_string()
}

/// Returns true if the program was compiled without its library. Prints that.
fn is_skipped(output: Output) -> bool {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_skipped = text.starts_with("skipped: ");
    if is_skipped {
        print!("{text}");
    }
    is_skipped
}

#[test]
fn libpq_waits_while_the_loop_runs() {
    if is_skipped(libpq(&[])) {
        return;
    }
    let Some(server) = Server::postgres() else { return };
    let folder = folder_of(&server);
    let settings = format!("host={folder} user={} dbname=postgres", server.user);
    let printed = lines(libpq(&[&settings]));
    assert_eq!(printed, ["5000000 bytes of rows", "the timer ticked meanwhile: true"]);
    assert_eq!(lines(libpq(&[&settings, "SELECT 1; SELECT 2"])), ["2"]);

    let error = error_line(libpq(&[&settings, "SELECT nothing"]));
    assert!(error.contains("column \"nothing\" does not exist"), "{error}");
}

/// libpq tries the first host, closes its socket and opens another one, which gets the same number.
#[test]
fn a_socket_number_that_is_used_again_is_watched_again() {
    if is_skipped(libpq(&[])) {
        return;
    }
    let Some(server) = Server::postgres() else { return };
    let hosts = format!("127.0.0.1,127.0.0.1,{}", folder_of(&server));
    let settings = format!("host={hosts} port=1,1,5432 user={} dbname=postgres", server.user);
    for selector in mainspring::SelectorKind::available() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_libpq"));
        command.args([&*settings, "SELECT 42"]).env("MAINSPRING_SELECTOR", selector.to_string());
        assert_eq!(lines(run(&mut command)), ["42"], "{selector}");
    }
}

#[test]
fn hiredis_sets_the_promises_of_its_replies() {
    if is_skipped(hiredis(&[])) {
        return;
    }
    let Some(server) = Server::redis() else { return };
    let socket = server.socket.to_str().unwrap();
    let limit = "a list without elements: the time limit of 100ms expired";
    assert_eq!(lines(hiredis(&[socket])), ["last of 100 replies: Integer(100)", limit]);
    assert_eq!(lines(hiredis(&[socket, "GET", "visits"])), ["Text(\"100\")"]);

    let error = error_line(hiredis(&[socket, "GET"]));
    assert!(error.contains("wrong number of arguments"), "{error}");
    let error = error_line(hiredis(&[socket, "SHUTDOWN", "NOSAVE"]));
    assert!(error.contains("Server closed the connection"), "{error}");
    let error = error_line(hiredis(&["/nowhere/socket", "GET", "visits"]));
    assert!(error.contains("No such file or directory"), "{error}");
}

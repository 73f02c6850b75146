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

#[cfg(hiredis)]
mod library {
    use std::cell::RefCell;
    use std::ffi::CString;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    use c_libraries::hiredis::Redis;
    use mainspring::EventLoop;

    use crate::servers::Server;

    thread_local!(static REDIS: RefCell<Option<Redis>> = const { RefCell::new(None) });

    /// A waker that runs code of the user at once.
    struct DropsRedis;

    impl Wake for DropsRedis {
        fn wake(self: Arc<Self>) {
            drop(REDIS.take());
        }
    }

    /// The promises are set between the calls of hiredis, so a waker may end the connection.
    #[test]
    fn a_connection_ends_while_its_watcher_runs() {
        let Some(server) = Server::redis() else { return };
        let path = CString::new(server.socket.to_str().unwrap()).unwrap();
        let mut el = EventLoop::new().unwrap();
        let redis = Redis::connect(el.handle(), &path).unwrap();
        assert!(redis.command(&[]).is_err(), "hiredis would read beyond the end of the command");
        let pong = pin!(redis.command(&["PING"]).unwrap());
        let waiting = redis.command(&["BLPOP", "empty", "0"]).unwrap();
        REDIS.set(Some(redis));
        assert!(pong.poll(&mut Context::from_waker(&Arc::new(DropsRedis).into())).is_pending());
        let error = el.run_until_complete(waiting).unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the connection is closed");
        el.run().unwrap(); // Nothing is watched any longer.

        let lost = Redis::connect(el.handle(), &path).unwrap().command(&["PING"]).unwrap();
        el.run_until_complete(lost).unwrap().unwrap_err();
        el.run().unwrap();

        let redis = Redis::connect(el.handle(), &path).unwrap();
        let shutdown = redis.command(&["SHUTDOWN", "NOSAVE"]).unwrap();
        el.run_until_complete(shutdown).unwrap().unwrap_err();
        el.run().unwrap();
        assert!(redis.command(&["PING"]).is_err(), "the server has closed the connection");
    }
}

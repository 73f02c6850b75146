//! Sizes of a window, and the end of a terminal (docs/contract.md, Y5 and Y6).

use std::process::exit;

use mainspring::terminal::{Stdin, Tty, WindowSize};
use mainspring::{EventLoop, Signal, sleep, spawn};
use rustix::termios::{Winsize, tcsetwinsize};

use super::pty::{Pty, assert_success, has_setsid, is_program};
use crate::support::on_every_selector;

fn resize(pty: &Pty, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(pty.master(), size).unwrap();
}

fn show(who: &str, size: WindowSize) {
    println!("{who} {} x {}", size.rows, size.columns);
}

#[test]
fn y5_a_new_window_size_is_an_event() {
    let name = "terminals::window::y5_a_new_window_size_is_an_event";
    if is_program(name) {
        let mut el = EventLoop::new().unwrap();
        let tty = Tty::open().unwrap();
        show("first", tty.window_size().unwrap());
        tty.on_resize(&el, |_, (), size| show("callback", size)).unwrap();
        el.run_until_complete(async move {
            let mut sizes = tty.size_changes().unwrap();
            println!("waiting");
            for _ in 0..2 {
                show("task", sizes.next().await.unwrap());
            }
        })
        .unwrap();
        return;
    }
    if !has_setsid() {
        return;
    }
    let mut pty = Pty::new();
    resize(&pty, 24, 80);
    let mut child = pty.start_program(name);
    pty.wait_for("first 24 x 80");
    pty.wait_for("waiting");
    resize(&pty, 25, 132);
    pty.wait_for("callback 25 x 132");
    pty.wait_for("task 25 x 132");
    resize(&pty, 1, 2);
    pty.wait_for("task 1 x 2");
    assert_success(child.wait().unwrap());
}

/// The end of a pseudo terminal without a session: EIO of Linux, 0 elsewhere.
#[test]
fn y6_the_end_of_a_terminal_is_an_end() {
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        let mut pty = Pty::new();
        let tty = Tty::new(pty.slave.try_clone().unwrap()).unwrap();
        let counts = el.run_until_complete(async move {
            let tty = tty.into_io().unwrap();
            pty.type_in("one\n");
            let first = tty.read(&mut [0; 16]).await.unwrap();
            let reading = spawn(async move { tty.read(&mut [0; 16]).await.unwrap() });
            sleep(std::time::Duration::ZERO).await;
            pty.hang_up();
            (first, reading.await.unwrap())
        });
        assert_eq!(counts.unwrap(), (4, 0));
    });
}

/// A callback sees the end too.
#[test]
fn y6_a_callback_reads_the_end_of_a_terminal() {
    use std::io::Read;
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build_with(Vec::new()).unwrap();
        let mut pty = Pty::new();
        let tty = Tty::new(pty.slave.try_clone().unwrap()).unwrap();
        el.add_reader(tty, |_, counts: &mut Vec<usize>, tty| {
            counts.push(tty.read(&mut [0; 16])?);
            if counts.last() == Some(&0) {
                tty.cancel();
            }
            Ok(())
        })
        .unwrap();
        pty.type_in("one\n");
        el.tick(None).unwrap();
        pty.hang_up();
        el.run().unwrap();
        assert_eq!(*el.state(), [4, 0]);
    });
}

/// A hang-up of the controlling terminal: SIGHUP, and the end of the input.
#[test]
fn y6_a_hang_up_is_an_end() {
    let name = "terminals::window::y6_a_hang_up_is_an_end";
    if is_program(name) {
        let mut el = EventLoop::new().unwrap();
        let read = el.run_until_complete(async {
            let mut hang_up = mainspring::signal(Signal::HUP);
            let stdin = Stdin::open().unwrap().into_io().unwrap();
            println!("waiting");
            let count = stdin.read(&mut [0; 8]).await;
            hang_up.recv().await.unwrap();
            count
        });
        exit(if matches!(read, Ok(Ok(0))) { 7 } else { 8 });
    }
    if !has_setsid() {
        return;
    }
    let mut pty = Pty::new();
    let mut child = pty.start_program(name);
    pty.wait_for("waiting");
    pty.hang_up();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

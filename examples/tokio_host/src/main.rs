//! The loop inside tokio's runtime, on one thread.
//!
//! `cargo run -p tokio_host` ends without further input. A socket receives 100 datagrams at once,
//! of which the loop reads one in each tick. A thread sends to the loop, and a tokio task runs in
//! between.
//!
//! `AsyncFd` reports an edge once, when the loop's descriptor becomes readable. So [`drive`] keeps
//! the readiness until a tick returns 0.

use std::io;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use mainspring::{Error, EventLoop, PollFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout_at};

const DATAGRAMS: u32 = 100;

/// Runs the loop until nothing is left in it, like `EventLoop::run`.
async fn drive(el: &mut EventLoop<u32>) -> mainspring::Result<()> {
    let problem = "this selector has no descriptor to wait for; epoll and kqueue have one";
    let fd = el.poll_fd().ok_or_else(|| Error::other(problem))?;
    // A `PollFd` keeps the same open descriptor for its whole life, which is all that tokio
    // requires.
    #[expect(deprecated, reason = "it does not require a source that keeps its descriptor")]
    let fd: AsyncFd<PollFd> = AsyncFd::with_interest(fd, Interest::READABLE)?;
    while el.is_alive() && !el.is_stopping() {
        let ready = match el.next_deadline() {
            Some(deadline) => {
                let readable = timeout_at(Instant::from_std(deadline), fd.readable()).await;
                readable.ok().transpose()?
            }
            None => Some(fd.readable().await?),
        };
        let ran = el.tick(Some(Duration::ZERO))?;
        if let Some(mut ready) = ready.filter(|_| ran == 0) {
            ready.clear_ready();
        }
    }
    Ok(())
}

/// Returns a loop that ends when it has read all datagrams and the thread is done.
fn embedded_loop() -> mainspring::Result<EventLoop<u32>> {
    let el = EventLoop::with_state(0)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.connect(socket.local_addr()?)?;
    (0..DATAGRAMS).try_for_each(|_| sender.send(b"x").map(drop))?;
    el.add_reader(socket, |_, received, socket| {
        socket.recv(&mut [0; 8])?;
        *received += 1;
        if *received == DATAGRAMS {
            println!("loop: {received} datagrams");
            socket.cancel();
        }
        Ok(())
    })?;
    el.call_later(Duration::from_millis(50), |_, _| println!("loop: the timer of 50 ms"));
    let remote = el.remote();
    thread::spawn(move || remote.call_soon(|_, _| println!("loop: a message")));
    Ok(el)
}

fn run() -> mainspring::Result<()> {
    let runtime: io::Result<_> = Builder::new_current_thread().enable_all().build();
    runtime?.block_on(async {
        let own = tokio::spawn(async {
            for _ in 0..3 {
                sleep(Duration::from_millis(5)).await;
                println!("host: tick");
            }
        });
        drive(&mut embedded_loop()?).await?;
        own.await.map_err(Error::other)
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio_host: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

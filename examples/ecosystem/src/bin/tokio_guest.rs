//! tokio's runtime alongside the loop, for crates that need it.
//!
//! ```text
//! cargo run -p ecosystem --bin tokio_guest
//! ```
//!
//! The runtime has one thread, which waits for its sockets and timers. The tasks of the loop run in
//! its context, so they can use tokio's types. The program awaits a socket and a timer of tokio in
//! a task of the loop, and then a tokio task.

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ecosystem::Result;
use mainspring::{EventLoop, race, sleep};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time;

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

/// Runs on the loop's thread, with a socket of tokio.
async fn ask(listener: &TcpListener) -> io::Result<String> {
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let (mut server, _) = listener.accept().await?;
    server.write_all(b"hello").await?;
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn guests() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("a socket of tokio: {}", ask(&listener).await?);

    let theirs = async { time::sleep(Duration::from_millis(10)).await };
    let ours = async { sleep(Duration::from_secs(60)).await };
    race(theirs, ours).await;
    println!("a timer of tokio, on the loop's thread");

    let task = tokio::spawn(async { thread::current().id() });
    let is_other = task.await? != thread::current().id();
    println!("a task of tokio, on another thread: {is_other}");
    Ok(())
}

fn run() -> Result<()> {
    let runtime = runtime()?;
    let _context = runtime.enter();
    EventLoop::new()?.run_until_complete(guests())?
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio_guest: {error}");
            ExitCode::FAILURE
        }
    }
}

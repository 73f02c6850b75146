//! A listener that a running process hands to its successor: no client is refused in between.
//!
//! ```text
//! cargo run --example handover -- LISTEN CONTROL
//! ```
//!
//! It answers each line of a client with its pid. Start it a second time with the same arguments:
//! the second process connects to the Unix socket CONTROL, gets the listeners from the first one,
//! and serves. The first process then stops accepting, and ends with its last client. If the second
//! one exits before it serves, the first one keeps serving.
//!
//! Both processes have the same listening socket, so no connection in its backlog is lost. Only
//! users with access to the directory of CONTROL can take the listeners.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::time::Duration;

use mainspring::io::BufReader;
use mainspring::net::{
    Address, ListenOptions, SocketFile, TcpListener, TcpStream, UnixListener, UnixStream, listen,
};
use mainspring::{Error, EventLoop, Result, Shutdown, spawn, timeout};

/// Time limit for the answer of the other process.
const ANSWER: Duration = Duration::from_secs(5);
/// Time limit of clients that are connected to the old process.
const DRAIN: Duration = Duration::from_secs(60);
/// The message with the descriptors, and its version.
const LISTENERS: &[u8] = b"listeners 1\n";
const READY: &[u8] = b"ready\n";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let outcome = match &args[..] {
        [address, control] => run(address, control),
        _ => Err(Error::other("usage: handover LISTEN CONTROL")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("handover: {}", error.chain());
            ExitCode::from(2)
        }
    }
}

fn run(address: &str, control: &str) -> Result<()> {
    let (address, control): (Address, Address) = (address.parse()?, control.parse()?);
    EventLoop::new()?.run_until_complete(async {
        let (listener, door, predecessor) = match UnixStream::connect(&control).await {
            Ok(predecessor) => take_over(predecessor).await?,
            // No process listens there.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                bind(&address, &control)?
            }
            Err(error) => return Err(error),
        };
        let listener = Rc::new(TcpListener::from_std(listener.into())?);
        let door = UnixListener::from_std(door.into())?;
        let shutdown = Shutdown::new();
        let serving = spawn(serve(listener.clone(), shutdown.clone()));
        if let Some(predecessor) = predecessor {
            predecessor.write_all(READY).await?;
        }
        let file = SocketFile::of(&door)?;
        writeln!(io::stdout(), "pid {} listening on {}", process::id(), listener.local_addr()?)?;

        loop {
            let (successor, _) = door.accept().await?;
            match timeout(ANSWER, hand_over(&successor, &listener, &door)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => eprintln!("handover: the successor failed: {error}"),
                Err(late) => eprintln!("handover: the successor failed: {late}"),
            }
        }
        file.keep(); // The path belongs to the successor now.
        shutdown.begin(DRAIN);
        serving.await.map_err(Error::other)??;
        shutdown.finish().await;
        writeln!(io::stdout(), "pid {} handed over", process::id())?;
        Ok(())
    })?
}

type Listeners = (OwnedFd, OwnedFd, Option<UnixStream>);

/// Opens the listeners of the first process.
fn bind(address: &Address, control: &Address) -> Result<Listeners> {
    let mut options = ListenOptions::default();
    options.bind.replace_stale = true; // The file of a process that was killed.
    let door = listen(control, &options)?;
    Ok((listen(address, &ListenOptions::default())?, door, None))
}

/// Gets the listeners from the process that serves now.
async fn take_over(predecessor: UnixStream) -> Result<Listeners> {
    let mut message = [0; LISTENERS.len()];
    let (count, fds) = timeout(ANSWER, predecessor.recv_fds(&mut message)).await??;
    match <[OwnedFd; 2]>::try_from(fds) {
        Ok([listener, door]) if &message[..count] == LISTENERS => {
            Ok((listener, door, Some(predecessor)))
        }
        _ => Err(Error::other("the predecessor has sent something else than its listeners")),
    }
}

/// Sends the listeners, and waits until the successor serves.
async fn hand_over(
    successor: &UnixStream,
    listener: &TcpListener,
    door: &UnixListener,
) -> io::Result<()> {
    successor.send_fds(LISTENERS, &[listener.as_fd(), door.as_fd()]).await?;
    let mut answer = Vec::new();
    BufReader::with_limit(READY.len(), successor).read_until(b'\n', &mut answer).await?;
    if answer == READY { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Accepts until the shutdown begins.
async fn serve(listener: Rc<TcpListener>, shutdown: Shutdown) -> Result<()> {
    while let Some(accepted) = shutdown.until_started(listener.accept()).await {
        let (conn, _) = accepted?;
        spawn(shutdown.track(answer(conn))).detach();
    }
    Ok(())
}

async fn answer(conn: TcpStream) -> Result<()> {
    let mut lines = BufReader::new(&conn).lines();
    while let Some(line) = lines.next_line().await? {
        conn.write_all(format!("{}: {line}\n", process::id()).as_bytes()).await?;
    }
    Ok(())
}
